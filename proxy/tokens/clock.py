"""
The two clocks that a token's life is measured with, and the one way to wait.

The boot clock runs on while a laptop sleeps, timers do not (cloud-sql-proxy#1788): so nobody here trusts a timer
for longer than a nap, and everybody asks the clocks on use.
"""

import asyncio
import sys
import time
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """What the token engine knows of time. Tests pass one that they move by hand."""

    def boot(self) -> float:
        """Return seconds that never jump back and that count suspended time."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch, which an administrator or NTP may move."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when *event* is set or *seconds* have passed, whichever comes first."""
        ...


def _boot_clock_id() -> int:
    if sys.platform == "darwin":
        return time.CLOCK_MONOTONIC  # counts sleep there; Python's `monotonic()` reads another clock that does not
    return getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", -1))


class SystemClock:
    """The machine's clocks. Both are asked with each request, so what is called is the system's function itself."""

    def __init__(self) -> None:
        clock = _boot_clock_id()
        self.boot = partial(time.clock_gettime, clock) if clock >= 0 else time.monotonic
        """`CLOCK_BOOTTIME` where there is one (Linux), else the nearest."""
        self.wall = time.time

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait on the running loop."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return


class ServerTime:
    """
    What the token endpoint's clock says, in seconds since the epoch: ours, until it has been found to differ.

    Assertions and proofs are judged by that clock (Okta allows no tolerance: okta-sdk-python#382). What was learned is
    kept against the boot clock, so that setting the wall clock does not make it wrong.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset: float | None = None

    def now(self) -> float:
        """Return the second at the server, or a little earlier: what is issued in its future is refused."""
        return self._clock.wall() if self._offset is None else self._clock.boot() + self._offset

    def learn(self, server: float) -> float:
        """Take *server*, from an answer that came just now, for its clock; return by how much it is ahead of ours."""
        self._offset = server - self._clock.boot()
        return server - self._clock.wall()
