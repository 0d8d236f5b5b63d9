"""An upstream that says what it is told to, and what clients take the proxy's answer for."""

import asyncio
import contextlib
import io
import re
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple

import h11
from drawing import Lines
from kit import Ending, RawConnection, RawUpstream, raw_client
from recording import send
from stage import Stage

GOOD_ANSWER = b"HTTP/1.1 200 OK\r\nX-Seen: GET /good\r\nContent-Length: 0\r\n"
_INTERIM = re.compile(rb"HTTP/1\.[01] 1[0-9]{2}.*?\r\n\r\n", re.DOTALL)


class Said(NamedTuple):
    """What the upstream says to a request, and what it means."""

    request: bytes
    pieces: list[bytes]
    ending: str
    """`keep`, `close` or `reset`."""
    status: int
    lines: Lines
    body: bytes
    whole: bool
    """Whether that is a whole answer, whatever comes behind it."""

    @property
    def method(self) -> str:
        """The request's."""
        return self.request.split(b" ")[0].decode("ascii")


class Answer(NamedTuple):
    """A whole answer that a client reads, and what comes behind it."""

    status: int
    lines: Lines
    body: bytes
    rest: bytes


class Speaker:
    """An upstream that says what it was told to, and a good answer to what is for `/good`."""

    def __init__(self) -> None:
        self.said = Said(b"", [], "close", 0, [], b"", whole=False)
        self.silent = asyncio.Event()
        """Set when it has said all."""

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        # uvloop's word for a connection that the proxy closed is a RuntimeError.
        with contextlib.suppress(RuntimeError):
            while True:
                request = await upstream.take(connection)
                if request.first == b"GET /good HTTP/1.1":
                    await connection.send(GOOD_ANSWER + b"\r\n")
                elif await self._say(connection):
                    return

    async def _say(self, connection: RawConnection) -> bool:
        """Say it, and tell whether the connection ends behind it."""
        try:
            for piece in self.said.pieces:
                await send(connection, piece)
            if self.said.ending == "reset" and not connection.writer.is_closing():
                connection.reset()
        finally:
            self.silent.set()
        return self.said.ending != "keep"


async def play(proxy: Stage, said: Said, behind: bytes = b"") -> Ending:
    """Have the upstream say it; return all that the client is sent, the answer to a request *behind* it too."""
    speaker = proxy.upstream._script
    assert isinstance(speaker, Speaker)
    speaker.said, speaker.silent = said, asyncio.Event()
    async with raw_client(proxy.app) as client:
        await send(client, said.request + behind)
        ending = await client.ending()
    await speaker.silent.wait()
    return ending


def read_answer(data: bytes, method: str, *, ended: bool = True) -> Answer | None:
    """Return the answer that h11 reads in *data*, None if that is none or not whole."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    status, lines, body = 0, [], b""
    try:
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                if not ended:
                    return None
                parser.receive_data(b"")
            elif isinstance(event, h11.Response):
                status, lines = event.status_code, list(event.headers.raw_items())
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None
    return Answer(status, lines, body, parser.trailing_data[0])


def read_loosely(data: bytes, method: str) -> tuple[int, bytes] | None:
    """Return status and body of the final answer that the standard library reads, which is not strict, None if none."""
    while (interim := _INTERIM.match(data)) is not None:
        data = data[interim.end() :].lstrip(b"\r\n")

    class Socket:
        def makefile(self, *_: Any) -> io.BytesIO:
            return io.BytesIO(data)

    socket: Any = Socket()
    with contextlib.suppress(HTTPException, ValueError), HTTPResponse(socket, method=method) as answer:
        answer.begin()
        return answer.status, answer.read()
    return None


def client_reads(ending: Ending, said: Said) -> Answer | None:
    """Return the whole answer that the client takes it for, None for one that is visibly cut."""
    return read_answer(ending.data, said.method, ended=not ending.reset)


def is_ours(answer: Answer) -> bool:
    """Tell whether the proxy answered by itself that the upstream failed."""
    names = {name.lower(): value for name, value in answer.lines}
    return answer.status in {502, 504} and names.get(b"proxy-status", b"").startswith(b"okta-proxy; error=")


def assert_nothing_behind(answer: Answer, ending: Ending) -> None:
    """Check that behind *answer* comes the one to the good request, or the end, and never a second one."""
    if answer.rest:
        assert answer.rest.startswith(GOOD_ANSWER), ending
        assert answer.rest.count(b"HTTP/1.1 ") == 1, ending
