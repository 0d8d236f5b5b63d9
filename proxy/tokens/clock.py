"""
The two clocks that a token's life is measured with, and the one way to wait.

The boot clock runs on while a laptop sleeps, timers do not (cloud-sql-proxy#1788): so nobody here trusts a timer
for longer than a nap, and everybody asks the clocks on use.
"""

import asyncio
import sys
import time
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
    """The machine's clocks."""

    def __init__(self) -> None:
        self._id = _boot_clock_id()

    def boot(self) -> float:
        """Return `CLOCK_BOOTTIME` where there is one (Linux), else the nearest."""
        return time.clock_gettime(self._id) if self._id >= 0 else time.monotonic()

    def wall(self) -> float:
        """Return `time.time()`."""
        return time.time()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait on the running loop."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
