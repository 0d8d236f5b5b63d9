"""
What can be made to go wrong at the token endpoint: a small closed set of frozen values.

Give them to `AuthorizationServer.fail` (one token request each, in order) or `AuthorizationServer.always`. A fault
replaces, delays, alters or cuts the answer; the request is recorded all the same, and `repr` names the fault.
`NAMED` has one of each kind, for tables.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from proxy.emulator.answers import RATE_LIMIT_TEXTS, Answer, front_end
from proxy.emulator.errors import names


class Mark(Enum):
    """What `Altered` does with a field instead of giving it a value."""

    KEEP = "keep"
    OMIT = "omit"


KEEP: Final = Mark.KEEP
OMIT: Final = Mark.OMIT


@dataclass(frozen=True, slots=True)
class Refused:
    """Okta refuses with the error that it calls *name* (`proxy.emulator.errors`), whatever was asked."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in names():
            raise ValueError(f"no such error: {self.name}; there are {', '.join(names())}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited:
    """
    429 with E0000047.

    `X-Rate-Limit-Reset` is *reset_in* seconds after the answer's own `Date`, or *reset* as it stands; with both None
    no `X-Rate-Limit-*` is sent. *retry_after* is sent as it stands. *limit* and *remaining* 0: the concurrency limit.
    """

    reset_in: float | None = 30.0
    reset: str | None = None
    retry_after: str | None = None
    limit: int = 150
    remaining: int = 0
    summary: str = RATE_LIMIT_TEXTS[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Altered:
    """
    A success whose body says something else than the truth; a request that is refused anyway stays refused.

    Each field is a value, or left as it is (KEEP), or left out (OMIT). *lives* is the token's own life in seconds,
    *revoked* has the echo API refuse it from the start, *padding* bytes make the body big, *gzip* codes it. *jkt* is
    the thumbprint of the key that the token is bound to (OMIT: to none), whatever proof came.
    """

    access_token: object = KEEP
    token_type: object = KEEP
    expires_in: object = KEEP
    scope: object = KEEP
    lives: float | None = None
    revoked: bool = False
    padding: int = 0
    gzip: bool = False
    jkt: str | Mark = KEEP


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer waits for *until*: seconds, or an event that the caller sets. *then* is the fault that it meets."""

    until: float | asyncio.Event
    then: "Fault | None" = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing comes any more: not even the head, or half of the body. Ends when the client or the server leaves."""

    at: Literal["head", "body"] = "head"


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection ends (FIN) or is reset (RST), before the head or in the middle of the body."""

    how: Literal["close", "reset"] = "close"
    at: Literal["head", "body"] = "head"


Fault = Refused | RateLimited | Answer | Altered | Slow | Hang | Drop
"""What `fail` and `always` take. An `Answer` is sent as it is."""


def redirect(location: str, status: int = 302) -> Answer:
    """Return an answer that sends the client to *location*; who follows it gives the secret away."""
    return Answer(status, headers=(("Location", location),), error=str(status))


def _success(body: bytes, content_type: str = "application/json") -> Answer:
    return Answer(200, body, content_type, error="unusable")


TRUNCATED_JSON = _success(b'{"token_type":"Bearer","expires_in":3600,"access_tok')
HTML_200 = _success(b"<html><body>Sign in to the hotel's network</body></html>", "text/html")
EMPTY_OBJECT = _success(b"{}")
EMPTY_BODY = _success(b"")
NULL = _success(b"null")
EMPTY_LIST = _success(b"[]")
JSON_STRING = _success(b'"token"')
NOT_UTF8 = _success(b'{"token_type":"Bearer","access_token":"\xff\xfe"}')
ERROR_WITH_200 = _success(b'{"error":"invalid_client","error_description":"No client credentials found."}')
NO_CONTENT = Answer(204, error="unusable")
REDIRECT = redirect("https://login.example.com/oauth2/default/v1/token")
HTML_500, HTML_502, HTML_503 = front_end(500), front_end(502), front_end(503)
RATE_LIMITED = RateLimited()
CONCURRENCY_LIMITED = RateLimited(limit=0)
NO_EXPIRES_IN = Altered(expires_in=OMIT)
EXPIRES_IN_STRING = Altered(expires_in="3600")
EXPIRES_IN_ZERO = Altered(expires_in=0)
ILLEGAL_TOKEN = Altered(access_token="ey.J\r\nX-Injected: 1")  # noqa: S106  # it is the point that this is no token
NO_TOKEN = Altered(access_token=OMIT)
TOKEN_TYPE_MAC = Altered(token_type="mac")  # noqa: S106  # a type, not a secret
NO_TOKEN_TYPE = Altered(token_type=OMIT)
REVOKED_TOKEN = Altered(revoked=True)
EXPIRED_TOKEN = Altered(lives=-60.0)
HUGE = Altered(padding=8 * 1024 * 1024)
GZIP = Altered(gzip=True)
HANG, HANG_IN_BODY = Hang("head"), Hang("body")
CLOSE, CLOSE_IN_BODY = Drop("close"), Drop("close", "body")
RESET, RESET_IN_BODY = Drop("reset"), Drop("reset", "body")

NAMED: dict[str, Fault] = {
    name.lower(): value
    for name, value in list(globals().items())
    if name.isupper() and isinstance(value, RateLimited | Answer | Altered | Hang | Drop)
}
"""Every fault above by its name in lower case; `Refused` and `Slow` need a word more."""

# Not among them: who asks for a token without a DPoP proof finds nothing wrong with these.
UNBOUND_TOKEN = Altered(jkt=OMIT)
FOREIGN_TOKEN = Altered(jkt="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
NOT_SAID_TO_BE_BOUND = Altered(token_type="Bearer")  # noqa: S106  # a type, not a secret
