"""What keys must be to each other, and what is warned of. All by environment, so no file is needed."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from proxy.config import Loaded, load
from proxy.errors import ConfigError

GOOD = {
    "OKTA_PROXY_UPSTREAM__URL": "https://api.example.com",
    "OKTA_PROXY_OAUTH__ISSUER": "https://dev-1.okta.com/oauth2/default",
    "OKTA_PROXY_OAUTH__CLIENT_ID": "id",
    "OKTA_PROXY_OAUTH__CLIENT_SECRET": "s3cret",
}

ISSUER_MISSING = (
    "oauth.issuer: is required: set it to the Issuer URI of Okta's console, as in "
    "https://dev-123456.okta.com/oauth2/default (or set oauth.token_url)"
)


def loaded(**keys: str) -> Loaded:
    """Return the good configuration with *keys* (`listen__port`) over it; other names are taken as they are."""
    return load(None, GOOD | environ(keys))


def problems(**keys: str) -> list[str]:
    """Return what is wrong with it, without the places."""
    with pytest.raises(ConfigError) as caught:
        loaded(**keys)
    return [problem.partition(" (OKTA_PROXY_")[0] for problem in caught.value.problems]


def environ(keys: dict[str, str]) -> dict[str, str]:
    """Return the variables of *keys*."""
    return {f"OKTA_PROXY_{name.upper()}" if "__" in name else name: value for name, value in keys.items()}


def test_nothing_at_all_lacks_four_things() -> None:
    """Each missing key is named with what belongs there."""
    with pytest.raises(ConfigError) as caught:
        load(None, {})
    assert caught.value.problems == [
        "upstream.url: is required: set it to the API's address, as in https://api.example.com/v1",
        ISSUER_MISSING,
        "oauth.client_id: is required: set it to the application's client ID",
        "oauth.client_secret: is required: set it, oauth.client_secret_file, or oauth.private_key_file",
    ]


def test_an_empty_key_is_said_to_be_empty(tmp_path: Path) -> None:
    """A reference to an empty variable is the usual reason."""
    path = tmp_path / "config.yaml"
    path.write_text("oauth: {client_id: '${EMPTY}', client_secret: '${EMPTY}', proxy: '', scopes: ''}")
    good = {name: value for name, value in GOOD.items() if "CLIENT" not in name}
    with pytest.raises(ConfigError) as caught:
        load(str(path), good | {"EMPTY": ""})
    assert caught.value.problems == [
        "oauth.client_id: is empty: set it to the application's client ID",
        "oauth.client_secret: is empty: set it, oauth.client_secret_file, or oauth.private_key_file",
    ]


def test_a_wrong_key_is_not_missing_as_well() -> None:
    """One mistake, one line."""
    assert problems(upstream__url="x", oauth__issuer="x", oauth__client_id=" ", oauth__client_secret="a\x00b") == [
        "upstream.url: must begin with https:// or http://",
        "oauth.issuer: must begin with https://, as in https://dev-123456.okta.com/oauth2/default",
        "oauth.client_id: must be ASCII without blanks at its ends: copy it again from Okta's console",
        "oauth.client_secret: must not contain a line break or a control character",
    ]


def test_two_secrets_are_one_too_many(tmp_path: Path) -> None:
    """Also if one of them is wrong in itself."""
    both = "oauth.client_secret: stands beside oauth.client_secret_file: remove one of the two"
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    assert problems(oauth__client_secret_file=str(path)) == [both]
    assert both in problems(oauth__client_secret_file=str(tmp_path / "missing"))


def test_a_secret_file_and_a_token_url_are_enough(tmp_path: Path) -> None:
    """Neither the secret nor the issuer is needed then."""
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    settings = load(
        None,
        {
            "OKTA_PROXY_UPSTREAM__URL": "https://api.example.com/v1/",
            "OKTA_PROXY_OAUTH__TOKEN_URL": "https://idp.example/token",
            "OKTA_PROXY_OAUTH__CLIENT_ID": "id",
            "OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE": str(path),
        },
    ).settings
    assert settings.oauth.client_secret_file == str(path)
    assert settings.oauth.issuer is None
    assert str(settings.upstream.url) == "https://api.example.com/v1"


@pytest.mark.parametrize("section", ["listen", "admin"])
def test_a_listener_that_others_reach_must_be_allowed(section: str) -> None:
    """Without the permission it is an error that names it, with it a warning."""
    hosts = {f"{section}__host": "0.0.0.0"}
    assert problems(**hosts) == [
        f"{section}.host: other machines can reach it: set {section}.allow_remote: true, or use localhost"
    ]
    result = loaded(**hosts, **{f"{section}__allow_remote": "true"})
    assert [warning.partition(":")[0] for warning in result.warnings] == [f"{section}.host"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9", "::1", "[::1]"])
def test_loopback_needs_no_permission(host: str) -> None:
    """Nobody else can reach it."""
    assert loaded(listen__host=host, admin__host=host).warnings == []


def test_a_permission_alone_is_no_warning() -> None:
    """What is allowed but not done is not dangerous."""
    keys = {f"{name}__allow_remote": "true" for name in ("listen", "admin")}
    http = {f"{name}__allow_http": "true" for name in ("upstream", "oauth")}
    assert loaded(**keys, **http).warnings == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"listen__port": "65535"}, ["admin.port: is required when listen.port is 65535: there is no port after it"]),
        ({"listen__port": "65535", "admin__port": "1"}, []),
        ({"listen__port": "65535", "admin__enabled": "no"}, []),
        (
            {"admin__port": "8080"},
            ["admin.port: must differ from listen.port: the admin listener is one of its own"],
        ),
        ({"listen__port": "0", "admin__port": "0"}, []),
        ({"listen__port": "0"}, []),
        ({"admin__port": "8080", "admin__enabled": "no"}, []),
        ({"admin__host": "0.0.0.0", "admin__enabled": "no"}, []),
        ({"listen__port": "x"}, ["listen.port: must be a whole number from 0 to 65535"]),
        ({"admin__port": "x"}, ["admin.port: must be a whole number from 0 to 65535"]),
        ({"admin__enabled": "x", "admin__port": "8080"}, ["admin.enabled: must be true or false"]),
    ],
)
def test_the_two_listeners_have_two_ports(keys: dict[str, str], expected: list[str]) -> None:
    """Unless there is no admin listener, or the system picks them."""
    if expected:
        assert problems(**keys) == expected
    else:
        assert loaded(**keys).warnings == []


@pytest.mark.parametrize(
    ("key", "allow"),
    [
        ("upstream__url", "upstream__allow_http"),
        ("oauth__token_url", "oauth__allow_http"),
        ("oauth__issuer", "oauth__allow_http"),
    ],
)
def test_http_is_for_loopback(key: str, allow: str) -> None:
    """Beyond it, it must be allowed, and is warned of."""
    full, permission = key.replace("__", "."), allow.replace("__", ".")
    assert loaded(**{key: "http://localhost:9000/x"}).warnings == []
    assert problems(**{key: "http://api:8000"}) == [
        f"{full}: must be https:// beyond loopback; where the network is trusted, set {permission}: true"
    ]
    result = loaded(**{key: "http://api:8000", allow: "true"})
    assert [warning.partition(":")[0] for warning in result.warnings] == [permission]


@pytest.mark.parametrize(
    "key", ["upstream__url", "oauth__token_url", "oauth__issuer", "oauth__proxy", "upstream__proxy"]
)
@pytest.mark.parametrize(
    ("address", "keys", "ours"),
    [
        ("localhost:8080", {}, True),
        ("127.0.0.1:8080", {}, True),
        ("[::1]:8080", {}, True),
        ("localhost:8081", {}, True),
        ("localhost:8082", {}, False),
        ("localhost:8081", {"admin__enabled": "false"}, False),
        ("localhost:9001", {"admin__port": "9001"}, True),
        ("localhost:80", {"listen__port": "80"}, True),
        ("localhost:8080", {"listen__port": "0"}, False),
        ("127.0.0.2:8080", {}, False),
        ("127.0.0.2:8080", {"listen__host": "0.0.0.0", "listen__allow_remote": "1"}, True),
        ("proxy.internal:8080", {"listen__host": "proxy.internal", "listen__allow_remote": "1"}, True),
    ],
)
def test_no_address_is_our_own_listener(key: str, address: str, keys: dict[str, str], ours: bool) -> None:
    """That would be a loop: requests that forward to themselves, tokens that wait for themselves."""
    allowed = {"upstream__allow_http": "1", "oauth__allow_http": "1"}
    if ours:
        assert [
            problem.partition(" own listener")[0]
            for problem in problems(**{key: f"http://{address}"}, **keys, **allowed)
        ] == [f"{key.replace('__', '.')}: is this proxy's"]
    else:
        loaded(**{key: f"http://{address}"}, **keys, **allowed)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_our_own_listener(name: str) -> None:
    """Whoever sends all their traffic through the proxy must except its own requests, to Okta and to the API."""
    own = {name: "http://user:s3cret@localhost:8080"}
    token_problem, upstream_problem = (
        f"{key}: {name} names this proxy's own listener: put {whose} host into NO_PROXY, or set {key}"
        for key, whose in (("oauth.proxy", "the token endpoint's"), ("upstream.proxy", "the upstream's"))
    )
    other = "http://proxy.example:3128"
    assert problems(**own) == [token_problem, upstream_problem]
    assert loaded(**own, NO_PROXY="dev-1.okta.com, example.com").warnings == []
    assert loaded(ALL_PROXY=own[name], HTTPS_PROXY=other).warnings == []
    assert problems(**own, NO_PROXY="dev-1.okta.com") == [upstream_problem]
    assert problems(**own, oauth__proxy=other) == [upstream_problem]
    assert problems(**own, upstream__proxy=other) == [token_problem]
    assert problems(**own, oauth__token_url="http://localhost:9000/token") == [upstream_problem]
    assert problems(**own, upstream__url="http://localhost:9000") == [token_problem]


def test_a_proxy_of_the_environment_that_cannot_be_used_is_warned_of() -> None:
    """It is ignored, and the next one counts; nothing of it is printed."""
    ignored = "oauth.proxy: {} is ignored, because it is not the URL of an http proxy"
    other = {"HTTPS_PROXY": "https://u:s3cret@proxy", "ALL_PROXY": "socks5://proxy", "NO_PROXY": "example.com"}
    assert loaded(**other).warnings == [ignored.format("HTTPS_PROXY"), ignored.format("ALL_PROXY")]
    assert loaded(**other, all_proxy="http://proxy:1").warnings == [ignored.format("HTTPS_PROXY")]
    assert loaded(ALL_PROXY="socks5://proxy", HTTPS_PROXY="http://proxy:1").warnings == []
    assert loaded(**other, oauth__proxy="http://proxy:1").warnings == []


def test_the_upstream_can_use_more_proxies_of_the_environment() -> None:
    """An https proxy will do for it; what is none at all is warned of."""
    own = {"NO_PROXY": "okta.com"}
    assert loaded(HTTPS_PROXY="https://u:s3cret@proxy", **own).warnings == []
    assert loaded(HTTPS_PROXY="socks5://u:s3cret@proxy", **own).warnings == [
        "upstream.proxy: HTTPS_PROXY is ignored, because it is not the URL of an http or https proxy"
    ]
    assert loaded(HTTPS_PROXY="socks5://proxy", **own, upstream__proxy="http://proxy:1").warnings == []
    assert loaded(HTTPS_PROXY="socks5://proxy", **own, upstream__url="http://localhost:1").warnings == []


class Files:
    """The files of a client certificate and its key, and of another pair."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = trustme.CA()
        one, other = authority.issue_cert("one@example.com"), authority.issue_cert("other@example.com")
        self.cert = self.write("cert", one.cert_chain_pems[0].bytes())
        self.key = self.write("key", one.private_key_pem.bytes())
        self.both = self.write("both", one.private_key_and_cert_chain_pem.bytes())
        self.other_key = self.write("other", other.private_key_pem.bytes())
        self.mixed = self.write("mixed", one.cert_chain_pems[0].bytes() + other.private_key_pem.bytes())
        self.half = self.write("half", one.private_key_pem.bytes()[:90])
        self.none = str(folder / "none")

    def write(self, name: str, data: bytes) -> str:
        """Return the path of a new file."""
        path = self._folder / name
        path.write_bytes(data)
        return str(path)

    def encrypted(self) -> str:
        """Return the path of the key, closed by a passphrase."""
        key = serialization.load_pem_private_key(Path(self.key).read_bytes(), None)
        closed = serialization.BestAvailableEncryption(b"s3cret")
        data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed)
        return self.write("encrypted", data)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Give the files."""
    return Files(tmp_path)


def test_a_client_certificate_with_its_key_is_accepted(files: Files) -> None:
    """In two files or in one; for an http upstream, which never asks for it, there is a warning."""
    two = {"upstream__client_cert_file": files.cert, "upstream__client_key_file": files.key}
    for keys in (two, {"upstream__client_cert_file": files.both}):
        result = loaded(**keys)
        assert result.warnings == []
        assert result.settings.upstream.client_cert_file == keys["upstream__client_cert_file"]
    assert loaded(**two, upstream__url="http://localhost:9000").warnings == [
        "upstream.client_cert_file: is not used, because upstream.url is no https address"
    ]


def test_a_client_certificate_that_cannot_be_used_is_a_problem(files: Files) -> None:
    """What is wrong with the pair is said, by the key that is to blame, with no path and no byte of a key."""
    cert, key = "upstream.client_cert_file", "upstream.client_key_file"
    expected = {
        (
            files.cert,
            files.other_key,
        ): f"{key}: names a file whose private key does not belong to the certificate in {cert}",
        (files.mixed, ""): f"{cert}: names a file whose private key does not belong to its certificate",
        (files.cert, ""): f"{cert}: names a file that has no private key in PEM form; if it stands in another file, "
        f"name that in {key}",
        (files.cert, files.half): f"{key}: cannot be used together with {cert}: one of the two is damaged, or of an "
        "unknown kind",
        (files.cert, files.encrypted()): f"{key}: names a file whose private key is encrypted: decrypt it (openssl "
        "pkey), and guard the file instead",
        ("", files.key): f"{cert}: is required with {key}: name the key's certificate",
        (files.none, files.key): f"{cert}: names a file that cannot be read: No such file or directory",
        (files.key, files.key): f"{cert}: names a file that has no certificate in PEM form",
        (files.cert, files.cert): f"{key}: names a file that has no private key in PEM form (-----BEGIN PRIVATE "
        "KEY-----)",
    }
    for (cert_file, key_file), problem in expected.items():
        assert problems(upstream__client_cert_file=cert_file, upstream__client_key_file=key_file) == [problem]


@pytest.mark.parametrize("name", ["X-Token", "x_token"])
def test_the_injected_field_is_not_added_too(name: str) -> None:
    """In any spelling: the upstream would see two."""
    keys = {"inject__header": "X-Token", "upstream__headers": f"{{{name}: a, Other: b}}"}
    assert problems(**keys) == [f"upstream.headers: must not name {name}: inject.header puts the token there"]
    assert loaded(upstream__headers="{X-Token: a}").settings.upstream.headers == {"X-Token": "a"}


def test_a_wrong_injected_field_hides_no_other_mistake() -> None:
    """The rule between the two keys waits until both are right."""
    assert problems(inject__header="a b", upstream__headers="{a: b}") == [
        "inject.header: must be a header field's name: letters, digits and hyphens"
    ]


def test_a_name_that_was_nearly_right_is_warned_of() -> None:
    """It changes nothing, so the user should know."""
    assert loaded(OKTA_PROXY_OAUTH_SCOPES="x").warnings == [
        "the environment variable OKTA_PROXY_OAUTH_SCOPES is ignored, did you mean OKTA_PROXY_OAUTH__SCOPES?"
    ]
