"""What the admin listener shows, as plain values that the application collects when it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds of the histograms of request duration and token wait."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts a bucket (not cumulative, one more than there are bounds: the last is +Inf) and the sum in seconds."""

    buckets: tuple[int, ...]
    total: float


EMPTY = Histogram((0,) * (len(DURATION_BUCKETS) + 1), 0.0)


@dataclass(frozen=True, slots=True)
class TokenView:
    """The token's state. Moments are wall-clock seconds since the epoch, None for never."""

    usable: bool
    expires_at: float | None
    refreshed_at: float | None
    next_try_at: float | None
    failed_at: float | None
    error: str | None
    """The last failure in our own words, None when the last fetch succeeded. Holds no secret."""
    error_code: str | None
    """`token_unavailable`, `token_refused` or None."""
    refreshes: Mapping[str, int] = field(default_factory=dict)
    """How many fetches ended with each outcome: `ok`, `unreachable`, `failed`, `limited`, `refused`."""
    credential: str | None = None
    """What the token that is held was fetched with: the `kid` of a key, or the place of a secret from 1. No secret."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the metrics, the status and the page are made of."""

    version: str
    started_at: float
    now: float
    listen: str
    """The address clients use, `http://localhost:8080`."""
    upstream: str
    draining: bool
    token: TokenView
    requests: Mapping[tuple[str, int], int]
    """(method, status) to count; a method that is not registered counts as `other`."""
    durations: Histogram
    token_waits: Histogram
    in_flight: int
    replays: int
    upstream_connections: Mapping[str, int]
    """State (`active`, `idle`, `connecting`, `waiting`) to count; who waits is a request without a connection."""
