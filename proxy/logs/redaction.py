"""
The second line of defence against secrets in the log; the first is not to log them.

Everything here is a pure function. What comes out is printable, bounded and fit for JSON: no secret that its key or
its shape gives away, no control character that could forge a line or steer a terminal.
"""

import re
import traceback
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from types import TracebackType

TEXT_LIMIT = 2000
"""Characters a value keeps."""

TRACEBACK_LIMIT = 8000
"""Characters a traceback keeps: its end, which says what happened."""

ITEMS_LIMIT = 50
DEPTH_LIMIT = 4

STARS = "***"

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_SECRET_KEY = re.compile(
    r"authorization|token|secret|passw|cookie|assertion|credential|private|api[_-]?key|proof|bearer",
    re.IGNORECASE,
)
# `token_url`, `client_secret_file`, `token_type`: they tell about a secret and are none.
_PUBLIC_KEY = re.compile(r"_(url|endpoint|file|type|wait|error|code|id|at|in|count|method|lifetime)$", re.IGNORECASE)

# Each begins with a fixed word and none repeats inside a repetition: the time is linear in the text's length.
_JWT = re.compile(r"eyJ[\w-]{6,}(?:\.[\w-]*)*")
_FIELD = re.compile(
    r"\b(authorization|cookie)(?:[\"']\s{0,3}[:,]\s{0,3}b?[\"']?|\s{0,3}[:=]\s{0,3}[\"']?)[^\r\n\"']+",
    re.IGNORECASE,
)
# The words are what prose, and Okta's error texts, have after a scheme's name; so is any other that is spelled as an
# ordinary word is. Base64 has letters of both cases within, even where it has no digit.
_SCHEME = re.compile(
    r"\b(bearer|basic|dpop)\s+"
    r"(?!(?:and|auth|authentication|bound|challenge|error|header|is|nonce|or|proof|realm|required|scheme|tokens?)\b)"
    r"(?!(?-i:[A-Za-z][a-z]{0,19})[.:!?)]*(?:[\s,;\"'<>]|$))"
    r"[^\s,;\"'<>]+",
    re.IGNORECASE,
)
_PAIR = re.compile(
    r"((?:secret|token|password|passwd|assertion|api[_-]?key)(?:=|[\"']\s{0,3}[:,=]\s{0,3}))"
    r"(?:b?\"[^\"]*\"?|b?'[^']*'?|[^\s&\"',;}]+)",
    re.IGNORECASE,
)


def clean(key: str, value: object, depth: int = 0) -> object:
    """Return *value* as it may be logged under *key*: a number as it is, else safe text or containers of it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if is_secret(key):
        return STARS
    if depth < DEPTH_LIMIT:
        if isinstance(value, Mapping):
            pairs = [(str(name), item) for name, item in list(value.items())[:ITEMS_LIMIT]]
            return {clean_text(name): clean(name, item, depth + 1) for name, item in pairs}
        if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes | bytearray):
            return [clean(key, item, depth + 1) for item in list(value)[:ITEMS_LIMIT]]
    return clean_text(_text(value))


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value[: TEXT_LIMIT + 1]).decode(errors="backslashreplace")
    # An exception's repr can hold a whole request, with its headers (aiohttp's ClientResponseError): its str does not.
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)


def clean_text(text: str) -> str:
    """Return *text* without secrets and control characters, cut to `TEXT_LIMIT` characters."""
    # No pattern matches without one of these, and to look for them costs a tenth of a pattern.
    if len(text) <= TEXT_LIMIT and "eyJ" not in text:
        if text.isidentifier():
            return text
        if text.isprintable() and " " not in text and "=" not in text and ":" not in text and "," not in text:
            return text
    kept = escape(redact(text[:TEXT_LIMIT]))
    return kept + "..." if len(text) > TEXT_LIMIT else kept


@lru_cache(maxsize=1024)
def is_secret(key: str) -> bool:
    """Tell whether what stands under *key* is a secret, by its name."""
    return bool(_SECRET_KEY.search(key)) and not _PUBLIC_KEY.search(key)


def redact(text: str) -> str:
    """Return *text* with stars for what has the shape of a token, a credential or a header that carries one."""
    text = _JWT.sub(STARS, text)
    text = _FIELD.sub(rf"\1: {STARS}", text)
    text = _SCHEME.sub(rf"\1 {STARS}", text)
    return _PAIR.sub(rf"\1{STARS}", text)


def escape(text: str, keep: str = "") -> str:
    r"""Return *text* with what is not printable (CR, LF, ESC, bidi marks) as `\x1b`, but for characters in *keep*."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def clean_traceback(exc_info: ExcInfo) -> str:
    """Return a traceback of several lines: no local variables, redacted, its last `TRACEBACK_LIMIT` characters."""
    lines = traceback.TracebackException(*exc_info, capture_locals=False).format()
    # Redacted before it is cut: a cut could part a secret from the word that gives it away.
    text = escape(redact("".join(lines)), keep="\n").rstrip("\n")
    if len(text) <= TRACEBACK_LIMIT:
        return text
    tail = text[-TRACEBACK_LIMIT:]
    return "..." + tail[tail.find("\n") :]
