"""
The connections to the one upstream: kept while idle for a while and given out, the newest first; `dialing` opens them.

With `upstream.connections` there is a line of those who wait for one. All mutable state is `_idle`, `_active`,
`_connecting` and `_line`, and these rules hold:

- open, idle and coming connections are never more than the limit;
- while somebody waits nothing is idle, so nobody who comes later finds a connection before them;
- what a waiter was given and cannot take any more goes on to the next.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping

from proxy.config import Upstream
from proxy.errors import TooBusyError, UpstreamError, UpstreamTimeoutError
from proxy.forwarding.deadlines import NEVER, Deadlines
from proxy.forwarding.dialing import Dialer
from proxy.forwarding.tls import tls_context
from proxy.forwarding.upstream import UpstreamConnection

__all__ = ["IDLE_TIMEOUT", "MOST_IDLE", "Pool", "tls_context"]

IDLE_TIMEOUT = 15.0
"""Seconds: below what servers keep (Node 5 to nginx 75), but long enough for a caller's next request."""
MOST_IDLE = 1000
"""As many as `limits.requests` lets be in use by default: fewer would be closed and opened again under load."""

Turn = asyncio.Future[UpstreamConnection | None]
"""A waiter's place in the line: it gets a connection, or None for the right to open one, counted in `_connecting`."""


class Pool:
    """
    Gives out connections to `settings.url`.

    *deadlines* ends idle ones; *boot* is a clock in seconds that counts suspended time, for after a laptop's sleep
    its timers are late and its connections dead.

    How many are in use is bounded by `settings.connections`, or else by `limits.requests`, for each request in flight
    holds at most one.
    """

    def __init__(
        self,
        settings: Upstream,
        deadlines: Deadlines,
        *,
        boot: Callable[[], float] = time.monotonic,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self._settings = settings
        self._deadlines = deadlines
        self._boot = boot
        self._idle_timeout = idle_timeout
        self._dialer = Dialer(settings)
        self._limit = settings.connections
        self._idle: list[UpstreamConnection] = []
        self._active: set[UpstreamConnection] = set()
        self._connecting = 0
        self._line: deque[Turn] = deque()
        self._is_closed = False

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self._count().items())
        return f"<Pool {self._settings.url.authority} [{counts}]>"

    def counts(self) -> Mapping[str, int]:
        """Return how many connections are in each state, and how many requests are `waiting` for one."""
        self._drop_closed()
        return self._count()

    def _count(self) -> dict[str, int]:
        return {
            "active": len(self._active),
            "idle": sum(connection.reusable for connection in self._idle),
            "connecting": self._connecting,
            "waiting": sum(not turn.done() for turn in self._line),
        }

    def take_idle(self) -> UpstreamConnection | None:
        """Return the idle connection that was used last, None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_ready() and self._boot() < connection.idle_until:
                connection.deadline = NEVER
                self._active.add(connection)
                return connection
            connection.abort()
            self._deadlines.forget(connection)
        return None

    async def connect(self, *, new: bool = False) -> UpstreamConnection:
        """
        Open a connection within `upstream.connect_timeout`, TLS and the wait for `upstream.connections` included.

        Who had to wait may get one that was used before (`exchanges` is not 0 then), unless it has to be *new*.
        Raises `UpstreamError`, and `TooBusyError` when the wait was too long.
        """
        is_waiting = False
        try:
            async with asyncio.timeout(self._settings.connect_timeout or None):
                if self._limit is None:
                    self._connecting += 1
                else:
                    is_waiting = True
                    given = await self._wait_in_line(self._limit, new=new)
                    is_waiting = False
                    if given is not None:
                        return given
                return await self._dial()
        except TimeoutError:
            if is_waiting:
                raise TooBusyError(
                    "All connections that upstream.connections allows were busy for upstream.connect_timeout."
                ) from None
            raise UpstreamTimeoutError(
                f"The connection to the upstream was not there within upstream.connect_timeout.{self._dialer.note}",
                proxy_status="connection_timeout",
            ) from None

    async def _dial(self) -> UpstreamConnection:
        """Open the connection that is counted in `_connecting`."""
        try:
            connection = await self._dialer.dial()
        except BaseException:
            self._connecting -= 1
            self._let_next_dial()
            raise
        self._connecting -= 1
        if self._is_closed:
            connection.abort()
            raise _closed()
        self._active.add(connection)
        self._deadlines.watch(connection)
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back: it is kept if it is clean, else closed."""
        self._active.discard(connection)
        if self._line and connection.reusable and self._hand_over(connection):
            return
        idle, seconds = self._idle, self._idle_timeout
        if len(idle) >= MOST_IDLE:
            self._drop_closed()
        if len(idle) < MOST_IDLE and seconds > 0 and connection.release(seconds):
            connection.idle_until = self._boot() + seconds
            idle.append(connection)
            return
        self._drop(connection)
        if self._line:
            self._let_next_dial()

    def close(self) -> None:
        """Close every connection, and fail who waits for one."""
        self._is_closed = True
        for connection in (*self._idle, *self._active):
            self._drop(connection)
        self._idle.clear()
        self._active.clear()
        for turn in self._line:
            if not turn.done():
                turn.set_exception(_closed())
        self._line.clear()

    def _drop(self, connection: UpstreamConnection) -> None:
        connection.abort()
        self._deadlines.forget(connection)

    def _drop_closed(self) -> None:
        for connection in [one for one in self._idle if not one.reusable]:
            self._idle.remove(connection)
            self._deadlines.forget(connection)

    # The line, for `upstream.connections`.

    async def _wait_in_line(self, limit: int, *, new: bool) -> UpstreamConnection | None:
        """Return a connection that somebody gave back, or None when one may be opened."""
        if not new and self._open() >= limit and (connection := self.take_idle()) is not None:
            return connection
        while self._idle and self._open() >= limit:
            self._drop(self._idle.pop(0))
        turn = self._stand(at_front=False)
        while True:
            try:
                given = await turn
            except BaseException:
                self._leave(turn)
                raise
            if given is None or (not new and given.is_ready()):
                return given
            # It is of no use, or died since: what matters now is its room.
            self._active.discard(given)
            self._drop(given)
            turn = self._stand(at_front=True)

    def _stand(self, *, at_front: bool) -> Turn:
        """Join the line; if nobody stands in front and there is room, the turn comes at once."""
        turn: Turn = asyncio.get_running_loop().create_future()
        if at_front:
            self._line.appendleft(turn)
        else:
            self._line.append(turn)
        self._let_next_dial()
        return turn

    def _open(self) -> int:
        """Return how many connections there are or will be; one that died is none, though nobody has noticed yet."""
        return self._connecting + sum(one.is_open for one in self._active) + sum(one.is_open for one in self._idle)

    def _next(self) -> Turn | None:
        """Return the first turn whose owner still waits, and take it off the line."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                return turn
        return None

    def _hand_over(self, connection: UpstreamConnection) -> bool:
        """Give a clean connection to who waits longest; False if nobody does."""
        turn = self._next()
        if turn is None:
            return False
        connection.release(0)
        self._active.add(connection)
        turn.set_result(connection)
        return True

    def _let_next_dial(self) -> None:
        """Let who waits longest open a connection, if the limit has room for it."""
        while self._line and self._limit is not None and self._open() < self._limit:
            turn = self._next()
            if turn is not None:
                self._connecting += 1
                turn.set_result(None)

    def _leave(self, turn: Turn) -> None:
        """Give on what a waiter was given at the moment at which it was cancelled, or take it off the line."""
        if not turn.done() or turn.cancelled():
            if turn in self._line:
                self._line.remove(turn)
        elif turn.exception() is None:
            connection = turn.result()
            if connection is not None:
                self.release(connection)
            else:
                self._connecting -= 1
                self._let_next_dial()


def _closed() -> UpstreamError:
    return UpstreamError("The proxy is stopping.")
