"""Who may call: the tables of `proxy.forwarding.guard`."""

import pytest
from kit import settings

from proxy.errors import BadRequestError, BrowserRequestDeniedError, HostNotAllowedError, ProxyError
from proxy.forwarding.guard import Guard, bracketed, for_admin, for_listener, host_name
from proxy.forwarding.headers import Classifier, RequestHeaders


def guard(*names: str, any_address: bool = False, browser_allowed: bool = False) -> Guard:
    """Return the rules of a listener with *names*."""
    return Guard(names, any_address=any_address, browser_allowed=browser_allowed, injected="Authorization")


def verdict(rules: Guard, *lines: tuple[bytes, bytes], host_required: bool = True) -> type[ProxyError] | None:
    """Return the kind of the error that the answer to *lines* is."""
    error = rules.request_error(RequestHeaders(lines, Classifier("Authorization")), host_required=host_required)
    return None if error is None else type(error)


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LOCALHOST",
        b"localhost:1",
        b"localhost:65535",
        b"127.0.0.1",
        b"127.0.0.1:8080",
        b"[::1]",
        b"[::1]:8080",
        b"api.example",
        b"API.Example:443",
        b"[2001:db8::1]",
        b"[2001:DB8::1]:80",
    ],
)
def test_our_own_names_pass_with_any_port(host: bytes):
    """Loopback's names and the configured ones pass, in any case and with any port, the second time too."""
    rules = guard("api.example", "2001:db8::1")
    assert verdict(rules, (b"Host", host)) is None
    assert verdict(rules, (b"Host", host)) is None


@pytest.mark.parametrize(
    "host",
    [
        b"evil.com",
        b"localhost.evil.com",
        b"localhost.",
        b"xlocalhost",
        b"127.0.0.1.evil.com",
        b"127.0.0.1.nip.io",
        b"127a0b0c1",
        b"127.0.0.2",
        b"127.1",
        b"2130706433",
        b"0x7f000001",
        b"0.0.0.0",
        b"[::]",
        b"[::ffff:127.0.0.1]",
        b"[0:0:0:0:0:0:0:1]",
        b"evil.com:8080",
    ],
)
def test_other_names_are_misdirected(host: bytes):
    """A name that only resembles ours is refused exactly like any other: 421."""
    assert verdict(guard("api.example"), (b"Host", host)) is HostNotAllowedError


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b" ",
        b":80",
        b"a b/../?x",
        b"evil@localhost",
        b"localhost, evil",
        b"localhost:99999",
        b"localhost:65536",
        b"localhost:-1",
        b"localhost:80:80",
        b"localhost:8a",
        b"localhost/",
        b"localhost#",
        b"[::1",
        b"::1",
        b"[::1]x",
        b"[localhost]",
        b"caf\xe9",
        b"localhost\x00",
    ],
)
def test_what_is_no_host_is_a_bad_request(host: bytes):
    """A Host that RFC 9110 7.2 has no place for is 400."""
    assert host_name(host) is None
    assert verdict(guard(), (b"Host", host)) is BadRequestError


def test_one_host_is_needed_but_by_http_1_0():
    """Two Hosts are refused always, none only where HTTP/1.1 requires one."""
    twice = ((b"Host", b"localhost"), (b"Host", b"localhost"))
    assert verdict(guard(), *twice) is BadRequestError
    assert verdict(guard(), *twice, host_required=False) is BadRequestError
    assert verdict(guard()) is BadRequestError
    assert verdict(guard(), host_required=False) is None


@pytest.mark.parametrize("host", [b"10.0.0.1", b"192.168.1.2:80", b"[fe80::1]", b"[2001:db8::5]:8080"])
def test_a_remote_listener_takes_addresses_only(host: bytes):
    """With `allow_remote` every IP literal passes, and no name that an attacker could rebind."""
    assert verdict(guard(any_address=True), (b"Host", host)) is None
    assert verdict(guard(), (b"Host", host)) is HostNotAllowedError
    assert verdict(guard(any_address=True), (b"Host", b"evil.com")) is HostNotAllowedError


@pytest.mark.parametrize(
    "line",
    [
        (b"Origin", b"https://evil"),
        (b"Origin", b"null"),
        (b"Origin", b"http://localhost"),
        (b"origin", b""),
        (b"Sec-Fetch-Site", b"cross-site"),
        (b"Sec-Fetch-Site", b"same-site"),
        (b"Sec-Fetch-Site", b"Same-Origin"),
        (b"Sec-Fetch-Site", b""),
        (b"Sec-Fetch-Site", b"none, cross-site"),
        (b"Access-Control-Request-Method", b"GET"),
    ],
)
def test_web_pages_are_denied(line: tuple[bytes, bytes]):
    """Each sign of a web page is enough for a 403, unless `guard.browser` allows it."""
    host = (b"Host", b"localhost")
    assert verdict(guard(), host, line) is BrowserRequestDeniedError
    assert verdict(guard(browser_allowed=True), host, line) is None
    assert verdict(guard(browser_allowed=True), (b"Host", b"evil"), line) is HostNotAllowedError


@pytest.mark.parametrize("value", [b"same-origin", b"none"])
def test_what_a_person_does_passes(value: bytes):
    """What was typed, and what our own origin does, is no web page's request."""
    assert verdict(guard(), (b"Host", b"localhost"), (b"Sec-Fetch-Site", value)) is None


def test_the_memory_of_hosts_is_bounded():
    """A client that varies the port does not make the guard grow without bound."""
    rules = guard()
    for port in range(1000):
        assert rules.host_error(b"localhost:%d" % port) is None
    assert len(rules._passed) == 256


def test_each_listener_has_its_own_rules():
    """The forwarding listener knows the upstream's name; the admin listener neither that nor `guard.browser`."""
    configuration = settings(
        "https://api.example/v1",
        guard={"browser": "allow", "allowed_hosts": ("proxy.test", "2001:db8::7")},
        listen={"host": "192.0.2.1", "allow_remote": True},
        admin={"host": "admin.test"},
    )
    page = (b"Origin", b"null")
    ours, admin = for_listener(configuration), for_admin(configuration)
    for host in (b"api.example", b"proxy.test", b"[2001:db8::7]", b"192.0.2.1", b"198.51.100.1"):
        assert ours.check([(b"Host", host), page]) is None
    assert isinstance(ours.check([(b"Host", b"admin.test")]), HostNotAllowedError)
    for host in (b"admin.test", b"proxy.test", b"localhost"):
        assert admin.check([(b"Host", host)]) is None
    for host in (b"api.example", b"192.0.2.1", b"198.51.100.1"):
        assert isinstance(admin.check([(b"Host", host)]), HostNotAllowedError)
    assert isinstance(admin.check([(b"Host", b"localhost"), page]), BrowserRequestDeniedError)


def test_only_ipv6_gets_brackets():
    """A name stays as it is, an IPv6 literal is bracketed once."""
    assert [bracketed(name) for name in ("::1", "[::1]", "127.0.0.1", "a")] == ["[::1]", "[::1]", "127.0.0.1", "a"]
