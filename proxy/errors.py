"""
The failures that have a name: each class knows its HTTP status, its code and its RFC 9209 error type.

What the proxy answers itself is made here from such an error, and from nothing else: no exception text, no byte
of a request and no secret can get into an answer. `detail` is our own words and names the key to change.
"""

import json
from http import HTTPStatus
from typing import ClassVar


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has one `section.key: what is wrong, and the fix` a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StartError(Exception):
    """The process cannot start or go on, for a reason that one line explains (a port in use)."""


class ProxyError(Exception):
    """A failure that a client is told of. Subclasses fix everything but `detail` and the variable headers."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    proxy_status: str = "proxy_internal_error"
    """The error type of RFC 9209 section 2.3."""
    closes: ClassVar[bool] = False
    """Whether the client's connection ends with this answer, because its framing cannot be trusted any more."""

    def __init__(self, detail: str, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers


class InternalError(ProxyError):
    """Our own bug."""


class TokenUnavailableError(ProxyError):
    """No usable token within the patience. `retry_after` is in seconds, from the real schedule."""

    status = 503
    code = "token_unavailable"

    def __init__(self, detail: str, *, retry_after: float) -> None:
        seconds = max(1, -int(-retry_after // 1))
        super().__init__(detail, headers=(("Retry-After", str(seconds)),))
        self.retry_after = retry_after


class TokenRefusedError(ProxyError):
    """The token endpoint refused for a reason that only a person can mend."""

    status = 502
    code = "token_refused"
    proxy_status = "proxy_configuration_error"


class UpstreamError(ProxyError):
    """The upstream gave no usable answer. `proxy_status` says at which step."""

    status = 502
    code = "upstream_unreachable"
    proxy_status = "connection_terminated"

    def __init__(self, detail: str, *, proxy_status: str | None = None) -> None:
        super().__init__(detail)
        if proxy_status is not None:
            self.proxy_status = proxy_status


class UpstreamTimeoutError(UpstreamError):
    """The upstream did not connect, or did not answer, in time."""

    status = 504
    code = "upstream_timeout"
    proxy_status = "http_response_timeout"


class UpstreamProtocolError(UpstreamError):
    """What the upstream sent is not HTTP/1.x as RFC 9112 has it."""

    code = "upstream_protocol_error"
    proxy_status = "http_protocol_error"


class DeniedError(ProxyError):
    """The guard's base class: the request is never forwarded."""

    proxy_status = "http_request_denied"


class HostNotAllowedError(DeniedError):
    """The request names a host that is none of ours (DNS rebinding, or a missing `guard.allowed_hosts`)."""

    status = 421
    code = "host_not_allowed"


class BrowserRequestDeniedError(DeniedError):
    """A web page made the request."""

    status = 403
    code = "browser_request_denied"


class MethodNotAllowedError(DeniedError):
    """CONNECT and TRACE."""

    status = 405
    code = "method_not_allowed"
    closes = True


class ClientAuthorizationRejectedError(DeniedError):
    """`inject.client_authorization: reject`, and the client sent its own."""

    status = 400
    code = "client_authorization_rejected"


class BadRequestError(ProxyError):
    """The base of what is never forwarded because it is not the HTTP that we accept; the connection closes."""

    status = 400
    code = "bad_request"
    proxy_status = "http_request_error"
    closes = True


class RequestTimeoutError(BadRequestError):
    """The client's head or body did not arrive in time."""

    status = 408
    code = "request_timeout"


class BodyTooLargeError(BadRequestError):
    """The body is over `limits.body_size`."""

    status = 413
    code = "body_too_large"


class TargetTooLongError(BadRequestError):
    """The request line is over `limits.head_size`."""

    status = 414
    code = "target_too_long"


class ExpectationFailedError(BadRequestError):
    """An `Expect` other than `100-continue`."""

    status = 417
    code = "expectation_failed"


class HeadTooLargeError(BadRequestError):
    """The head is over `limits.head_size`, or has too many lines."""

    status = 431
    code = "head_too_large"


class CodingNotSupportedError(BadRequestError):
    """A transfer coding other than `chunked` (RFC 9112 6.1)."""

    status = 501
    code = "coding_not_supported"


class VersionNotSupportedError(BadRequestError):
    """An HTTP version other than 1.0 and 1.1."""

    status = 505
    code = "version_not_supported"


class TooBusyError(ProxyError):
    """More requests in flight, or connections, than `limits` has."""

    status = 503
    code = "too_busy"
    proxy_status = "connection_limit_reached"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers=(("Retry-After", "1"),))


class LoopDetectedError(ProxyError):
    """Our own `Via` came back."""

    status = 508
    code = "loop_detected"
    proxy_status = "proxy_loop_detected"


def phrase(status: int) -> str:
    """Return the reason phrase of *status* (RFC 9110 section 15), `""` for one that has none."""
    if status == 413:
        return "Content Too Large"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def problem(error: ProxyError, request_id: str) -> tuple[list[tuple[str, str]], bytes]:
    """
    Return the headers and the body of the answer to *error*: an RFC 9457 problem.

    `Proxy-Status` (RFC 9209) tells whose error it is. Framing, `Date` and `Connection` are the listener's to add.
    """
    body = {
        "type": "about:blank",
        "title": phrase(error.status),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Proxy-Status", f"okta-proxy; error={error.proxy_status}"),
        *error.headers,
    ]
    return headers, json.dumps(body).encode() + b"\n"
