"""From the request that came to the one that goes: `proxy.forwarding.admission` as tables."""

from typing import Any

import pytest
from kit import make_token, settings

from proxy.errors import (
    BadRequestError,
    BodyTooLargeError,
    BrowserRequestDeniedError,
    ClientAuthorizationRejectedError,
    CodingNotSupportedError,
    ExpectationFailedError,
    HostNotAllowedError,
    LoopDetectedError,
    MethodNotAllowedError,
    ProxyError,
    VersionNotSupportedError,
)
from proxy.forwarding.admission import Admission, OutboundRequest
from proxy.forwarding.guard import for_listener
from proxy.forwarding.headers import RawHeaders
from proxy.forwarding.rewrite import ClientAddress
from proxy.tokens.source import Token

HOST = (b"Host", b"localhost:8080")


def admission(upstream: str = "https://api.example", **overrides: dict[str, Any]) -> Admission:
    """Return the rules for *upstream*."""
    configuration = settings(upstream, **overrides)
    return Admission(configuration, for_listener(configuration), "0123abcd", "localhost:8080")


def admit(
    *lines: tuple[bytes, bytes],
    method: str = "GET",
    target: bytes = b"/p?q",
    version: tuple[int, int] = (1, 1),
    rules: Admission | None = None,
    host: RawHeaders = (HOST,),
) -> OutboundRequest:
    """Admit a request with *lines* behind its Host."""
    return (rules or admission()).admit(method, target, version, [*host, *lines])


def start(request: OutboundRequest) -> bytes:
    """Return its head without the line of the credential and the empty one."""
    return request.head(b"").removesuffix(b"\r\n")


def address(target: bytes, request: OutboundRequest, rules: Admission | None = None) -> ClientAddress:
    """Return where the client that sent *target* believes the upstream to be."""
    return (rules or admission()).client_address(request.method, target, request.prepared)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"version": (2, 0)}, VersionNotSupportedError),
        ({"version": (0, 9)}, VersionNotSupportedError),
        ({"method": "CONNECT", "target": b"evil:443"}, MethodNotAllowedError),
        ({"method": "TRACE"}, MethodNotAllowedError),
        ({"host": ()}, BadRequestError),
        ({"host": ((b"Host", b"evil"),)}, HostNotAllowedError),
        ({"lines": ((b"Origin", b"null"),)}, BrowserRequestDeniedError),
        ({"target": b"http://evil/p"}, HostNotAllowedError),
        ({"target": b"http://u@localhost/p"}, BadRequestError),
        ({"target": b"http:///p"}, BadRequestError),
        ({"target": b"http://localhost/p", "host": ((b"Host", b"evil"),)}, HostNotAllowedError),
        ({"target": b"/p#f"}, BadRequestError),
        ({"lines": ((b"Via", b"1.0 x, 1.1 0123abcd"),)}, LoopDetectedError),
        ({"lines": ((b"Content-Length", b"1"), (b"Content-Length", b"1"))}, BadRequestError),
        ({"lines": ((b"Content-Length", b"9223372036854775808"),)}, BadRequestError),
        ({"lines": ((b"Content-Length", b"18446744073709551615"),)}, BadRequestError),
        ({"lines": ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1"))}, BadRequestError),
        ({"lines": ((b"Transfer-Encoding", b"chunked"),), "version": (1, 0)}, BadRequestError),
        ({"lines": ((b"Transfer-Encoding", b"gzip, chunked"),)}, CodingNotSupportedError),
        ({"lines": ((b"Expect", b"100-continue, x"),)}, ExpectationFailedError),
        ({"lines": ((b"Expect", b"x"),)}, ExpectationFailedError),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], error: type[ProxyError]):
    """Each request that must not be forwarded has its own error."""
    with pytest.raises(ProxyError) as caught:
        admit(*arguments.pop("lines", ()), **arguments)
    assert type(caught.value) is error


def test_the_request_line_and_host_are_ours_the_rest_is_the_clients():
    """The start of the request holds our line and Host, the client's lines as they were, and its framing."""
    request = admit((b"X-b", b"2"), (b"x-B", b"caf\xe9"), (b"Content-Length", b"07"), method="POST")
    assert start(request) == (
        b"POST /p?q HTTP/1.1\r\nHost: api.example\r\nX-b: 2\r\nx-B: caf\xe9\r\nContent-Length: 07\r\n"
    )
    assert not request.prepared.is_chunked
    assert address(b"/p?q", request) == ClientAddress(b"localhost:8080")


@pytest.mark.parametrize(
    ("upstream", "line"),
    [
        ("https://api.example", b"Host: api.example"),
        ("https://api.example:8443/v1", b"Host: api.example:8443"),
        ("http://api.example:80", b"Host: api.example"),
        ("http://[::1]:9000", b"Host: [::1]:9000"),
    ],
)
def test_the_host_is_the_upstreams(upstream: str, line: bytes):
    """The upstream's authority, with its port only if it is not the default."""
    assert start(admit(rules=admission(upstream))).split(b"\r\n")[1] == line


def test_a_head_is_made_once_for_each_credential():
    """The same request with the same line is the same head; another line makes another one."""
    request, line = admit(), b"Authorization: Bearer t\r\n"
    head = request.head(line)
    assert head.endswith(line + b"\r\n")
    assert request.head(line) is head
    assert request.head(b"Authorization: Bearer u\r\n").endswith(b"Bearer u\r\n\r\n")


KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
HANDSHAKE = ((b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"WebSocket"), KEY)


@pytest.mark.parametrize(
    ("lines", "arguments", "expected"),
    [
        (HANDSHAKE, {}, True),
        ((*HANDSHAKE, (b"Content-Length", b"0")), {}, True),
        (HANDSHAKE, {"method": "POST"}, False),
        (HANDSHAKE, {"version": (1, 0)}, False),
        (HANDSHAKE[:2], {}, False),
        ((*HANDSHAKE, KEY), {}, False),
        ((*HANDSHAKE, (b"Content-Length", b"1")), {}, False),
        ((*HANDSHAKE, (b"Transfer-Encoding", b"chunked")), {}, False),
        ((*HANDSHAKE, (b"Upgrade", b"h2c")), {}, False),
        (((b"Connection", b"Upgrade, Sec-WebSocket-Key"), *HANDSHAKE[1:]), {}, False),
        (((b"Connection", b"close"), *HANDSHAKE[1:]), {}, False),
        (((b"Connection", b"Upgrade"), (b"Upgrade", b"h2c"), KEY), {}, False),
    ],
)
def test_only_a_whole_handshake_asks_to_switch(lines: RawHeaders, arguments: dict[str, Any], expected: bool):
    """RFC 6455 4.1: anything less goes on as a plain request, without Connection and Upgrade."""
    request = admit(*lines, **arguments)
    assert request.asks_to_switch is expected
    assert request.is_plain is not expected
    assert (b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in request.head(b"")) is expected
    assert request.head(b"").lower().count(b"upgrade: ") == expected


@pytest.mark.parametrize(
    ("lines", "version", "expected"),
    [
        (((b"TE", b"trailers"),), (1, 1), True),
        (((b"te", b"gzip;q=0.5"), (b"TE", b"deflate, Trailers")), (1, 1), True),
        (((b"TE", b"gzip"),), (1, 1), False),
        (((b"TE", b"trailers"),), (1, 0), False),
        ((), (1, 1), False),
    ],
)
def test_trailers_are_asked_for_by_who_takes_them(lines: RawHeaders, version: tuple[int, int], expected: bool):
    """`TE: trailers` of the client becomes ours, named in our Connection; nothing else of TE travels."""
    request = admit(*lines, version=version)
    assert request.prepared.takes_trailers is expected
    assert (b"\r\nConnection: TE\r\nTE: trailers\r\n" in request.head(b"")) is expected
    assert request.head(b"").lower().count(b"\r\nte: ") == expected


def test_chunks_stay_chunks():
    """A chunked body is announced as one, behind the client's lines."""
    request = admit((b"Transfer-Encoding", b"Chunked"), method="POST")
    assert request.prepared.is_chunked
    assert start(request).endswith(b"\r\nTransfer-Encoding: chunked\r\n")


@pytest.mark.parametrize(
    ("via", "upstream", "version", "sent"),
    [
        ("auto", "http://127.0.0.1:1", (1, 1), b"Via: 1.1 0123abcd\r\n"),
        ("auto", "http://127.0.0.1:1", (1, 0), b"Via: 1.0 0123abcd\r\n"),
        ("auto", "https://api.example", (1, 1), b""),
        ("on", "https://api.example", (1, 1), b"Via: 1.1 0123abcd\r\n"),
        ("off", "http://127.0.0.1:1", (1, 1), b""),
    ],
)
def test_via_goes_where_it_is_wanted(via: str, upstream: str, version: tuple[int, int], sent: bytes):
    """Our name stands behind the client's Via lines, for loopback upstreams or where the operator says so."""
    rules = admission(upstream, upstream_={"via": via})
    head = start(admit((b"Via", b"1.1 other"), version=version, rules=rules))
    assert head.count(b"Via: 1.1 other\r\n") == 1
    assert head.partition(b"Via: 1.1 other\r\n")[2] == sent


def test_upstream_headers_fill_gaps_only():
    """`upstream.headers` are added where the client has none of that name, in whatever case."""
    rules = admission(upstream_={"headers": {"X-Requested-With": "okta-proxy", "X-Two": "2"}})
    request = admit((b"x-requested-with", b"curl"), rules=rules)
    assert start(request).endswith(b"x-requested-with: curl\r\nX-Two: 2\r\n")


@pytest.mark.parametrize(
    ("policy", "own"),
    [("replace", b""), ("keep", b"Authorization: Basic x\r\nauthorization: Bearer y\r\n")],
)
def test_the_clients_own_credentials(policy: str, own: bytes):
    """`replace` forgets them, `keep` sends them as they came, `reject` answers 400."""
    lines = ((b"Authorization", b"Basic x"), (b"authorization", b"Bearer y"))
    request = admit(*lines, rules=admission(inject={"client_authorization": policy}))
    assert request.prepared.own_authorization == own
    assert request.is_plain == (not own)
    assert b"uthorization" not in start(request)
    rejecting = admission(inject={"client_authorization": "reject"})
    assert admit(rules=rejecting).prepared.own_authorization == b""
    with pytest.raises(ClientAuthorizationRejectedError):
        admit(*lines, rules=rejecting)


@pytest.mark.parametrize(("length", "fits"), [(b"10", True), (b"11", False), (b"0" * 5000 + b"10", True)])
def test_a_body_that_is_too_long_is_refused_at_once(length: bytes, fits: bool):
    """`limits.body_size` looks at Content-Length before anything is sent; leading zeros are no size."""
    rules = admission(limits={"body_size": 10})
    line = (b"Content-Length", length)
    if fits:
        assert b"Content-Length: " + length in start(admit(line, method="POST", rules=rules))
    else:
        with pytest.raises(BodyTooLargeError):
            admit(line, method="POST", rules=rules)


def test_expectations():
    """`100-continue` in any case is noted and not forwarded; HTTP/1.0 knows no expectations."""
    request = admit((b"Expect", b"100-Continue"), method="POST")
    assert request.prepared.wants_continue
    assert b"Expect" not in start(request)
    old = admit((b"Expect", b"anything"), method="POST", version=(1, 0))
    assert not old.prepared.wants_continue
    assert b"Expect" not in start(old)


@pytest.mark.parametrize(
    ("target", "host", "sent", "authority", "base"),
    [
        (b"http://api.example/v1/x", b"api.example", b"/v1/x", b"api.example", b"/v1"),
        (b"http://localhost:8080/x", b"localhost:8080", b"/v1/x", b"localhost:8080", b""),
        (b"/x", b"api.example", b"/v1/x", b"api.example", b""),
    ],
)
def test_who_names_the_upstream_means_its_paths(target: bytes, host: bytes, sent: bytes, authority: bytes, base: bytes):
    """A client that takes us for an HTTP proxy has whole paths; for everybody else the base path is added."""
    rules = admission("https://api.example/v1")
    request = admit(target=target, host=((b"Host", host),), rules=rules)
    assert request.target == sent
    assert address(target, request, rules) == ClientAddress(authority, base)


def test_without_a_host_our_own_name_stands_in():
    """An HTTP/1.0 request without Host gets addresses with the listener's own name."""
    assert address(b"/", admit(version=(1, 0), host=())).authority == b"localhost:8080"


@pytest.mark.parametrize(
    ("inject", "scheme", "line"),
    [
        ({}, "Bearer", b"Authorization: Bearer t0\r\n"),
        ({}, "DPoP", b"Authorization: DPoP t0\r\n"),
        ({"scheme": "Token"}, "Bearer", b"Authorization: Token t0\r\n"),
        ({"scheme": ""}, "Bearer", b"Authorization: t0\r\n"),
        ({"header": "X-Api-Token", "scheme": ""}, "Bearer", b"X-Api-Token: t0\r\n"),
    ],
)
def test_the_line_that_carries_the_token(inject: dict[str, str], scheme: str, line: bytes):
    """`inject.header` and `inject.scheme` make the line, else the token's own scheme."""
    token = make_token("t0") if scheme == "Bearer" else Token("t0", scheme, sent_boot=0, sent_wall=0, lifetime=60)
    assert admission(inject=inject).token_line(token) == line
