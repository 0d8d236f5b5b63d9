"""The environment as configuration, and references to it."""

import pytest

from proxy.config import has_environment_keys
from proxy.config.document import Bare, Entry
from proxy.config.environment import near_misses, read
from proxy.config.references import expand, is_reference


def test_each_key_has_a_variable() -> None:
    """Two underscores stand between section and key; the place is named for messages."""
    assert read({"OKTA_PROXY_LIMITS__HEAD_SIZE": "1MiB"}) == {
        "limits.head_size": Entry("1MiB", "OKTA_PROXY_LIMITS__HEAD_SIZE")
    }


@pytest.mark.parametrize(("value", "raw"), [("x\r\n", "x"), (" x ", " x "), ('""', ""), ("''", ""), ("a\nb", "a\nb")])
def test_a_variable_is_taken_as_it_is(value: str, raw: str) -> None:
    """But for line breaks at its end, and for two quote characters, which are an empty text."""
    assert read({"OKTA_PROXY_INJECT__SCHEME": value})["inject.scheme"].raw == raw


@pytest.mark.parametrize(
    ("environ", "configured"),
    [
        ({}, False),
        ({"OKTA_PROXY_LISTEN__PORT": ""}, False),
        ({"OKTA_PROXY_LISTEN__PORT": "\n"}, False),
        ({"OKTA_PROXY_CONFIG": "x", "OKTA_PROXY_PORT": "tcp://10.0.0.1:80", "PATH": "x"}, False),
        ({"okta_proxy_listen__port": "1"}, False),
        ({"OKTA_PROXY_LISTEN__PORT": "1"}, True),
    ],
)
def test_whether_the_environment_configures_anything(environ: dict[str, str], configured: bool) -> None:
    """An empty variable is an unset one, and only exact names count."""
    assert has_environment_keys(environ) is configured


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OKTA_PROXY_OAUTH_CLIENT_ID", "OKTA_PROXY_OAUTH__CLIENT_ID"),
        ("OKTA_PROXY_OAUTH___CLIENT_ID", "OKTA_PROXY_OAUTH__CLIENT_ID"),
        ("okta_proxy_oauth__client_id", "OKTA_PROXY_OAUTH__CLIENT_ID"),
        ("OKTA_PROXY_OAUTH__CLIENT-ID", "OKTA_PROXY_OAUTH__CLIENT_ID"),
        ("OKTA_PROXY_CLIENT_SECRET", "OKTA_PROXY_OAUTH__CLIENT_SECRET"),
        ("OKTA_PROXY_OAUTH__CLIENTID", "OKTA_PROXY_OAUTH__CLIENT_ID"),
        ("OKTA_PROXY_OAUTH__SCOPE", "OKTA_PROXY_OAUTH__SCOPES"),
        ("OKTA_PROXY_UPSTRAEM_URL", "OKTA_PROXY_UPSTREAM__URL"),
        ("OKTA_PROXY_PORT", "OKTA_PROXY_LISTEN__PORT"),
        ("OKTA_PROXY_UPSTREAM", "OKTA_PROXY_UPSTREAM__URL"),
        ("okta_proxy_oauth__", "OKTA_PROXY_OAUTH__ISSUER"),
    ],
)
def test_a_slip_in_a_name_is_warned_of(name: str, meant: str) -> None:
    """The warning has the name that was meant, and not the value."""
    assert near_misses({name: "s3cret"}) == [f"the environment variable {name} is ignored, did you mean {meant}?"]


@pytest.mark.parametrize(
    "environ",
    [
        # What Kubernetes sets for Services called okta-proxy and okta-proxy-admin.
        {
            "OKTA_PROXY_SERVICE_HOST": "10.0.0.1",
            "OKTA_PROXY_SERVICE_PORT": "8080",
            "OKTA_PROXY_SERVICE_PORT_HTTP": "8080",
            "OKTA_PROXY_PORT": "tcp://10.0.0.1:8080",
            "OKTA_PROXY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            "OKTA_PROXY_PORT_8080_TCP_PROTO": "tcp",
            "OKTA_PROXY_PORT_8080_TCP_PORT": "8080",
            "OKTA_PROXY_PORT_8080_TCP_ADDR": "10.0.0.1",
            "OKTA_PROXY_ADMIN_SERVICE_HOST": "10.0.0.2",
            "OKTA_PROXY_ADMIN_SERVICE_PORT": "8081",
            "OKTA_PROXY_ADMIN_SERVICE_PORT_METRICS": "8081",
            "OKTA_PROXY_ADMIN_PORT": "tcp://10.0.0.2:8081",
            "OKTA_PROXY_ADMIN_PORT_8081_TCP": "tcp://10.0.0.2:8081",
            "OKTA_PROXY_ADMIN_PORT_8081_TCP_PORT": "8081",
        },
        {"OKTA_PROXY_CONFIG": "config.yaml", "OKTA_PROXY_LISTEN__PORT": "1", "OKTA_CLIENT_ID": "x", "HOME": "/"},
        {"OKTA_PROXY_OAUTH_CLIENT_ID": "", "OKTA_PROXY_OAUTH": ""},
        {"OKTA_PROXY_ADMIN": "tcp://10.0.0.2:8081"},
        {"OKTA_PROXY_": "x", "OKTA_PROXY_\n": "x", "OKTA_PROXY_OAUTH__\udc80": "x"},
    ],
)
def test_names_that_are_no_slip_are_ignored_silently(environ: dict[str, str]) -> None:
    """Kubernetes' variables, our own and everybody else's."""
    assert near_misses(environ) == []


ENVIRON = {"NAME": "value", "EMPTY": "", "TRICKY": "a: b #${NAME} $${x}\r\n"}


@pytest.mark.parametrize(
    ("raw", "expanded"),
    [
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}c", "avaluebvaluec"),
        ("${TRICKY}", "a: b #${NAME} $${x}"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${MISSING:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b c$}", "a:-b c$"),
        ("${NAME:-default}", "value"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME $$ $ {}", "$NAME $$ $ {}"),
        (["${NAME}", None, "x"], ["value", None, "x"]),
        ({"${NAME}": "${NAME}", "n": None}, {"${NAME}": "value", "n": None}),
    ],
)
def test_references_are_replaced(raw: object, expanded: object) -> None:
    """Once, inside values only, and what they are replaced by is not looked at again."""
    assert expand(raw, ENVIRON) == expanded  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", ["${", "a${}b", "${1A}", "${A-B}", "${A B}", "${NAME:=x}", "${A:-${B}}", "${NAME"])
def test_half_a_reference_is_a_mistake(raw: str) -> None:
    """Nothing of it is quoted: it may be a part of a secret."""
    with pytest.raises(ValueError, match=r"\$\$\{ is a literal") as caught:
        expand(raw, ENVIRON)
    assert "A" not in str(caught.value).replace("NAME", "")


def test_each_missing_name_is_a_message() -> None:
    """Also of lists and maps; a name that is missing twice is named once."""
    with pytest.raises(ValueError, match="MISSING") as caught:
        expand({"a": "${MISSING}${MISSING}", "b": "${OTHER}", "c": "${NAME}"}, ENVIRON)
    assert caught.value.args == (
        "the environment variable MISSING is not set: set it, or write ${MISSING:-default}",
        "the environment variable OTHER is not set: set it, or write ${OTHER:-default}",
    )


def test_a_marked_value_keeps_its_mark() -> None:
    """What YAML would have changed is still known for it."""
    assert isinstance(expand(Bare("1.10"), ENVIRON), Bare)


@pytest.mark.parametrize(("raw", "reference"), [("${A}", True), ("x${A:-b}", True), ("$${A}", False), ("a", False)])
def test_whether_a_value_comes_from_the_environment(raw: str, reference: bool) -> None:
    """A literal `${` is none of it."""
    assert is_reference(raw) is reference
    assert is_reference([raw]) is False
