"""Reads a pipe to its end, as whatever collects logs does, and counts the lines."""

import os
import threading
import time
from typing import IO

PIECE = 1 << 16
QUIET = 0.2
"""Seconds without a line after which the last one has come."""
LONGEST = 10.0
"""Seconds to wait for that."""


class LineCount:
    """A thread that reads *pipe* as fast as it can; `count` is the number of lines so far."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.count = 0
        self._pipe = pipe
        threading.Thread(target=self._read, daemon=True).start()

    def __repr__(self) -> str:
        return f"<LineCount {self.count}>"

    def settle(self) -> None:
        """Wait until no more lines come."""
        end = time.monotonic() + LONGEST
        before = -1
        while before != self.count and time.monotonic() < end:
            before = self.count
            time.sleep(QUIET)

    def _read(self) -> None:
        while piece := os.read(self._pipe.fileno(), PIECE):
            self.count += piece.count(b"\n")
