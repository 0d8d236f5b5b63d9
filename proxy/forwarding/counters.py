"""What the request path counts: plain integers, added to by the one loop, collected by whoever asks."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})


class Buckets:
    """A histogram over *bounds* (seconds, ascending); the last bucket is for what is above them all."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds


class Counters:
    """All the counts of the listener that forwards. Labels are bounded: a method out of the common ones is `other`."""

    __slots__ = ("durations", "in_flight", "replays", "requests", "token_waits")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.durations = Buckets(bounds)
        self.token_waits = Buckets(bounds)
        self.in_flight = 0
        self.replays = 0

    def count(self, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered with *status*; 499 is a client that left before its answer."""
        self.requests[(method if method in KNOWN_METHODS else "other", status)] += 1
        self.durations.add(seconds)
