"""
Why a fetch failed, and what that means: the classification is by what the server said, never by the HTTP status alone.

Okta answers `no_matching_policy` with 401, `temporarily_unavailable` with 400 and `server_error` with 400, 403 or 500
(OKTA's own error list), so a status tells little.
"""

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, quote_plus

Outcome = Literal["unreachable", "failed", "limited", "refused"]


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A fetch that brought no token. Everything here may be shown and logged: no secret, bounded, printable ASCII.

    `outcome` is the metric's label: `unreachable` (no answer came), `failed` (an answer of no use), `limited`
    (we were told to wait), `refused` (only a person can mend it).
    """

    outcome: Outcome
    message: str
    remedy: str = ""
    error: str | None = None
    """The server's `error` or `errorCode`."""
    status: int | None = None
    delay: float | None = None
    """Seconds that the server told us to wait, already clamped."""
    request_id: str | None = None

    @property
    def reached(self) -> bool:
        """Whether the token endpoint answered."""
        return self.outcome != "unreachable"

    @property
    def detail(self) -> str:
        """The message and the remedy as one text."""
        return f"{self.message} {self.remedy}".strip()


_TRANSIENT_STATUS = {408, 425, 429}
_TRANSIENT_ERRORS = {"temporarily_unavailable"}
# Of the assertion or proof only: an expired *secret* is a person's to renew.
_SIGNED = r"(?:client_assertion|DPoP proof)\b.*"
# Rebuilt with the next attempt's time; a machine whose clock is being set heals by itself.
_CLOCK_TEXT = re.compile(
    _SIGNED + r"(?:is expired|too far into the future|before the current time|in the future|in the past)"
)
# The next attempt makes a new jti.
_SPENT_TEXT = re.compile(_SIGNED + r"has already been used")
# Okta could not fetch our keys.
_PASSING_TEXT = re.compile(r"Error retrieving the client JWKSet")


def is_about_clocks(description: str) -> bool:
    """Tell whether the server says that our clock and its own differ."""
    return _CLOCK_TEXT.search(description) is not None


def is_spent(description: str) -> bool:
    """Tell whether the server says that it has seen this assertion or proof before."""
    return _SPENT_TEXT.search(description) is not None


def is_refusal(status: int, error: str, description: str) -> bool:
    """Tell whether only a person can mend it: every 4xx but those that pass by themselves."""
    if not 400 <= status < 500 or status in _TRANSIENT_STATUS or error in _TRANSIENT_ERRORS:
        return False
    passes = is_about_clocks(description) or is_spent(description)
    return not passes and _PASSING_TEXT.search(description) is None


_BASE64 = re.compile(r"([A-Za-z0-9+/]{8,})={0,2}")


def _decoded(text: str) -> str:
    return b64decode(text + "=" * (-len(text) % 4)).decode(errors="ignore") if len(text) % 4 != 1 else ""


def printable(text: str, secret: str = "", limit: int = 240) -> str:
    """
    Return *text* from a server as something that can be shown: printable ASCII, bounded, without *secret*.

    A server may echo what it was sent: the secret goes by value, as it is, as a form and as Basic have it, and a token
    by its shape.
    """
    if secret:
        spellings = (secret, quote_plus(secret), quote(secret, safe=""))
        for spelling in spellings:
            text = text.replace(spelling, "***")
        text = _BASE64.sub(lambda match: "***" if any(s in _decoded(match[1]) for s in spellings) else match[0], text)
    text = re.sub(r"eyJ[\w.-]{10,}", "***", text)
    text = re.sub(r"\b(Bearer|DPoP|Basic)\s+[\w.~+/=-]{8,}", r"\1 ***", text, flags=re.IGNORECASE)
    text = re.sub(r"[^\x20-\x7e]+", " ", text)
    return text if len(text) <= limit else text[: limit - 3] + "..."
