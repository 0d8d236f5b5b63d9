"""The JSON Schema of the configuration file."""

import json
from typing import Any

import jsonschema
import pytest

from proxy.cli.schema import run
from proxy.config import schema
from proxy.config.keys import KEYS

VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_it_is_a_schema_of_the_draft_that_it_names() -> None:
    """The metaschema accepts it."""
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


def test_every_key_is_described() -> None:
    """Each key has its description, its variable and its default as a user writes it."""
    properties = {
        f"{section}.{name}": body
        for section, part in schema()["properties"].items()
        for name, body in part["properties"].items()
    }
    assert list(properties) == list(KEYS)
    for full, body in properties.items():
        assert KEYS[full].description in body["description"]
        assert f"OKTA_PROXY_{full.upper().replace('.', '__')}." in body["description"]
        assert ("default" in body) is (KEYS[full].default is not None)
    assert properties["upstream.connect_timeout"]["default"] == "10s"
    assert properties["limits.head_size"]["default"] == "64KiB"
    assert properties["listen.port"]["default"] == 8080
    assert properties["oauth.scopes"]["default"] == []


def test_every_default_is_valid() -> None:
    """An editor that fills in a default writes a valid file."""
    document: dict[str, Any] = {}
    for section, part in schema()["properties"].items():
        document[section] = {name: body["default"] for name, body in part["properties"].items() if "default" in body}
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"listen": None},
        {"listen": {"port": 0, "host": None, "allow_remote": True}},
        {"listen": {"port": "8080"}, "limits": {"connections": "100"}},
        {"listen": {"port": "${PORT}", "allow_remote": "${REMOTE:-false}"}},
        {"upstream": {"url": "https://${HOST}/v1", "headers": {"X": "a", "Y": 1}, "connect_timeout": 0, "via": "on"}},
        {"upstream": {"headers": "${HEADERS}", "connect_timeout": "1.5s", "idle_timeout": "${IDLE}", "via": "${VIA}"}},
        {"oauth": {"client_secret": "x", "scopes": ["a", None]}},
        {"oauth": {"scopes": "a b", "extra_params": None}},
        {"oauth": {"assertion": {"audience": "issuer", "algorithm": "PS256"}, "dpop": True}},
        {"oauth": {"assertion": "${ASSERTION}", "client_secret_command": ["op", "read"], "auth_method": None}},
        {"oauth": {"private_key": "-----BEGIN\nPRIVATE", "client_secret_command": "op read"}},
        {"limits": {"head_size": 65536, "body_size": "10MiB"}},
    ],
)
def test_it_accepts_what_users_write(document: object) -> None:
    """References, units, lists and maps in each of their forms."""
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"lisen": {}},
        {"listen": {"prot": 1}},
        {"listen": {"port": 65536}},
        {"listen": {"port": "8080x"}},
        {"listen": {"allow_remote": "maybe"}},
        {"upstream": {"url": 1}},
        {"upstream": {"connect_timeout": 5}},
        {"upstream": {"connect_timeout": "5"}},
        {"upstream": {"headers": {"X": True}}},
        {"upstream": {"via": "maybe"}},
        {"oauth": {"client_secret": 1}},
        {"oauth": {"scopes": {"a": "b"}}},
        {"oauth": {"assertion": {"aud": "x"}}},
        {"oauth": {"client_secret_command": {"op": "read"}}},
        {"oauth": {"auth_method": "private_key"}},
        {"limits": {"head_size": "64KB"}},
        {"log": {"level": "loud"}},
    ],
)
def test_it_refuses_what_the_proxy_would_refuse(document: object) -> None:
    """Unknown keys, wrong types, numbers out of bounds, units that there are not."""
    assert not VALIDATOR.is_valid(document)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """`okta-proxy schema` writes the schema and nothing else."""
    assert run() == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == schema()
    assert captured.err == ""
