"""URLs and hosts as the configuration accepts them."""

import pytest

from proxy.config.urls import is_loopback, parse_host, parse_url, reaches


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.example.com", ("https", "api.example.com", 443, "")),
        ("https://api.example.com/", ("https", "api.example.com", 443, "")),
        ("HTTPS://API.Example.COM/V1/", ("https", "api.example.com", 443, "/V1")),
        ("http://localhost:8000/a/b", ("http", "localhost", 8000, "/a/b")),
        ("https://a/%2Fx%7e~/;p=1,2/@:", ("https", "a", 443, "/%2Fx%7e~/;p=1,2/@:")),
        ("https://a/b//c//", ("https", "a", 443, "/b//c")),
        ("http://[::1]:8080", ("http", "::1", 8080, "")),
        ("https://[2001:DB8:0::1]", ("https", "2001:db8::1", 443, "")),
        ("https://127.0.0.1:65535", ("https", "127.0.0.1", 65535, "")),
        ("https://my_api:1", ("https", "my_api", 1, "")),
        ("https://xn--mnchen-3ya.example", ("https", "xn--mnchen-3ya.example", 443, "")),
    ],
)
def test_a_url_is_taken_apart(text: str, url: tuple[str, str, int, str]) -> None:
    """Scheme and host become lower case, the path stays byte for byte but for slashes at its end."""
    parsed = parse_url(text)
    assert (parsed.scheme, parsed.host, parsed.port, parsed.path) == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with https:// or http://"),
        ("api.example.com", "must begin with https:// or http://"),
        ("https:/api.example.com", "must begin with https:// or http://"),
        ("ftp://api.example.com", "must begin with https:// or http://"),
        (" https://a", "blank"),
        ("https://a/b c", "blank"),
        ("https://a\n", "blank"),
        ("https://a/\x00", "blank"),
        ("https://münchen.example", "xn--"),
        ("https://a/ü", "percent-encoded"),
        ("https://user@a", "user name"),
        ("https://user:word@a", "user name"),
        ("https://@a", "user name"),
        ("https://a?x=1", "query"),
        ("https://a/?", "query"),
        ("https://a#x", "fragment"),
        ("https://a/#", "fragment"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://:443", "no host"),
        ("https://a:", "port"),
        ("https://a:0", "port"),
        ("https://a:65536", "port"),
        ("https://a:+1", "port"),
        ("https://a:1a", "port"),
        ("https://a:1:2", "host:port"),
        ("https://::1", "brackets"),
        ("https://[::1", "brackets"),
        ("https://[::1]a", "brackets"),
        ("https://[a]", "host name"),
        ("https://[::g]", "IPv6"),
        ("https://[::ffff:127.0.0.1]", "IPv4 address itself"),
        ("https://[fe80::1%25eth0]", "zone"),
        ("https://a..b", "host name"),
        ("https://a.", "host name"),
        ("https://-a", "host name"),
        ("https://a-", "host name"),
        ("https://a*b", "host name"),
        ("https://" + "a" * 64, "host name"),
        ("https://" + "a." * 127 + "com", "host name"),
        ("https://127.1", "IPv4"),
        ("https://2130706433", "IPv4"),
        ("https://0x7f000001", "IPv4"),
        ("https://a.0x7f", "IPv4"),
        ("https://127.0.0.01", "IPv4"),
        ("https://256.0.0.1", "IPv4"),
        ("https://a/%zz", "percent-encoding"),
        ("https://a/\\b", "percent-encoding"),
        ('https://a/"', "percent-encoding"),
        ("https://a/..", ". or .."),
        ("https://a/./b", ". or .."),
        ("https://a/%2E%2e/b", ". or .."),
    ],
)
def test_what_is_no_url_is_refused_without_quoting_it(text: str, message: str) -> None:
    """Each mistake has a message of its own, which does not hold the text."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_url(text)
    assert message in str(caught.value)
    assert "user:word" not in str(caught.value)


def test_parts_beyond_the_path_are_dropped_where_they_are_allowed() -> None:
    """A token endpoint may have a query, a proxy may have a password; neither is in the result."""
    assert str(parse_url("https://a/t?p=1", parts=("query",))) == "https://a/t"
    assert str(parse_url("http://u:p@a:3128", schemes=("http",), parts=("userinfo",))) == "http://a:3128"


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("https://a", "a"),
        ("https://a:443", "a"),
        ("https://a:80", "a:80"),
        ("http://a:80", "a"),
        ("http://[::1]:1", "[::1]:1"),
    ],
)
def test_the_authority_has_a_port_only_if_it_is_not_the_default(text: str, authority: str) -> None:
    """That is what a Host header has."""
    assert parse_url(text).authority == authority


@pytest.mark.parametrize(
    ("text", "host"),
    [("LocalHost", "localhost"), ("[::1]", "::1"), ("0:0:0:0:0:0:0:1", "::1"), ("10.0.0.1", "10.0.0.1")],
)
def test_a_host_has_one_form(text: str, host: str) -> None:
    """Names are lower case, addresses in their usual form, brackets gone."""
    assert parse_host(text) == host


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("128.0.0.1", False),
        ("127.example.com", False),
        ("localhost.example.com", False),
        ("a.localhost", False),
    ],
)
def test_loopback_is_what_cannot_leave_the_machine(host: str, loopback: bool) -> None:
    """Names that DNS decides about are not loopback."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "listener", "reached"),
    [
        ("localhost", "localhost", True),
        ("127.0.0.1", "localhost", True),
        ("::1", "localhost", True),
        ("0.0.0.0", "localhost", True),
        ("::", "::1", True),
        ("127.0.0.2", "localhost", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "127.0.0.1", False),
        ("127.0.0.2", "0.0.0.0", True),
        ("::1", "::", True),
        ("0.0.0.0", "::", True),
        ("10.0.0.1", "0.0.0.0", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("proxy.internal", "proxy.internal", True),
        ("api.example.com", "localhost", False),
    ],
)
def test_who_reaches_whom(host: str, listener: str, reached: bool) -> None:
    """An unspecified address is this machine for the one who connects, and all its addresses for a listener."""
    assert reaches(host, listener) is reached
