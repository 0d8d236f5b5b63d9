"""Who may ask the admin listener for what."""

import pytest

from proxy.admin.access import PROBES, ROUTES, admission, is_loopback, routing, split_target
from proxy.errors import BrowserRequestDeniedError, HostNotAllowedError, ProxyError

LOCALHOST = [(b"Host", b"localhost:8081")]


def guard(headers):
    """Accept the Host localhost, on any port, and no Origin."""
    for name, value in headers:
        if name.lower() == b"host" and value.split(b":")[0] != b"localhost":
            return HostNotAllowedError("not ours")
        if name.lower() == b"origin":
            return BrowserRequestDeniedError("a page")
    return None


def admitted(method="GET", target="/status", headers=LOCALHOST, *, local=True, allow_remote=False) -> ProxyError | None:
    """Ask with the usual values."""
    return admission(method, target, headers, local=local, allow_remote=allow_remote, guard=guard)


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 5000), True),
        (("127.8.9.10", 5000), True),
        (("::1", 5000, 0, 0), True),
        (("::ffff:127.0.0.1", 5000, 0, 0), True),
        (("::ffff:10.1.2.3", 5000, 0, 0), False),
        (("10.1.2.3", 5000), False),
        (("192.168.0.1", 5000), False),
        (("0.0.0.0", 5000), False),
        (("::", 5000, 0, 0), False),
        (("2001:db8::1", 5000, 0, 0), False),
        (("fe80::1%eth0", 5000, 0, 2), False),
        (("localhost", 5000), False),
        ((), False),
        ("", False),
        (None, False),
    ],
)
def test_only_loopback_addresses_are_this_machine(peer, local):
    """IPv4-mapped loopback counts, and whatever is no IP address does not."""
    assert is_loopback(peer) is local


@pytest.mark.parametrize(
    ("target", "authority", "path"),
    [
        ("/", None, "/"),
        ("/livez", None, "/livez"),
        ("/livez?verbose=1", None, "/livez"),
        ("/livez#x", None, "/livez"),
        ("//livez", None, "//livez"),
        ("/%6civez", None, "/%6civez"),
        ("?x", None, "/"),
        ("*", None, "*"),
        ("example.com:443", None, "example.com:443"),
        ("http://localhost:8081/status?x", "localhost:8081", "/status"),
        ("HTTP://localhost", "localhost", "/"),
        ("http://localhost?x=/status", "localhost", "/"),
        ("http://u@evil.example/status", "u@evil.example", "/status"),
        ("http:///status", "", "/status"),
        ("http://evil.example#@localhost/status", "evil.example", "/"),
        ("https://localhost/status", None, "https://localhost/status"),
    ],
)
def test_a_target_is_split_without_decoding_it(target, authority, path):
    """The authority comes from an absolute-form target only, and the path stays as it was written."""
    assert split_target(target) == (authority, path)


def test_local_requests_are_the_guards_to_judge():
    """What the guard lets through is admitted, what it denies is answered with its error."""
    assert admitted() is None
    assert isinstance(admitted(headers=[(b"Host", b"evil.example")]), HostNotAllowedError)
    assert isinstance(admitted("POST", "/refresh", [*LOCALHOST, (b"Origin", b"null")]), BrowserRequestDeniedError)


def test_probes_from_this_machine_pass_the_guard_too():
    """`admin.allow_remote` opens nothing for a page that rebinds its name to 127.0.0.1."""
    for path in PROBES:
        assert isinstance(admitted(target=path, headers=[(b"Host", b"evil.example")], allow_remote=True), ProxyError)


@pytest.mark.parametrize("authority", ["evil.example", "localhost@evil.example", "evil.example:80", ""])
def test_the_authority_of_an_absolute_target_must_pass_as_a_host_would(authority):
    """A good Host line does not excuse a target that names another host (RFC 9112 3.2.2)."""
    denied = admitted(target=f"http://{authority}/status")
    assert isinstance(denied, HostNotAllowedError)


def test_an_absolute_target_that_names_us_is_admitted():
    """Servers accept the absolute-form (RFC 9112 3.2.2), and the other header lines are still looked at."""
    assert admitted(target="http://localhost:8081/status") is None
    assert isinstance(admitted(target="http://localhost/status", headers=[(b"Host", b"evil")]), HostNotAllowedError)
    assert isinstance(admitted(target="http://localhost/", headers=[(b"Origin", b"x")]), BrowserRequestDeniedError)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_connect_and_trace_are_never_allowed(method):
    """They are 405 with an Allow line, whatever the target."""
    for target in ("/status", "evil.example:443", "http://localhost/"):
        denied = admitted(method, target)
        assert denied is not None
        assert (denied.status, denied.headers[0][0]) == (405, "Allow")


@pytest.mark.parametrize("headers", [LOCALHOST, [(b"Host", b"10.0.0.7:8081")], []])
def test_other_machines_get_the_probes_and_nothing_else(headers):
    """With `admin.allow_remote` a remote peer may GET three paths whatever its Host, and the rest is 403."""
    for path in ROUTES:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "CONNECT", "TRACE"):
            denied = admitted(method, path, headers, local=False, allow_remote=True)
            if method == "GET" and path in PROBES:
                assert denied is None
            else:
                assert denied is not None
                assert (denied.status, denied.code) == (403, "path_not_allowed")


@pytest.mark.parametrize("target", ["//livez", "/livez/", "/livez/../status", "/livez/status", "/metrics;/status", "*"])
def test_other_machines_cannot_spell_their_way_past_the_probes(target):
    """Paths are compared as they are written."""
    denied = admitted(target=target, local=False, allow_remote=True)
    assert denied is not None
    assert denied.status == 403


def test_without_allow_remote_other_machines_get_nothing():
    """Every request of theirs is 403."""
    for path in ROUTES:
        denied = admitted(target=path, local=False)
        assert denied is not None
        assert denied.status == 403


def test_paths_and_methods_are_routed_or_named():
    """An unknown path is 404, a method that a path does not take is 405 with the ones it does."""
    assert routing("GET", "/status") is None
    assert routing("HEAD", "/readyz") is None
    assert routing("POST", "/refresh") is None
    unknown, wrong, changing = routing("GET", "/nope"), routing("POST", "/status"), routing("GET", "/quitquitquit")
    assert unknown is not None
    assert (unknown.status, unknown.code) == (404, "not_found")
    assert wrong is not None
    assert (wrong.status, wrong.headers) == (405, (("Allow", "GET, HEAD"),))
    assert changing is not None
    assert (changing.status, changing.headers) == (405, (("Allow", "POST"),))
