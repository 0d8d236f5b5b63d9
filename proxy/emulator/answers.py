"""
What an authorization server answers, as values: bodies and headers of success, of refusals, and of its front end.

Nothing here does I/O. `Answer` is what the servers send and what the faults are made of.
"""

import json
import secrets
from dataclasses import dataclass
from email.utils import formatdate
from time import gmtime, strftime
from typing import Literal

from proxy.emulator.errors import OAuthError

JSON = "application/json"

RATE_LIMIT_TEXTS = (
    "API call exceeded rate limit due to too many requests.",
    "You exceeded the maximum number of requests. Try again in a while.",
)
"""Okta's documentation has both for E0000047."""

_PHRASES = {
    404: "Not Found",
    405: "Not Allowed",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. `error` is the name that the record of the request gets, None for success."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    error: str | None = None


def oauth_refusal(error: OAuthError, shape: Literal["oauth", "bare", "entra"] = "oauth", now: float = 0.0) -> Answer:
    """Return the answer to a token request that is refused (RFC 6749 section 5.2), see `Manner.shape`."""
    body: dict[str, object] = {"error": error.error}
    if error.description and shape != "bare":
        body["error_description"] = error.description
    if shape == "entra":
        body |= _entra(error.description, now)
    return Answer(error.status, json.dumps(body).encode(), error=error.error)


def _entra(description: str, now: float) -> dict[str, object]:
    """Return what Entra ID adds to an error; what is said in Okta's words has no number."""
    import uuid  # noqa: PLC0415  # slow to load, and only for this

    trace, correlation, timestamp = str(uuid.uuid4()), str(uuid.uuid4()), strftime("%Y-%m-%d %H:%M:%SZ", gmtime(now))
    number = description.partition(":")[0].removeprefix("AADSTS")
    codes = [int(number)] if number.isdecimal() else []
    return {
        "error_description": f"{description} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}",
        "error_codes": codes,
        "timestamp": timestamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={number if codes else 0}",
    }


def api_error(status: int, code: str, summary: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Return an answer in the other error shape, the one of Okta's management API."""
    error_id = f"oae{secrets.token_urlsafe(16)}"
    body = {"errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": error_id, "errorCauses": []}
    return Answer(status, json.dumps(body).encode(), headers=headers, error=code)


def method_not_allowed(allow: str) -> Answer:
    """Return Okta's answer to a method that the endpoint does not have; *allow* is the `Allow` header's value."""
    summary = "The endpoint does not support the provided HTTP method"
    return api_error(405, "E0000022", summary, (("Allow", allow),))


def unsupported_media_type() -> Answer:
    """Return Okta's answer to a body that is no form. Okta says 400 here, not 415."""
    summary = "Bad request.  Accept and/or Content-Type headers likely do not match supported values."
    return api_error(400, "E0000021", summary)


def no_such_server(server: str) -> Answer:
    """Return Okta's answer to the id of an authorization server that it does not have."""
    return api_error(404, "E0000007", f"Not found: Resource not found: {server} (AuthorizationServer)")


def no_such_path() -> Answer:
    """Return Okta's answer to a path that it does not have."""
    return api_error(404, "E0000008", "The requested path was not found")


def rate_limited(headers: tuple[tuple[str, str], ...], summary: str = RATE_LIMIT_TEXTS[0]) -> Answer:
    """Return Okta's 429. *headers* tell the limit, and may be none."""
    return api_error(429, "E0000047", summary, headers)


def front_end(status: int) -> Answer:
    """Return what the load balancer before Okta says in HTML when Okta itself says nothing."""
    title = f"{status} {_PHRASES.get(status, 'Error')}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    body = f"{page}<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return Answer(status, body.encode(), "text/html", error=str(status))


def document(content: object) -> Answer:
    """Return *content* as a JSON document that may be cached: keys and metadata."""
    return Answer(200, json.dumps(content).encode(), headers=(("Cache-Control", "max-age=3600, must-revalidate"),))


def front_headers(now: float) -> list[tuple[str, str]]:
    """Return what every answer carries; `Date` is by the server's own clock, *now* in seconds."""
    return [("Date", formatdate(now, usegmt=True)), ("Server", "nginx")]


def okta_headers() -> list[tuple[str, str]]:
    """Return what every answer of Okta itself carries beyond that."""
    return [("x-okta-request-id", secrets.token_urlsafe(18)), ("x-content-type-options", "nosniff")]


def token_endpoint_headers() -> list[tuple[str, str]]:
    """Return what every answer of a token endpoint carries beyond that: also cookies, which no client should keep."""
    gone = "Version=1;Path=/;Max-Age=0"
    return [
        ("Cache-Control", "no-cache, no-store"),
        ("Pragma", "no-cache"),
        ("Expires", "0"),
        ("Set-Cookie", f'sid="";{gone}'),
        ("Set-Cookie", f'xids="";{gone}'),
        ("Set-Cookie", f"JSESSIONID={secrets.token_hex(16).upper()}; Path=/; Secure; HttpOnly"),
    ]
