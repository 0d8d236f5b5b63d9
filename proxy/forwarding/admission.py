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
from proxy.forwarding.target import Target, outbound_target, parse_target
from proxy.tokens.source import Token

NEVER_FORWARDED = frozenset({"CONNECT", "TRACE"})
_ALLOW = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)


class OutboundRequest(NamedTuple):
    """A request that may be forwarded. Everything is bytes as they go over the wire."""

    method: str
    start: bytes
    """The request line and all header lines but the injected one and the empty one."""
    is_chunked: bool
    """Whether its body goes out in chunks, as it came."""
    wants_continue: bool
    """Whether the client waits for a 100 before it sends its body."""
    own_authorization: bytes
    """With `inject.client_authorization: keep`, the client's own lines, which stand instead of ours; else empty."""
    client: ClientAddress
    """Where the client believes the upstream to be, for `upstream.rewrite`."""


class Prepared(NamedTuple):
    """What a request's header lines come to, whatever its method and target. The members are `OutboundRequest`'s."""

    lines: bytes
    is_chunked: bool
    wants_continue: bool
    own_authorization: bytes
    client_authority: bytes


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
        if method in NEVER_FORWARDED:
            raise MethodNotAllowedError(f"{method} is never forwarded.", headers=_ALLOW)
        return self.route(method, raw_target, self.prepare(version, raw))

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
        return Prepared(
            self._lines(version, headers, is_chunked=is_chunked),
            is_chunked,
            self._expectation(headers, version),
            own,
            headers.hosts[0] if headers.hosts else self._local_authority,
        )

    def route(self, method: str, raw_target: bytes, prepared: Prepared) -> OutboundRequest:
        """Return the request to forward to *raw_target* with the lines of *prepared*. Raises `ProxyError`."""
        target = parse_target(raw_target, method)
        authority = target.authority
        if authority is not None:
            error = self._guard.host_error(authority)
            if error is not None:
                raise error
        path, hidden = target.path, b""
        if self._base_path:
            names_upstream = self._names_upstream(target)
            path = outbound_target(target, self._base_path, names_upstream=names_upstream)
            hidden = self._base_path if names_upstream else b""
        return OutboundRequest(
            method,
            b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), path, prepared.lines),
            prepared.is_chunked,
            prepared.wants_continue,
            prepared.own_authorization,
            ClientAddress(authority or prepared.client_authority, hidden),
        )

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
        # The parser lets no more than 64 bits pass: what stands before the last 20 digits is zeros.
        if self._body_size is not None and lengths and int(lengths[0][-20:]) > self._body_size:
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

    def _lines(self, version: tuple[int, int], headers: RequestHeaders, *, is_chunked: bool) -> bytes:
        parts = [self._host_line, join_lines(headers.kept)]
        if is_chunked:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        elif headers.content_lengths:
            parts.append(b"Content-Length: %b\r\n" % headers.content_lengths[0])
        if self._added:
            present = {name.lower() for name, _ in headers.kept}
            parts.extend(line for name, line in self._added if name not in present)
        if self._sends_via:
            parts.append(b"Via: 1.%d %b\r\n" % (version[1], self._pseudonym))
        return b"".join(parts)


def token_value(token: Token, scheme: str | None) -> str:
    """Return the injected header's value; *scheme* (`inject.scheme`) overrides the token's own, `""` leaves it out."""
    scheme = token.scheme if scheme is None else scheme
    return f"{scheme} {token.value}" if scheme else token.value
