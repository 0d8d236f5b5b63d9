"""Okta's rate limit for one endpoint: so many requests in a window of 60 s that starts with its first request."""

from typing import NamedTuple

WINDOW = 60.0

ANNOUNCED = 1200
"""What the headers say when nothing is limited: the number that Okta last published for most plans."""


class Allowance(NamedTuple):
    """What the bucket says to one request, in the terms of Okta's headers."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    """The UTC second at which the window ends."""


class Bucket:
    """Counts requests. *limit* is a number a minute, None counts without ever refusing."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._used = 0
        self._ends = float("-inf")

    def take(self, now: float) -> Allowance:
        """Count a request at *now* (seconds since the epoch)."""
        if now >= self._ends:
            self._used = 0
            self._ends = now + WINDOW
        self._used += 1
        limit = ANNOUNCED if self._limit is None else self._limit
        allowed = self._limit is None or self._used <= self._limit
        # Rounded up: whoever comes at that second finds the new window.
        return Allowance(allowed, limit, max(0, limit - self._used), int(-(-self._ends // 1)))


def headers(allowance: Allowance) -> tuple[tuple[str, str], ...]:
    """Return the headers that tell a client where it stands."""
    return (
        ("x-rate-limit-limit", str(allowance.limit)),
        ("x-rate-limit-remaining", str(allowance.remaining)),
        ("x-rate-limit-reset", str(allowance.reset)),
    )
