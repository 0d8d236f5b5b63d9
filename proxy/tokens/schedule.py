"""
When to fetch, when to try again, when not to: pure functions over seconds.

The numbers' precedents: botocore and Cloud SQL refresh ahead and keep the old credential when it fails; Vault's
agent backs off from 1 s; Okta's limits are given per minute and reset by the epoch second.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_LIFE = 24 * 3600.0
"""Okta's longest access-token lifetime; what claims more is not believed."""
DEFAULT_LIFE = 300.0
"""When `expires_in` is missing: Okta's shortest lifetime."""
NAP = 15.0
"""The longest single wait: after a suspend, timers are late by as long as the machine slept."""
REFUSED_DELAY = 60.0
"""Between tries when only a person can mend it."""
LEAST_GAP = 1.0
"""From one token to the request for the next, however short its life."""
PULL_INTERVAL = 5.0
"""A waiting request may pull the next try forward once in so long."""
FORCED_WINDOW = 30.0
"""At most two forced refreshes in so long."""
FORCED_LONGEST_GAP = 300.0
"""How far apart they get while fresh tokens are refused too."""


def lifetime(expires_in: object) -> float | None:
    """
    Return the lifetime in seconds that an answer's `expires_in` gives, at most 24 h, or None if it gives none.

    RFC 6749 5.1 has a number; numeric strings are met in the wild. A life of 1 s or less cannot be used.
    """
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return None
    try:
        seconds = float(expires_in)
    except (ValueError, OverflowError):
        # A JSON integer can be larger than any float.
        return LONGEST_LIFE if isinstance(expires_in, int) and expires_in > 0 else None
    if math.isnan(seconds) or seconds <= 1:
        return None
    return min(seconds, LONGEST_LIFE)


def refresh_after(life: float, chance: float) -> float:
    """
    Return how many seconds into a token's *life* to fetch its successor; *chance* is random in [0, 1).

    At 70 to 75 %: the rest is for an outage of the token endpoint, the jitter keeps a fleet from asking at once.
    At half of a life under 2 minutes, where a quarter would be too short to try twice.
    """
    if life < 120:
        return life / 2
    return life * (0.70 + 0.05 * chance)


def backoff(failures: int, *, reached: bool, chance: float) -> float:
    """
    Return the seconds to wait after the *failures*-th failure in a row (1 is the first), with full jitter.

    Up to 15 s while the token endpoint was not reached (a network that comes back should be used soon), up to 60 s
    when it answered. Never under 0.1 s.
    """
    ceiling = min(60.0 if reached else 15.0, 2.0 ** min(failures - 1, 10))
    return max(0.1, ceiling * chance)


def named_delay(headers: Mapping[str, str], wall: float, *, limited: bool = True) -> float | None:
    """
    Return the seconds that an answer tells us to wait, within 1 s and 10 min, or None if it names no time.

    *headers* has lower-case names, *wall* is our own clock. `Retry-After` (RFC 9110 10.2.3) may be seconds or a date;
    `X-Rate-Limit-Reset` is an epoch second, and counts only when we were *limited*: Okta sends it with every answer.
    Dates are compared with the answer's own `Date`, so that a wrong local clock does not matter.
    """
    now = http_date(headers.get("date", ""))
    now = wall if now is None else now
    delays = [_retry_after(headers.get("retry-after", ""), now)]
    if limited:
        delays.append(_reset(headers.get("x-rate-limit-reset", ""), now))
    named = [delay for delay in delays if delay is not None]
    return min(600.0, max(1.0, *named)) if named else None


def _retry_after(value: str, now: float) -> float | None:
    if value.isascii() and value.isdigit():
        return float(value[:9])
    moment = http_date(value)
    return None if moment is None else moment - now


def _reset(value: str, now: float) -> float | None:
    moments = [float(part) for part in (p.strip() for p in value.split(",")) if part.isascii() and part.isdigit()]
    if not moments:
        return None
    # With several buckets the nearest reset is the one Okta's SDKs take; one second for the rounding.
    return min(moments) - now + 1


def http_date(value: str) -> float | None:
    """Return the epoch second of an HTTP date (RFC 9110 5.6.7), None if *value* is none."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
        # RFC 9110 5.6.7: it is UTC in all three forms, also in asctime's, which has no zone.
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def forced_gap(streak: int) -> float:
    """
    Return the least seconds between two forced refreshes after *streak* fresh tokens in a row were refused too.

    An upstream that refuses whatever we bring must not make us ask the token endpoint for ever.
    """
    if streak < 2:
        return 0.0
    return min(FORCED_LONGEST_GAP, 15.0 * 2.0 ** min(streak - 1, 10))


def may_force(now: float, history: Sequence[float], streak: int) -> bool:
    """Tell whether a refresh may be forced at *now*; *history* has the moments of earlier ones, oldest first."""
    if not history:
        return True
    if now - history[-1] < forced_gap(streak):
        return False
    return len(history) < 2 or now - history[-2] >= FORCED_WINDOW
