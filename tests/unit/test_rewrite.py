"""An answer's addresses become the client's: the tables of `proxy.forwarding.rewrite`."""

import pytest
from kit import url

from proxy.forwarding.rewrite import ClientAddress, Rewriter

CLIENT = ClientAddress(b"localhost:8080")


def location(upstream: str, value: bytes, name: bytes = b"location") -> bytes:
    """Return what the client gets for *value*."""
    return Rewriter(url(upstream), plain_loopback=True).header(name, value, CLIENT)


@pytest.mark.parametrize(
    ("upstream", "value", "expected"),
    [
        ("https://api.example", b"https://api.example/x?q#f", b"http://localhost:8080/x?q#f"),
        ("https://api.example", b"https://API.Example:443/x", b"http://localhost:8080/x"),
        ("https://api.example", b"HTTPS://api.example", b"http://localhost:8080/"),
        ("https://api.example", b"https://api.example?q", b"http://localhost:8080/?q"),
        ("https://api.example", b"https://api.example#f", b"http://localhost:8080/#f"),
        ("https://api.example", b"//api.example/x", b"http://localhost:8080/x"),
        ("https://api.example", b"http://api.example/x", b"http://localhost:8080/x"),
        ("http://127.0.0.1:9000", b"http://127.0.0.1:9000/x", b"http://localhost:8080/x"),
        ("http://[::1]:9000", b"http://[::1]:9000/x", b"http://localhost:8080/x"),
        ("https://[2001:db8::1]", b"https://[2001:db8::1]/x", b"http://localhost:8080/x"),
        ("https://api.example", b"https://api.example//x/../y", b"http://localhost:8080//x/../y"),
        ("https://api.example/v1", b"https://api.example/v1/x", b"http://localhost:8080/x"),
        ("https://api.example/v1", b"https://api.example/v1", b"http://localhost:8080/"),
        ("https://api.example/v1", b"https://api.example/v1?q", b"http://localhost:8080/?q"),
        ("https://api.example/v1", b"/v1/x", b"/x"),
        ("https://api.example/v1", b"/v1#f", b"/#f"),
    ],
)
def test_what_points_at_the_upstream_points_at_us(upstream: str, value: bytes, expected: bytes):
    """An address inside the upstream's base path becomes the one that the client used, without the base path."""
    assert location(upstream, value) == expected
    assert location(upstream, value, b"content-location") == expected


@pytest.mark.parametrize(
    ("upstream", "value"),
    [
        ("https://api.example", b"https://evil/x"),
        ("https://api.example", b"https://api.example.evil/x"),
        ("https://api.example", b"https://evil@api.example/x"),
        ("https://api.example", b"https://api.example:8443/x"),
        ("https://api.example", b"https://api.example:" + b"9" * 5000 + b"/x"),
        ("https://api.example:8443", b"https://api.example/x"),
        ("https://api.example:8443", b"http://api.example/x"),
        ("http://api.example", b"https://api.example/x"),
        ("https://api.example", b"ftp://api.example/x"),
        ("https://api.example", b"//evil/x"),
        ("https://api.example", b"x/y"),
        ("https://api.example", b"?q"),
        ("https://api.example", b"/x"),
        ("https://api.example", b""),
        ("https://api.example", b"\xff\xfe"),
        ("https://api.example/v1", b"https://api.example/v10/x"),
        ("https://api.example/v1", b"https://api.example/"),
        ("https://api.example/v1", b"https://api.example"),
        ("https://api.example/v1", b"/v2/x"),
        ("https://api.example/v1", b"/"),
    ],
)
def test_everything_else_passes_byte_for_byte(upstream: str, value: bytes):
    """Another host, port, scheme or a path outside the base path is not ours to change."""
    assert location(upstream, value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            b'<https://api.example/v1/x?page=2>; rel="next", </v1/y>; rel=prev',
            b'<http://localhost:8080/x?page=2>; rel="next", </y>; rel=prev',
        ),
        (b"<https://evil/v1/x>; rel=next", b"<https://evil/v1/x>; rel=next"),
        (b'<https://api.example/v1/x>; title="a <b>"', b'<http://localhost:8080/x>; title="a <b>"'),
        (b"<>; rel=self", b"<>; rel=self"),
    ],
)
def test_link_targets_are_rewritten_alone(value: bytes, expected: bytes):
    """Of a Link header the targets change, its parameters stay."""
    assert location("https://api.example/v1", value, b"link") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a=b", b"a=b"),
        (b"a=b; Domain=api.example; HttpOnly", b"a=b; HttpOnly"),
        (b"a=b;domain=.api.example", b"a=b"),
        (b"a=b; Path=/v1/x; Secure", b"a=b; Path=/x"),
        (b"a=b; path=/v1", b"a=b; path=/"),
        (b"a=b; Path=/", b"a=b; Path=/"),
        (b"a=b; Path=/v10", b"a=b; Path=/v10"),
        (b"a=b; Path", b"a=b; Path"),
        (b"a=domain; SameSite=Lax", b"a=domain; SameSite=Lax"),
        (b'a="x; y"; secure', b'a="x; y"'),
        (b"__Host-a=b; Path=/; Secure", b"__Host-a=b; Path=/; Secure"),
        (b" __secure-a=b; Domain=x; Secure", b" __secure-a=b; Domain=x; Secure"),
        (b"caf\xe9=\xff; Domain=x", b"caf\xe9=\xff"),
        (b"", b""),
    ],
)
def test_a_cookie_comes_back_to_us(value: bytes, expected: bytes):
    """A cookie loses Domain, the base path and, on plain loopback, Secure; promised names stay as they are."""
    assert location("https://api.example/v1", value, b"set-cookie") == expected


def test_a_client_that_names_the_upstream_keeps_its_paths():
    """Who takes us for an HTTP proxy gets the upstream's own paths, over http so that they come to us again."""
    rewriter = Rewriter(url("https://api.example/v1"), plain_loopback=True)
    client = ClientAddress(b"api.example", b"/v1")
    for value, expected in (
        (b"https://api.example/v1/x", b"http://api.example/v1/x"),
        (b"https://api.example/v1", b"http://api.example/v1"),
        (b"https://api.example/v2", b"https://api.example/v2"),
        (b"/v1/x", b"/v1/x"),
    ):
        assert rewriter.header(b"location", value, client) == expected
    assert rewriter.header(b"set-cookie", b"a=b; Path=/v1/x; Domain=api.example", client) == b"a=b; Path=/v1/x"


def test_secure_stays_beyond_loopback():
    """Where clients may speak TLS to a front end, a Secure cookie stays one."""
    rewriter = Rewriter(url("https://api.example"), plain_loopback=False)
    assert rewriter.header(b"set-cookie", b"a=b; Secure; Path=/v1", CLIENT) == b"a=b; Secure; Path=/v1"
