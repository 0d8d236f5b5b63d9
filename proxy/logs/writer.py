"""
Writes lines without ever holding up who logs them: a thread of its own does the writing.

Rules of this file: `put` is called on the event loop, from other threads and, by a finaliser that logs, in the middle
of another `put`. It takes no lock that such a call could wait for, it never waits for the output, and it never raises.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TextIO

MAX_LINES = 10_000
MAX_BYTES = 4 * 1024 * 1024
"""What waits for an output that stalls; beyond it lines are dropped and counted."""

CHUNK = 64 * 1024
"""Bytes a write: what a pipe takes at once on Linux."""

GATHER = 0.01
"""Seconds in which further lines join a batch: one wake-up of the thread serves them all."""
GATHER_MANY = 0.1
MANY = 50
"""
The same when lines come fast, which is when the last batch had so many. Each wake-up asks the busy event loop for the
interpreter, and that costs the loop a system call with every callback until the thread has had its turn.
"""

RETRY = 0.05
"""Seconds until a terminal or pipe that is set to non-blocking is tried again."""


class Writer:
    """Takes lines and writes them in order. Whoever makes one closes it."""

    def __init__(self, stream: TextIO | None, notice: Callable[[int], bytes]) -> None:
        """
        Write to *stream* (None: to nowhere); *notice* makes the line that tells how many were dropped.

        The thread starts with the first line, so a process that forks before that carries none into the child.
        """
        self._output = _output(stream)
        self._notice = notice
        self._torn = False
        self._reset(MAX_BYTES)
        _writers.add(self)

    def __repr__(self) -> str:
        return f"<Writer [{len(self._lines)} waiting, {self.dropped} dropped]>"

    def _reset(self, room: int) -> None:
        # Re-entrant for the finaliser; the counts it changes under a reader's feet are set anew with each batch.
        self._lock = threading.RLock()
        # Of all that wakes a thread, only this queue's `put` is re-entrant.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._thread: threading.Thread | None = None
        self._lines: list[bytes] = []
        self._size = 0
        self._room = room
        self.dropped = 0
        """Lines lost since the last notice."""

    def put(self, line: bytes) -> None:
        """Append *line*, which ends with a line feed; drop and count it if the output is that far behind, or closed."""
        with self._lock:
            if self._size + len(line) > self._room or len(self._lines) >= MAX_LINES:
                self.dropped += 1
                return
            self._size += len(line)
            self._lines.append(line)
            if len(self._lines) > 1:
                return
        if self._thread is None:
            self._start()
        self._wake.put(None)

    def close(self, timeout: float = 2.0) -> None:
        """Write what is there, for at most *timeout* seconds, and drop whatever comes later. Safe to call twice."""
        self._room = 0
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._wake.put(None)
        if self._thread is not None:
            self._thread.join(timeout)

    def after_fork(self) -> None:
        """Begin anew in a child process: the parent writes what waits, and its thread may have held the lock."""
        self._reset(self._room)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # this process may have no more threads, or is ending
            self._thread = None
            self._lose(len(self._take()))

    def _run(self) -> None:
        gather = GATHER
        while True:
            self._wake.get()
            self._closing.wait(gather)
            lines = self._take()
            gather = GATHER_MANY if len(lines) >= MANY else GATHER
            self._write_batch(lines)
            if self._closing.is_set() and not self._lines:
                return

    def _take(self) -> list[bytes]:
        with self._lock:
            lines, self._lines = self._lines, []
            self._size = 0
        return lines

    def _lose(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    def _write_batch(self, lines: list[bytes]) -> None:
        works = False
        for chunk in _chunks(lines):
            lost = chunk.count(b"\n", self._write(chunk))
            works = not lost
            self._lose(lost)
        # Only an output that works again can be told.
        if works and self.dropped:
            count, self.dropped = self.dropped, 0
            if self._write(self._notice(count)) == 0:
                self._lose(count)

    def _write(self, chunk: bytes) -> int:
        """Write *chunk* and return how many bytes of it went out: fewer than all if the output failed."""
        # A line that broke off must not be glued to the one that comes next.
        data = b"\n" + chunk if self._torn else chunk
        done = 0
        while done < len(data):
            try:
                done += self._output(memoryview(data)[done:])
            except BlockingIOError:
                if time.monotonic() > self._deadline:
                    break
                time.sleep(RETRY)  # in the writer's own thread: the reader of a full pipe tells nobody
            except (OSError, ValueError):  # a full disk, a reader that left, a closed descriptor or stream
                break
        if done:
            self._torn = not data.endswith(b"\n", 0, done)
        return max(0, done - (len(data) - len(chunk)))


_writers: "weakref.WeakSet[Writer]" = weakref.WeakSet()


def _after_fork() -> None:
    for writer in list(_writers):
        writer.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _chunks(lines: list[bytes]) -> Iterator[bytes]:
    """Join *lines* to pieces of about `CHUNK` bytes."""
    start, size = 0, 0
    for end, line in enumerate(lines):
        if size and size + len(line) > CHUNK:
            yield b"".join(lines[start:end])
            start, size = end, 0
        size += len(line)
    if start < len(lines):
        yield b"".join(lines[start:])


def _output(stream: TextIO | None) -> Callable[[memoryview], int]:
    """Return what writes to *stream* and tells how many bytes it took: past its buffers if it has a descriptor."""
    if stream is None:
        return len
    try:
        stream.flush()
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a stream in memory, or a closed one
        return lambda data: _write_text(stream, data)
    return lambda data: os.write(descriptor, data)


def _write_text(stream: TextIO, data: memoryview) -> int:
    stream.write(bytes(data).decode(errors="replace"))
    stream.flush()
    return len(data)
