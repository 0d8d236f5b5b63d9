"""The body of one request on its way to the upstream: sent as it comes, its start kept to be sent again."""

import asyncio
from typing import TYPE_CHECKING

from aiohttp import StreamReader

from proxy.config import Settings
from proxy.errors import BadRequestError, BodyTooLargeError, ProxyError
from proxy.forwarding.answering import LAST_CHUNK, chunk
from proxy.forwarding.deadlines import NEVER
from proxy.forwarding.upstream import UpstreamConnection

if TYPE_CHECKING:
    from proxy.forwarding.connection import ClientConnection

KEPT_BODY = 64 * 1024
"""Bytes of a request's body that are kept, so that it can be sent once more."""


class Upload:
    """Sends *payload*, which *client* is sending us, *in_chunks* or as it is. Owns the task that does so: `end` it."""

    def __init__(
        self, client: "ClientConnection", payload: StreamReader, settings: Settings, *, in_chunks: bool
    ) -> None:
        self._client = client
        self._payload = payload
        self._limits = settings.limits
        self._upstream = settings.upstream
        self._in_chunks = in_chunks
        self._kept: list[bytes] | None = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def has_begun_to_come(self) -> bool:
        """Whether any byte of the body is here already."""
        return self._payload.total_bytes > 0

    @property
    def can_repeat(self) -> bool:
        """Whether the whole body can be sent again."""
        return self._kept is not None and self._payload.at_eof()

    def at_hand(self) -> bytes | None:
        """
        Return the whole body as it goes out, if it is here and small; None if it must be streamed.

        Raises `BodyTooLargeError`.
        """
        payload = self._payload
        if not payload.is_eof() or payload.total_bytes > KEPT_BODY:
            return None
        if not self._size:
            self._keep(payload.read_nowait(-1))
        if self._kept is None:
            return None
        body = b"".join(self._kept)
        if self._in_chunks:
            return (chunk(body) if body else b"") + LAST_CHUNK
        return body

    def start(self, connection: UpstreamConnection) -> None:
        """Stream the body to *connection*; whatever goes wrong interrupts the wait for the answer there."""
        self._task = asyncio.create_task(self._stream(connection))

    def end(self) -> None:
        """Stop sending."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _keep(self, data: bytes) -> None:
        """Count the body, and keep its start for a second sending. Raises `BodyTooLargeError`."""
        self._size += len(data)
        limit = self._limits.body_size
        if limit is not None and self._size > limit:
            raise BodyTooLargeError("The body is larger than limits.body_size.")
        if self._kept is not None:
            if self._size <= KEPT_BODY:
                self._kept.append(data)
            else:
                self._kept = None

    async def _stream(self, connection: UpstreamConnection) -> None:
        try:
            while data := await self._client.read_body(self._payload, self._limits.body_timeout):
                self._keep(data)
                connection.write(chunk(data) if self._in_chunks else data)
                if connection.is_write_paused:
                    await self._let_upstream_take(connection)
            if self._in_chunks:
                connection.write(LAST_CHUNK)
            connection.finish_request(self._upstream.response_timeout)
        except ProxyError as error:
            connection.interrupt(error)
        except (ConnectionError, RuntimeError):
            # The client left: the connection's own task is about to be cancelled.
            connection.interrupt(BadRequestError("The request's body broke off."))
        except Exception:  # noqa: BLE001 - aiohttp's payload errors have no common class; none is our business
            connection.interrupt(BadRequestError("The request's body is not valid HTTP/1.1."))

    async def _let_upstream_take(self, connection: UpstreamConnection) -> None:
        """Hold the client back while the upstream does not read, for the idle time-out at most."""
        if not connection.has_head:
            connection.expect_within(
                self._upstream.idle_timeout,
                "The upstream did not take the request's body within upstream.idle_timeout.",
            )
        await connection.drain()
        if not connection.has_head:
            connection.deadline = NEVER
