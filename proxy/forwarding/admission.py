"""
From the request that the parser read to the one that goes upstream, or the error that is its answer. Pure.

The order of the checks is the order in which a request is trusted: its form, who sends it, where it wants to go.
"""

from typing import NamedTuple

from proxy.config import Settings
from proxy.config.urls import is_loopback
from proxy.errors import (
    BadRequestError,
    BodyTooLargeError,
    ClientAuthorizationRejectedError,
    CodingNotSupportedError,
    ExpectationFailedError,
    LoopDetectedError,
    MethodNotAllowedError,
    VersionNotSupportedError,
)
from proxy.forwarding.guard import Guard, host_name
from proxy.forwarding.headers import Classifier, RawHeaders, RequestHeaders, is_chunked_only, join_lines
from proxy.forwarding.rewrite import ClientAddress
from proxy.forwarding.target import Target, is_plain, outbound_target, parse_target
from proxy.tokens.source import Token

_LARGEST_BODY = 2**63 - 1
"""Bytes. Servers count in 63 or 64 bits, and the largest number of 64 means "no body" to llhttp, so to aiohttp too."""
_NEVER_FORWARDED = frozenset({"CONNECT", "TRACE"})
_ALLOW = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)


class Prepared(NamedTuple):
    """What a request's header lines come to, whatever its method and target. Bytes as they go over the wire."""

    lines: bytes
    """All header lines to send but the injected one."""
    is_chunked: bool
    """Whether its body goes out in chunks, as it came."""
    wants_continue: bool
    """Whether the client waits for a 100 before it sends its body."""
    own_authorization: bytes
    """With `inject.client_authorization: keep`, the client's own lines, which stand instead of ours; else empty."""
    wants_websocket: bool
    """Whether these are the lines of a WebSocket's opening handshake (RFC 6455 4.1), for a GET without a body."""
    takes_trailers: bool
    """Whether the client takes trailers behind an answer in chunks (RFC 9110 10.1.4)."""
    client_authority: bytes
    """The host and port that the client used."""


class OutboundRequest:
    """
    A request that may be forwarded.

    A connection that sends the same bytes again gets the same object: so it keeps the head that it made.
    """

    __slots__ = ("_head", "_made_with", "asks_to_switch", "is_plain", "method", "prepared", "target")

    def __init__(self, method: str, target: bytes, prepared: Prepared) -> None:
        self.method = method
        self.target = target
        """Path and query as the upstream gets them."""
        self.prepared = prepared
        self.asks_to_switch = prepared.wants_websocket and method == "GET"
        """Whether it is a WebSocket's opening handshake."""
        self.is_plain = not (prepared.own_authorization or self.asks_to_switch)
        """Whether it wants nothing but an answer, and our token."""
        self._made_with: bytes | None = None
        self._head = b""

    def head(self, authorization: bytes) -> bytes:
        """Return the whole head; *authorization* is the line that carries the credential, with its CRLF."""
        if authorization is not self._made_with:
            lines = self.prepared.lines
            if self.asks_to_switch:
                lines += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            self._head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (
                self.method.encode("ascii"),
                self.target,
                lines,
                authorization,
            )
            self._made_with = authorization
        return self._head


class Admission:
    """The rules of one listener, prepared once from the settings. *pseudonym* is our name in Via."""

    def __init__(self, settings: Settings, guard: Guard, pseudonym: str, local_authority: str) -> None:
        url = settings.upstream.url
        self._guard = guard
        self._classifier = Classifier(settings.inject.header)
        self._inject_name = settings.inject.header.encode("ascii")
        self._scheme = settings.inject.scheme
        self._policy = settings.inject.client_authorization
        self._base_path = url.path.encode("utf-8")
        self._upstream_name = url.host
        self._host_line = b"Host: %b\r\n" % url.authority.encode("ascii")
        self._local_authority = local_authority.encode("ascii")
        self._added = [
            (name.lower().encode("ascii"), f"{name}: {value}\r\n".encode())
            for name, value in settings.upstream.headers.items()
        ]
        via = settings.upstream.via
        self._pseudonym = pseudonym.encode("ascii")
        self._sends_via = via == "on" or (via == "auto" and is_loopback(url.host))
        self._body_size = settings.limits.body_size

    def admit(self, method: str, raw_target: bytes, version: tuple[int, int], raw: RawHeaders) -> OutboundRequest:
        """Return the request to forward. Raises the `ProxyError` that is its answer; then nothing was sent."""
        if method in _NEVER_FORWARDED:
            # Its target may be no path: that is not what is wrong with it.
            self.route(method, b"/")
        prepared = self.prepare(version, raw)
        return OutboundRequest(method, self.route(method, raw_target), prepared)

    def prepare(self, version: tuple[int, int], raw: RawHeaders) -> Prepared:
        """
        Return what follows from the header lines alone; the next request of a connection often has the same ones.

        Raises the `ProxyError` that is the answer to every request with these lines.
        """
        if version not in {(1, 1), (1, 0)}:
            raise VersionNotSupportedError("Only HTTP/1.0 and HTTP/1.1 are spoken here.")
        headers = RequestHeaders(raw, self._classifier)
        error = self._guard.request_error(headers, host_required=version == (1, 1))
        if error is not None:
            raise error
        self._check_via(headers)
        is_chunked = self._framing(headers, version)
        own = self._own_authorization(headers)
        wants_websocket = version == (1, 1) and not is_chunked and _wants_websocket(headers)
        takes_trailers = version == (1, 1) and _takes_trailers(headers)
        return Prepared(
            lines=self._lines(
                version, headers, is_chunked=is_chunked, takes_trailers=takes_trailers and not wants_websocket
            ),
            is_chunked=is_chunked,
            wants_continue=self._expectation(headers, version),
            own_authorization=own,
            wants_websocket=wants_websocket,
            takes_trailers=takes_trailers,
            client_authority=headers.hosts[0] if headers.hosts else self._local_authority,
        )

    def route(self, method: str, raw_target: bytes) -> bytes:
        """Return the target to send for *raw_target* . Raises `ProxyError`."""
        if method in _NEVER_FORWARDED:
            raise MethodNotAllowedError(f"{method} is never forwarded.", headers=_ALLOW)
        if not self._base_path and is_plain(raw_target):
            return raw_target
        target = parse_target(raw_target, method)
        authority = target.authority
        if authority is not None:
            error = self._guard.host_error(authority)
            if error is not None:
                raise error
        return outbound_target(target, self._base_path, names_upstream=self._names_upstream(target))

    def client_address(self, method: str, raw_target: bytes, prepared: Prepared) -> ClientAddress:
        """Return where the client of a request that `route` has passed believes the upstream to be."""
        target = parse_target(raw_target, method)
        hidden = self._base_path if self._names_upstream(target) else b""
        return ClientAddress(target.authority or prepared.client_authority, hidden)

    def token_line(self, token: Token) -> bytes:
        """Return the header line that carries *token*, with its CRLF."""
        return b"%b: %b\r\n" % (self._inject_name, token_value(token, self._scheme).encode("ascii"))

    def _names_upstream(self, target: Target) -> bool:
        """Tell whether the client believes that we are an HTTP proxy before the upstream, so that its path is whole."""
        if target.authority is None or is_loopback(self._upstream_name):
            return False
        return host_name(target.authority) == self._upstream_name

    def _check_via(self, headers: RequestHeaders) -> None:
        for value in headers.vias:
            if self._pseudonym in value:
                raise LoopDetectedError("The request has been here already: upstream.url leads back to this proxy.")

    def _framing(self, headers: RequestHeaders, version: tuple[int, int]) -> bool:
        """Return whether the body is chunked; refuse what servers could read in two ways (RFC 9112 6.1)."""
        lengths = headers.content_lengths
        if lengths:
            # The parser lets no more than 64 bits pass: what stands before the last 20 digits is zeros.
            size = int(lengths[0][-20:])
            if size > _LARGEST_BODY:
                raise BadRequestError("The request's Content-Length is larger than any body can be.")
            if self._body_size is not None and size > self._body_size:
                raise BodyTooLargeError("The body is larger than limits.body_size.")
        if not headers.codings:
            if len(lengths) > 1:
                raise BadRequestError("The request has more than one Content-Length.")
            return False
        if version == (1, 0) or lengths:
            raise BadRequestError("Transfer-Encoding stands beside Content-Length, or in HTTP/1.0.")
        if not is_chunked_only(headers.codings):
            raise CodingNotSupportedError("No transfer coding but chunked is supported.")
        return True

    def _own_authorization(self, headers: RequestHeaders) -> bytes:
        if not headers.authorization or self._policy == "replace":
            return b""
        if self._policy == "reject":
            raise ClientAuthorizationRejectedError(
                "The request has its own credentials, and inject.client_authorization is reject."
            )
        return join_lines(headers.authorization)

    def _expectation(self, headers: RequestHeaders, version: tuple[int, int]) -> bool:
        if headers.expect is None or version == (1, 0):
            return False
        if headers.expect.lower() != b"100-continue":
            raise ExpectationFailedError("No expectation but 100-continue is supported.")
        return True

    def _lines(
        self, version: tuple[int, int], headers: RequestHeaders, *, is_chunked: bool, takes_trailers: bool
    ) -> bytes:
        parts = [self._host_line, join_lines(headers.kept)]
        if is_chunked:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        elif headers.content_lengths:
            parts.append(b"Content-Length: %b\r\n" % headers.content_lengths[0])
        if takes_trailers:
            parts.append(b"Connection: TE\r\nTE: trailers\r\n")
        if self._added:
            present = {name.lower() for name, _ in headers.kept}
            parts.extend(line for name, line in self._added if name not in present)
        if self._sends_via:
            parts.append(b"Via: 1.%d %b\r\n" % (version[1], self._pseudonym))
        return b"".join(parts)


def _wants_websocket(headers: RequestHeaders) -> bool:
    """Tell an opening handshake from a request whose Upgrade is dropped: one that is incomplete, too."""
    return (
        headers.options is not None
        and b"upgrade" in headers.options
        and [value.lower() for value in headers.upgrades] == [b"websocket"]
        and headers.websocket_keys == 1
        and headers.content_lengths in ([], [b"0"])
        and any(name.lower() == b"sec-websocket-key" for name, _ in headers.kept)
    )


def _takes_trailers(headers: RequestHeaders) -> bool:
    codings = b",".join(headers.transfer_codings).split(b",")
    return any(coding.strip(b" \t").lower() == b"trailers" for coding in codings)


def token_value(token: Token, scheme: str | None) -> str:
    """Return the injected header's value; *scheme* (`inject.scheme`) overrides the token's own, `""` leaves it out."""
    scheme = token.scheme if scheme is None else scheme
    return f"{scheme} {token.value}" if scheme else token.value
