"""What one key's value must be beyond its kind."""

import os
from pathlib import Path

import pytest

from proxy.config.checks import check


@pytest.mark.parametrize(
    ("full", "value", "checked"),
    [
        ("listen.host", "LOCALHOST", "localhost"),
        ("listen.host", "[::]", "::"),
        ("admin.host", "0.0.0.0", "0.0.0.0"),
        ("oauth.issuer", "https://dev-1.okta.com/oauth2/default//", "https://dev-1.okta.com/oauth2/default"),
        ("oauth.issuer", "HTTPS://IdP.example/Realm/", "HTTPS://IdP.example/Realm"),
        ("oauth.token_url", "https://idp.example/token?p=b2c", "https://idp.example/token?p=b2c"),
        ("oauth.token_url", "https://a.okta.com/oauth2/x/v1/token", "https://a.okta.com/oauth2/x/v1/token"),
        ("oauth.client_id", "0oa 1~", "0oa 1~"),
        ("oauth.scopes", ("api.read", "https://x/.default"), ("api.read", "https://x/.default")),
        ("oauth.extra_params", {"audience": "x", "a b": ""}, {"audience": "x", "a b": ""}),
        ("oauth.proxy", "http://u:p@proxy:3128/", "http://u:p@proxy:3128"),
        ("upstream.proxy", "http://u:p@proxy:3128/", "http://u:p@proxy:3128"),
        ("upstream.proxy", "https://proxy", "https://proxy"),
        ("inject.header", "X-Api-Token", "X-Api-Token"),
        ("inject.scheme", "", ""),
        ("inject.scheme", "SSWS", "SSWS"),
        ("guard.allowed_hosts", ("API.internal", "[::1]", "10.0.0.1"), ("api.internal", "::1", "10.0.0.1")),
        ("upstream.headers", {"X-Requested-With": "a b", "X": ""}, {"X-Requested-With": "a b", "X": ""}),
        ("limits.body_size", 0, None),
        ("limits.body_size", 1, 1),
        ("log.level", "info", "info"),
    ],
)
def test_a_right_value_gets_its_usual_form(full: str, value: object, checked: object) -> None:
    """Hosts and slashes are normalised, everything else stays as it was written."""
    assert check(full, value) == checked


@pytest.mark.parametrize(
    ("full", "value", "messages"),
    [
        ("listen.host", "*", ["has no valid host name: letters, digits and hyphens, with single dots between"]),
        ("listen.host", "localhost:80", ["has no valid IPv6 address, or a port where only a host may stand"]),
        (
            "oauth.issuer",
            "dev-1.okta.com/oauth2/default",
            ["must begin with https://, as in https://dev-123456.okta.com/oauth2/default"],
        ),
        ("oauth.issuer", "ftp://dev-1.okta.com", ["must begin with https:// or http://"]),
        ("oauth.issuer", "https://a.okta.com?x", ["must not contain a query: remove the ? and what follows"]),
        (
            "oauth.issuer",
            "https://dev-1-admin.okta.com/oauth2/default",
            ["is the address of the admin console, which gives no tokens: write https://dev-1.okta.com/oauth2/default"],
        ),
        (
            "oauth.issuer",
            "https://dev-1-admin.okta.com/admin/dashboard",
            ["is the address of the admin console, which gives no tokens: write https://dev-1.okta.com"],
        ),
        (
            "oauth.issuer",
            "https://dev-1.okta.com/oauth2/default/v1/token",
            ["is a token endpoint: leave /v1/token out, or write it as oauth.token_url"],
        ),
        (
            "oauth.issuer",
            "https://idp.example/.well-known/openid-configuration",
            ["is a discovery document: leave out /.well-known/ and what follows"],
        ),
        (
            "oauth.token_url",
            "https://dev-1.okta.com/oauth2/default",
            ["is an issuer, no token endpoint: write it as oauth.issuer"],
        ),
        (
            "oauth.token_url",
            "https://dev-1-admin.okta.com/oauth2/v1/token",
            [
                "is the address of the admin console, which gives no tokens: write https://dev-1.okta.com/oauth2/v1/token"
            ],
        ),
        (
            "oauth.client_id",
            " x",
            ["must be ASCII without blanks at its ends: copy it again from Okta's console"],
        ),
        ("oauth.client_id", "é", ["must be ASCII without blanks at its ends: copy it again from Okta's console"]),
        (
            "oauth.scopes",
            ("a", "b c", 'd"'),
            [
                "entry 2 must be one scope: ASCII without blanks, quotes and backslashes",
                "entry 3 must be one scope: ASCII without blanks, quotes and backslashes",
            ],
        ),
        (
            "oauth.extra_params",
            {"grant_type": "x", "client_id": "x", "client_secret": "x", "scope": "x", "": "x"},
            [
                "must not name grant_type: the proxy sets it itself",
                "must not name client_id: the proxy sets it itself",
                "must not name client_secret: the proxy sets it itself",
                "must not name scope: the proxy sets it itself",
                "has a parameter without a name",
            ],
        ),
        *(
            (
                "oauth.proxy",
                proxy,
                ["must be the URL of an http proxy without a path, as in http://proxy.example.com:3128"],
            )
            for proxy in ("https://u:s3cret@proxy", "proxy:3128", "http://proxy/path", "socks5://proxy")
        ),
        *(
            (
                "upstream.proxy",
                proxy,
                ["must be the URL of an http or https proxy without a path, as in http://proxy.example.com:3128"],
            )
            for proxy in ("ftp://u:s3cret@proxy", "proxy:3128", "https://proxy/path", "socks5://proxy")
        ),
        ("inject.header", "X Token", ["must be a header field's name: letters, digits and hyphens"]),
        ("inject.header", "Transfer_Encoding", ["must not be Transfer_Encoding: the proxy sets that field itself"]),
        ("inject.scheme", "a b", ["must be one word, as in Bearer, or empty for the bare token"]),
        (
            "guard.allowed_hosts",
            ("https://a", "*.a", "a:80", "b/c"),
            [
                "entry 1: must be a name without scheme and path, as in api.example.com",
                "entry 2: must be one exact name: wildcards are not supported",
                "entry 3: has no valid IPv6 address, or a port where only a host may stand",
                "entry 4: must be a name without scheme and path, as in api.example.com",
            ],
        ),
        (
            "upstream.headers",
            {"a b": "x", "Host": "x", "X": " s3cret", "Y": "é", "x": "", "X_A": "", "x-a": ""},
            [
                "? is not a header field's name: letters, digits and hyphens",
                "must not name Host: the proxy sets that field itself",
                "the value of X must be ASCII without blanks at its ends",
                "the value of Y must be ASCII without blanks at its ends",
                "x stands there twice, in different spellings: keep one",
                "x-a stands there twice, in different spellings: keep one",
            ],
        ),
    ],
)
def test_a_wrong_value_has_its_messages(full: str, value: object, messages: list[str]) -> None:
    """Each says what there must be instead; none quotes a value."""
    with pytest.raises(ValueError, match=r".") as caught:
        check(full, value)
    assert list(caught.value.args) == messages


@pytest.mark.parametrize(
    "name",
    [
        *("Connection", "keep-alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
        *("Host", "Content-Length", "Expect", "Via", "Proxy-Authorization", "content_length"),
    ],
)
def test_the_connections_own_fields_cannot_be_set(name: str) -> None:
    """Neither as the injected field nor as an added one."""
    with pytest.raises(ValueError, match="must not be"):
        check("inject.header", name)
    with pytest.raises(ValueError, match="must not name"):
        check("upstream.headers", {name: "x"})


FILES = [
    "oauth.client_secret_file",
    "oauth.private_key_file",
    "oauth.private_key_passphrase_file",
    "upstream.ca_file",
    "upstream.client_cert_file",
    "oauth.ca_file",
]


@pytest.mark.parametrize("full", FILES)
def test_a_file_must_be_there(full: str, tmp_path: Path) -> None:
    """A missing file, a folder and a pipe (which one can read once only) are refused, without waiting."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        check(full, str(tmp_path / "missing"))
    for name in (".", "pipe"):
        with pytest.raises(ValueError, match="not a regular file"):
            check(full, str(tmp_path / name))


@pytest.mark.parametrize("full", FILES)
@pytest.mark.parametrize("content", [b"", b"\r\n\n"])
def test_a_file_must_hold_something(full: str, content: bytes, tmp_path: Path) -> None:
    """Line breaks alone are nothing."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="names a file that"):
        check(full, str(path))


def test_a_file_with_the_right_content_is_accepted(tmp_path: Path) -> None:
    """The settings keep its name: the file is read where it is used."""
    path = tmp_path / "file"
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    for full in FILES:
        assert check(full, str(path)) == str(path)


def test_a_certificate_must_be_pem(tmp_path: Path) -> None:
    """A binary certificate is said to be none in PEM form."""
    path = tmp_path / "ca.der"
    path.write_bytes(b"\x30\x82")
    with pytest.raises(ValueError, match="PEM"):
        check("oauth.ca_file", str(path))
