"""
A WebSocket behind its handshake: bytes go both ways as they come, until both sides, or one of them rudely, end it.

Frames are not looked at: close codes, subprotocols and extensions are the two sides' business (RFC 6455).
"""

import asyncio
from typing import TYPE_CHECKING

from proxy.forwarding.deadlines import NEVER, Deadlines
from proxy.forwarding.upstream import UpstreamConnection

if TYPE_CHECKING:
    from proxy.forwarding.connection import ClientConnection

CLOSING = 5.0
"""Seconds for what was still written to reach the upstream."""


class WebSocket:
    """
    Passes bytes between *client* and *upstream*, either of which waits while the other does not read.

    It ends after *idle_timeout* seconds (0: never) in which nothing came from either side and nobody held it back.
    """

    def __init__(
        self, client: "ClientConnection", upstream: UpstreamConnection, deadlines: Deadlines, idle_timeout: float
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._deadlines = deadlines
        self._idle_timeout = idle_timeout
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._client_has_ended = False
        """Whether the client has said that it sends no more."""
        self._upstream_has_ended = False
        self.deadline = NEVER
        self.sent = 0
        """Bytes that the client was sent."""
        self.is_cut = False
        """Whether a side broke off, instead of ending it."""

    async def run(self) -> None:
        """Pass bytes until it is over; then the client's connection is to be ended, or cut where `is_cut`."""
        self._deadlines.watch(self)
        self._touch()
        try:
            self._client.switch(self)
            self._upstream.hand_over(self)
            await self._over
            if not self.is_cut:
                await self._upstream.close(CLOSING)
        except asyncio.CancelledError:
            # The client is gone, or the drain is over: a mere close would look like a client that has said all.
            self._upstream.cut()
            raise
        finally:
            self._deadlines.forget(self)

    def on_deadline(self) -> None:
        """End it where nothing moved; where a side is held back, the time runs again when it is not any more."""
        if not (self._client.is_write_paused or self._upstream.is_write_paused):
            self._end()

    # The two connections call these.

    def client_received(self, data: bytes) -> None:
        """Pass on what the client sent."""
        self._touch()
        self._upstream.write(data)
        if self._upstream.is_write_paused:
            self._client.pause_reading()

    def client_ready(self) -> None:
        """Go on when the client takes bytes again."""
        self._touch()
        self._upstream.resume_reading()

    def client_ended(self) -> None:
        """Tell the upstream that the client sends no more."""
        self._client_has_ended = True
        if not self._upstream.write_eof() or self._upstream_has_ended:
            self._end()

    def upstream_received(self, data: bytes) -> None:
        """Pass on what the upstream sent."""
        self._touch()
        self.sent += len(data)
        self._client.write(data)
        if self._client.is_write_paused:
            self._upstream.pause_reading()

    def upstream_ready(self) -> None:
        """Go on when the upstream takes bytes again."""
        self._touch()
        self._client.resume_reading()

    def upstream_ended(self, error: Exception | None) -> None:
        """Tell the client that the upstream sends no more; end all where it takes no more either."""
        if error is not None and not self._over.done():
            self.is_cut = True
            self._end()
            return
        self._upstream_has_ended = True
        self._client.write_eof()
        if self._client_has_ended or not self._upstream.is_open:
            self._end()

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _touch(self) -> None:
        if self._idle_timeout > 0:
            self.deadline = self._loop.time() + self._idle_timeout
