"""
Time-outs that cost a request two float stores: one timer looks at all deadlines, instead of one timer for each wait.

A deadline is late by at most one sweep. The timer runs only while something is watched.
"""

import asyncio
import math
from typing import Protocol

NEVER = math.inf


class Watched(Protocol):
    """Something with a deadline on the loop's clock (`loop.time()`, seconds; `NEVER` for none)."""

    deadline: float

    def on_deadline(self) -> None:
        """Act on it. The deadline has been set to `NEVER` before."""
        ...


class Deadlines:
    """The one owner of the sweep. *interval* is in seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Deadlines {len(self._watched)} watched>"

    def watch(self, watched: Watched) -> None:
        """Look at *watched* with each sweep, until `forget`."""
        self._watched.add(watched)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._sweep)

    def forget(self, watched: Watched) -> None:
        """Look at *watched* no more; nothing happens if it was not watched."""
        self._watched.discard(watched)

    def close(self) -> None:
        """End the sweep for good."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        try:
            for watched in [one for one in self._watched if one.deadline <= now]:
                # One that fired may have ended another.
                if watched.deadline <= now:
                    watched.deadline = NEVER
                    watched.on_deadline()
        finally:
            # Whatever happened: without the next sweep nothing would ever time out again.
            self._timer = loop.call_later(self._interval, self._sweep) if self._watched else None


def sweep_interval(*timeouts: float) -> float:
    """Return how often to sweep for these *timeouts* (seconds, 0 for none): a quarter of the shortest, 0.02 to 1 s."""
    return max(0.02, min(1.0, *(timeout / 4 for timeout in timeouts if timeout > 0), 1.0))
