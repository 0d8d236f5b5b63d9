"""What an upstream's 401 says of the token (RFC 9110 11.6.1, RFC 6750 3). Pure."""

import re
from collections.abc import Iterable

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "PROPFIND", "REPORT", "SEARCH"})
"""RFC 9110 9.2.1, and the registered extensions that are safe."""
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}
"""RFC 9110 9.2.2."""

USE_NONCE = "use_dpop_nonce"
"""The error that asks for a proof with the nonce that came beside it (RFC 9449 8)."""

_SCHEME = re.compile(rb"(?:^|,)[ \t]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=[ \t]+[^=, \t]|[ \t]*(?:,|$))")
_ERROR = re.compile(rb"[ \t,]error[ \t]*=[ \t]*([^, \t]+)", re.IGNORECASE)
_QUOTED = re.compile(rb"\"(?:[^\"\\]|\\.)*+(?:\"|\\?$)")
_LONGEST = 4096
"""Bytes of a challenge that are looked at: it comes from the upstream, and nobody writes a longer one."""


def token_errors(values: Iterable[bytes]) -> set[str] | None:
    """
    Return the `error` of each Bearer or DPoP challenge in the WWW-Authenticate *values*, `""` where it has none.

    None if there is no such challenge.
    """
    found: set[str] = set()
    for value in (value[:_LONGEST] for value in values):
        # Quoted strings are blanked (to the same length) to find names in; the error is read from the real bytes.
        blank = _QUOTED.sub(lambda match: b"_" * len(match[0]), value)
        starts = list(_SCHEME.finditer(blank))
        for number, match in enumerate(starts):
            if match[1].lower() not in {b"bearer", b"dpop"}:
                continue
            end = starts[number + 1].start() if number + 1 < len(starts) else len(value)
            error = _ERROR.search(blank, match.end(), end)
            found.add(value[error.start(1) : error.end(1)].strip(b'"').decode("latin-1") if error else "")
    return found or None


def calls_for_refresh(errors: set[str] | None) -> bool:
    """Tell whether another token may help: not when ours lacks a scope (`insufficient_scope`)."""
    return errors is None or "insufficient_scope" not in errors


def allows_replay(method: str, errors: set[str] | None) -> bool:
    """
    Tell whether a request that was answered 401 may be sent once more with a newer token.

    A safe method may; another only when the challenge says that the token was looked at before anything was done.
    """
    if method in SAFE_METHODS:
        return True
    return errors is not None and bool(errors & {"", "invalid_token", USE_NONCE})
