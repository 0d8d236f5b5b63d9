"""
What a token endpoint's answer means: a pure function from status, headers and body to a `Token` or a `Failure`.

The answer is read as untrusted: a captive portal's HTML, JSON that was cut, a 200 that holds an error, a token that
a header cannot carry are all failures with a name (RFC 6749 5.1 and 5.2; Okta's own error shape for 429 and 404).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from proxy.tokens.failure import Failure, Outcome, is_about_clocks, is_refusal, printable
from proxy.tokens.remedies import NO_DPOP, remedy_for
from proxy.tokens.schedule import DEFAULT_LIFE, lifetime, named_delay
from proxy.tokens.source import Prover, Token

LARGEST_ANSWER = 64 * 1024
"""Bytes that are read of an answer; a longer one is a failure."""

_JUDGED = 1000
"""Characters of a server's text that tell what it means."""

_SCHEMES = {"bearer": "Bearer", "dpop": "DPoP", "": "Bearer"}
_ERROR_NAMES = ("error", "errorCode")
_DESCRIPTIONS = ("error_description", "errorSummary")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of a token endpoint. Header names are lower case, values of several lines joined by commas."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sent_boot: float
    """The moment just before the request was sent, on the boot clock, seconds."""
    sent_wall: float
    bind: Callable[[str], Prover] | None = field(default=None, repr=False)
    """Makes the prover of the token that was asked for with a proof (DPoP); None if it was asked for without."""


def read_answer(answer: Answer, secret: str) -> Token | Failure:
    """
    Return the token, or why there is none. *secret* is only used to keep it out of the failure's text.

    `Failure.delay` is set when the answer names a time to wait.
    """
    document = _json_object(answer.body)
    # A 200 with an error is one, whatever else it holds: x/oauth2 takes it so too.
    if answer.status != 200 or (document is not None and _text(document, _ERROR_NAMES)):
        return _error(document or {}, secret, answer)
    found = _token(answer, document) if document is not None else "it is not a JSON object"
    if isinstance(found, Token):
        return found if answer.bind is None or found.prover is not None else _unbound(answer, secret)
    message = f"The token endpoint's answer has no usable token: {found}."
    return Failure("failed", message, _captive(document), status=200, request_id=request_id(answer, secret))


def request_id(answer: Answer, secret: str) -> str | None:
    """Return what Okta's support asks for, None if the answer has none."""
    return printable(answer.headers.get("x-okta-request-id", ""), secret, 80) or None


def has_expiry(answer: Answer) -> bool:
    """Tell whether a successful answer says how long the token lives (RFC 6749 only recommends it)."""
    document = _json_object(answer.body)
    return document is not None and document.get("expires_in") is not None


def _captive(document: object) -> str:
    return "" if document is not None else "Is a captive portal or an outbound proxy answering in its place?"


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _token(answer: Answer, document: dict[str, object]) -> Token | str:
    """Return the token of a 200, or what is wrong with it in a few words of ours."""
    value = document.get("access_token")
    if not isinstance(value, str) or not value:
        return "access_token is missing"
    if not _HEADER_SAFE.fullmatch(value):
        return "access_token has characters that a header cannot hold"
    kind = document.get("token_type")
    kind = "" if kind is None else kind
    scheme = _SCHEMES.get(kind.lower()) if isinstance(kind, str) else None
    if scheme is None:
        return "token_type is neither Bearer nor DPoP"
    expires_in = document.get("expires_in")
    life = DEFAULT_LIFE if expires_in is None else lifetime(expires_in)
    if life is None:
        return "expires_in is not a usable number of seconds"
    prover = answer.bind(value) if answer.bind is not None and scheme == "DPoP" else None
    return Token(value, scheme, sent_boot=answer.sent_boot, sent_wall=answer.sent_wall, lifetime=life, prover=prover)


def _unbound(answer: Answer, secret: str) -> Failure:
    """Return the failure that a bearer token is where a bound one was wanted (RFC 9449 5: the client discards it)."""
    message = "The token endpoint gave a bearer token, although oauth.dpop asks for one that is bound to a key."
    return Failure("refused", message, NO_DPOP, status=200, request_id=request_id(answer, secret))


def error_of(answer: Answer) -> tuple[str, str]:
    """Return the server's error and its description, each cut to what tells its meaning; `""` where there is none."""
    document = _json_object(answer.body) or {}
    return _text(document, _ERROR_NAMES)[:64], _text(document, _DESCRIPTIONS)[:_JUDGED]


def _error(document: dict[str, object], secret: str, answer: Answer) -> Failure:
    """Return the failure that an error document, or an answer without one, means."""
    status = answer.status
    error, description = _text(document, _ERROR_NAMES), _text(document, _DESCRIPTIONS)
    # A 200 with an error document is judged as the 400 that it should have been.
    # What it means is told from the server's own words: a secret that is a word of theirs would hide it.
    words = description[:_JUDGED]
    refused = is_refusal(400 if status == 200 else status, error, words)
    if error == "use_dpop_nonce" and answer.bind is not None:
        refused = False  # a nonce that was replaced while it was on its way
    remedy = ""
    if refused or is_about_clocks(words):
        cause, do = remedy_for(status, error, words)
        remedy = f"Likely cause: {cause}. {do}"
    error, description = printable(error, secret, 64), printable(description, secret, 240)
    said = f"{error}: {description}" if error and description else error or description
    message = f"The token endpoint answered {status}{', ' if said else ''}{said.removesuffix('.')}."
    outcome: Outcome = "refused" if refused else "limited" if status == 429 else "failed"
    delay = None if refused else named_delay(answer.headers, answer.sent_wall, limited=status == 429)
    return Failure(outcome, message, remedy, error or None, status, delay, request_id(answer, secret))


def _text(document: dict[str, object], names: tuple[str, ...]) -> str:
    """Return the server's words as they are: to be judged, and to be shown only after `printable`."""
    for name in names:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value
    return ""
