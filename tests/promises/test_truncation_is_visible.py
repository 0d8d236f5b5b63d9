"""What breaks off never looks complete: neither an answer to the client nor an upload to the upstream."""

import asyncio

import pytest
from kit import FixedTokens, RawConnection, RawUpstream, Script, every_loop, fetch, get, proxied, raw_client

BODY = b"x" * 300_000
CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(BODY), BODY)
HEADS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + BODY,
    "chunks": CHUNK,
    "within a chunk": CHUNK.replace(b"%x\r\n" % len(BODY), b"%x\r\n" % 400_000)[:-2],
    "before the last CRLF": CHUNK + b"0\r\n",
    "a bad chunk": CHUNK + b"zz\r\n",
    "to the end": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
}
NEW = get()
OLD = b"GET / HTTP/1.0\r\n\r\n"


def breaking(data: bytes, *, reset: bool) -> tuple[Script, asyncio.Event]:
    """Return a script that breaks off behind *data* when the event that comes with it is set."""
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(data)
        await go.wait()
        if reset:
            connection.reset()

    return script, go


@every_loop
@pytest.mark.parametrize("request_data", [NEW, OLD], ids=["1.1", "1.0"])
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("kind", HEADS)
async def test_a_cut_answer_is_cut_for_the_client(kind: str, reset: bool, request_data: bytes):
    """All bytes that came are delivered, then the end is one that no client takes for a good one (G68)."""
    if kind == "to the end" and not reset:
        return
    script, go = breaking(HEADS[kind], reset=reset)
    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(request_data)
        head = (await client.head()).lower()
        data = b""
        while data.count(b"x") < len(BODY):
            data += await client.reader.read(2**16)
        go.set()
        ending = await client.ending()
        data += ending.data
        assert data.count(b"x") == len(BODY)
        if b"content-length: 400000" in head:
            assert len(data) < 400_000
        elif b"transfer-encoding: chunked" in head:
            assert not data.endswith(b"0\r\n\r\n")
        else:
            assert ending.reset
        assert b"HTTP/1.1" not in data


@every_loop
@pytest.mark.parametrize("request_data", [NEW, OLD], ids=["1.1", "1.0"])
async def test_a_clean_end_of_a_body_without_length_is_complete(request_data: bytes):
    """A FIN behind a body that has no other end ends it well (U4)."""
    script, go = breaking(HEADS["to the end"], reset=False)
    go.set()
    async with proxied(script) as (app, _):
        assert (await fetch(app, request_data)).body == BODY


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    "data",
    [b"", b"H", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
async def test_an_end_before_the_answers_head_is_a_502(data: bytes, reset: bool):
    """Until a head was sent there is still an answer to give: `connection_terminated`."""
    script, go = breaking(data, reset=reset)
    go.set()
    async with proxied(script) as (app, upstream):
        answer = await fetch(app, get(method=b"POST"))
        assert (answer.status, answer.code) == (502, "upstream_unreachable")
        assert answer.value(b"proxy-status") == b"okta-proxy; error=connection_terminated"
        assert len(upstream.heads) == 1


@every_loop
async def test_a_cut_reaches_a_client_that_has_not_read_yet():
    """Bytes that wait in the proxy for a slow HTTP/1.0 client are delivered before the reset."""
    body = b"x" * 8_000_000
    script, go = breaking(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + body, reset=True)
    async with proxied(script) as (app, _), raw_client(app) as client:
        await client.send(OLD)
        await client.head()
        data = await client.exactly(7_999_000)
        go.set()
        ending = await client.ending()
        assert len(data + ending.data) == len(body)


@every_loop
@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 9"])
async def test_a_cut_upload_is_cut_for_the_upstream(framing: bytes, how: str):
    """A client that leaves within its body leaves an upload without its last chunk or its last bytes (G69)."""
    heard = asyncio.Event()
    rest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        start = await connection.until(b"hello")
        heard.set()
        rest.set_result(start + (await connection.ending()).data)

    async with proxied(script) as (app, upstream):
        async with raw_client(app) as client:
            await client.send(get(b"/", framing, method=b"POST"))
            await client.send(b"5\r\nhello\r\n" if b"chunked" in framing else b"hello")
            await heard.wait()
            if how == "RST":
                client.reset()
        data = await asyncio.wait_for(rest, 5)
        assert data == (b"5\r\nhello\r\n" if b"chunked" in framing else b"hello")
        assert len(upstream.heads) == 1


@pytest.mark.parametrize(
    ("rest", "limits", "status"),
    [
        (b"zz\r\n", {}, 400),
        (b"", {"body_timeout": 0.1}, 408),
        (b"5\r\nworld\r\n", {"body_size": 9}, 413),
    ],
)
async def test_an_upload_that_we_refuse_is_cut_for_the_upstream(rest: bytes, limits: dict[str, float], status: int):
    """Broken chunks, a silent body and one that is too large never end with a last chunk upstream."""
    heard = asyncio.Event()
    came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        start = await connection.until(b"hello")
        heard.set()
        came.set_result(start + (await connection.ending()).data)

    async with proxied(script, limits=limits) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n")
        await heard.wait()
        await client.send(rest)
        answer = await client.message()
        assert answer.status == status
        assert answer.value(b"connection") == b"close"
        assert not (await asyncio.wait_for(came, 5)).endswith(b"0\r\n\r\n")


async def test_a_refused_upload_behind_an_answers_head_cuts_the_answer():
    """When the answer is on its way already, a body that breaks off can only be shown by breaking the connection."""

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await connection.ending()

    async with proxied(script, FixedTokens()) as (app, _), raw_client(app) as client:
        await client.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        await client.until(b"ok\r\n")
        await client.send(b"zz\r\n")
        ending = await client.ending()
        assert b"0\r\n\r\n" not in ending.data
        assert b"HTTP/1.1" not in ending.data
