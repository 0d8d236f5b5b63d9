"""Sends payloads through the proxy, and keeps what it forwarded, byte for byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from canonical import NotCanonicalError, Request, requests_in
from kit import Message, RawConnection, RawUpstream, proxied, raw_client, settled
from payloads import Payload

from proxy.app import App

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Comes behind a payload on its connection. If it is not answered in its turn, the connection was out of step."""
HANGS = 3.0
"""Seconds for all answers to a payload, which nothing holds up."""


class Outcome(NamedTuple):
    """What became of a payload."""

    answers: list[Message]
    """What the client was answered, the answer to `SENTINEL` included."""
    forwarded: list[Request]
    """The whole requests that the upstream got, in order, that one included too."""
    pieces: list[bytes]
    """All bytes that the upstream got, by its connections."""
    broken: list[bytes]
    """What is not canonical of them, or came behind a request that was cut on the same connection."""


class Stream:
    """A connection of the upstream: the bytes since `Recorder.start`, and those of them that are no whole request."""

    def __init__(self, connection: RawConnection) -> None:
        self.connection = connection
        self.data = b""
        self.unread = b""
        self.is_open = True


class Recorder:
    """An upstream that keeps all bytes, and answers each whole request with its method and target."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.forwarded: list[Request] = []
        self.broken: list[bytes] = []

    async def __call__(self, _: RawUpstream, connection: RawConnection) -> None:
        stream = Stream(connection)
        self.streams.append(stream)
        try:
            while data := await connection.reader.read(2**16):
                stream.data += data
                stream.unread += data
                found, stream.unread = requests_in(stream.unread)
                self.forwarded += found
                await connection.send(b"".join(answer_to(request) for request in found))
        except NotCanonicalError as error:
            self.broken.append(repr(error).encode())
        finally:
            stream.is_open = False

    def start(self) -> None:
        """Forget what came."""
        self.streams = [stream for stream in self.streams if stream.is_open]
        self.forwarded, self.broken = [], []
        for stream in self.streams:
            stream.data = b""

    async def pieces(self) -> list[bytes]:
        """Return what came, once every request that was cut has lost its connection: nothing may come behind it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await settled(lambda: not self._open_ended())
        for stream in self._open_ended():
            self.broken.append(b"a request that is not whole, on a connection that goes on: " + stream.data)
            stream.connection.reset()
        await settled(lambda: not self._open_ended())
        return [stream.data for stream in self.streams if stream.data]

    def _open_ended(self) -> list[Stream]:
        return [stream for stream in self.streams if stream.is_open and stream.unread]


def answer_to(request: Request) -> bytes:
    """Return an answer that tells which request it is for. It ends with its head, so it ends the same for HEAD."""
    return b"HTTP/1.1 200 OK\r\nX-Seen: %b %b\r\nContent-Length: 0\r\n\r\n" % request.seen[:2]


class Course(NamedTuple):
    """A running proxy between a client and a `Recorder`."""

    app: App
    recorder: Recorder
    host: bytes
    """The Host that the upstream must be given."""

    async def run(self, payload: Payload, pieces: Sequence[bytes] = ()) -> Outcome:
        """Send a payload, in *pieces* if there are some, and return what became of it."""
        self.recorder.start()
        answers: list[Message] = []
        async with raw_client(self.app) as client:
            for piece in pieces or [payload.data]:
                await send(client, piece)
            if payload.cut:
                client.half_close()
            try:
                async with asyncio.timeout(HANGS):
                    await converse(client, payload, answers)
            except TimeoutError:
                self.recorder.broken.append(b"no answer, and no end")
            except (ConnectionError, asyncio.IncompleteReadError):
                # That is how it ends.
                pass
        got = await self.recorder.pieces()
        return Outcome(answers, list(self.recorder.forwarded), got, list(self.recorder.broken))


async def converse(client: RawConnection, payload: Payload, answers: list[Message]) -> None:
    """Read *answers* until the connection ends, and send `SENTINEL` behind those to the payload."""
    expected = len(payload.seen) + payload.refused
    while True:
        if len(answers) == expected and not payload.cut and answers[-1].value(b"connection") != b"close":
            await send(client, SENTINEL)
        answers.append(await client.message())


async def send(client: RawConnection, piece: bytes) -> None:
    """Send a piece, and let the proxy read it before the next one."""
    with contextlib.suppress(ConnectionError):
        await client.send(piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def course() -> AsyncIterator[Course]:
    """Run the proxy before a recorder."""
    recorder = Recorder()
    async with proxied(recorder) as (app, upstream):
        yield Course(app, recorder, b"127.0.0.1:%d" % upstream.port)
