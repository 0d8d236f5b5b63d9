"""
The table of raw answers: what is no answer, what is one however odd it looks, and what is left of a connection.

A row is bytes of a raw upstream and what a raw client gets; its number is the first word of a parameter's id here
(`pytest -k U5`). Rows that belong to a promise have their tests there, in `tests/promises`:

    U1   bytes on an idle connection              here, test_kept_connection
    U2   short bodies, cut and broken chunks      here, test_truncation_is_visible
    U3   a body to the end that is reset          test_truncation_is_visible
    U4   a body to the end that ends well         test_truncation_is_visible, test_framing
    U5   lengths                                  here
    U6   transfer codings                         here
    U7   chunked twice                            here
    U8   line ends, folded lines, blanks          here
    U9   bytes of headers and reasons             here, test_bytes_are_faithful
    U10  odd status codes                         here
    U11  interim answers                          here, test_truncation_is_visible, test_timeouts
    U12  a switch of protocols that nobody asked  here, test_websocket_handshake
    U13  bytes behind an answer                   here
    U14  large heads                              here
    U15  versions, garbage, half an answer        here, test_truncation_is_visible
    U16  compressed bodies                        test_bytes_are_faithful
    U17  cookies                                  test_bytes_are_faithful, test_rewriting
    U18  redirects                                here, test_rewriting
    U19  silent, slow and endless bodies          here, test_timeouts, test_streaming
    U20  missing headers                          test_bytes_are_faithful
    U21  what Connection names                    here, test_hop_by_hop
    U22  early answers                            test_unclean_connections, test_expect_continue
    U23  bodies that look like HTTP               test_bytes_are_faithful
"""

import asyncio
import socket
import struct
import sys

import pytest
from kit import (
    GET,
    LAST_CHUNK,
    OK,
    RawConnection,
    RawUpstream,
    Script,
    answering,
    chunked,
    every_loop,
    get,
    post,
    proxied,
    raw_client,
)

STEPS = {"whole": 2**20, "byte by byte": 1}
LENGTH = b"Content-Length: 2\r\n\r\nok"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"ok")
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"


def ok(*lines: bytes, rest: bytes = LENGTH) -> bytes:
    """Return an answer with these header lines before its framing and its body."""
    return b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + rest


def started(line: bytes) -> bytes:
    """Return a good answer that starts with *line*."""
    return line + b"\r\n" + LENGTH


def of_length(value: bytes) -> bytes:
    """Return an answer whose body of two bytes has this length."""
    return ok(rest=b"Content-Length: %b\r\n\r\nok" % value)


def coded(*values: bytes) -> bytes:
    """Return an answer with these transfer codings and a body in chunks."""
    return ok(*[b"Transfer-Encoding: " + value for value in values], rest=b"\r\n" + chunked(b"ok"))


SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

NO_ANSWER = {
    "U5 length and chunks": ok(b"Content-Length: 2", rest=CHUNKS),
    "U5 chunks and length": ok(b"Transfer-Encoding: chunked"),
    "U5 twice the same": ok(b"Content-Length: 2"),
    "U5 two": ok(b"Content-Length: 3"),
    "U5 list": of_length(b"2, 2"),
    "U5 -1": of_length(b"-1"),
    "U5 +2": of_length(b"+2"),
    "U5 0x2": of_length(b"0x2"),
    "U5 empty": of_length(b""),
    "U5 endless": of_length(b"9" * 20),
    "U6 gzip, chunked": coded(b"gzip, chunked"),
    "U6 chunked, gzip": coded(b"chunked, gzip"),
    "U6 gzip": coded(b"gzip"),
    "U6 foo": coded(b"foo"),
    "U6 identity": coded(b"identity"),
    "U6 none": coded(b""),
    "U6 tab behind": coded(b"chunked\t"),
    "U6 comma": coded(b",chunked"),
    "U6 weight": coded(b"chunked;q=1"),
    "U6 chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKS,
    "U7 one line": coded(b"chunked, chunked"),
    "U7 two lines": coded(b"chunked", b"chunked"),
    "U8 folded": ok(b"X: y", b" z"),
    "U8 folded with a tab": ok(b"X: y", b"\tz"),
    "U8 blank before the first": ok(b" X: y"),
    "U8 LF alone": ok().replace(b"\r\n", b"\n"),
    "U8 LF in a line": ok(b"X: y\nZ: a"),
    "U8 LF at the head's end": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
    "U8 blank before the colon": ok(b"X : y"),
    "U8 CR in a line": ok(b"X: a\rSet-Cookie: b"),
    "U8 no name": ok(b": y"),
    "U8 no colon": ok(b"X"),
    "U9 NUL": ok(b"X: a\x00b"),
    "U9 control byte": ok(b"X: \x01"),
    "U9 DEL": ok(b"X: \x7f"),
    "U9 name beyond ASCII": ok(b"X\xe9: y"),
    "U9 name with a bracket": ok(b"X(: y"),
    "U9 CR in a reason": started(b"HTTP/1.1 200 a\rb"),
    "U10 99": started(b"HTTP/1.1 99 X"),
    "U10 099": started(b"HTTP/1.1 099 X") + OK,
    "U10 000": started(b"HTTP/1.1 000 X") + OK,
    "U10 20": started(b"HTTP/1.1 20 X"),
    "U10 1000": started(b"HTTP/1.1 1000 X"),
    "U10 -200": started(b"HTTP/1.1 -200 X"),
    "U10 abc": started(b"HTTP/1.1 abc X"),
    "U10 2e2": started(b"HTTP/1.1 2e2 X"),
    "U11 endless": b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000,
    "U12 unasked": SWITCH,
    "U12 bare": b"HTTP/1.1 101 Switching\r\n\r\n",
    "U12 behind 100": b"HTTP/1.1 100 Continue\r\n\r\n" + SWITCH + b"x",
    "U14 501 lines": ok(*[b"X: y"] * 501),
    "U14 600 KB in a line": ok(b"X: " + b"y" * 600_000),
    "U14 no end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
    "U15 HTTP/2.0": started(b"HTTP/2.0 200 OK"),
    "U15 HTTP/2": started(b"HTTP/2 200 OK"),
    "U15 HTTP/1.2": started(b"HTTP/1.2 200 OK"),
    "U15 HTTP/0.9": started(b"HTTP/0.9 200 OK"),
    "U15 lower case": started(b"http/1.1 200 OK"),
    "U15 ICY": started(b"ICY 200 OK"),
    "U15 blank before": b" " + OK,
    "U15 two blanks": started(b"HTTP/1.1  200 OK"),
    "U15 tab": started(b"HTTP/1.1 200\tOK"),
    "U15 request": GET,
    "U15 page": b"<html>hello</html>\r\n\r\n",
    "U15 TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "U15 HTTP/2 frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "U15 SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
}


def in_turn(*answers: bytes, step: int = STEPS["whole"]) -> Script:
    """Return a script that gives each request the next of *answers*, the last for ever, in segments of *step* bytes."""
    left = list(answers)

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            data = left.pop(0) if len(left) > 1 else left[0]
            for at in range(0, len(data), step):
                await connection.send(data[at : at + step])
                await asyncio.sleep(0)

    return script


SHORT = {row for row, data in NO_ANSWER.items() if len(data) < 10_000}


@every_loop
@pytest.mark.parametrize(
    ("row", "sliced"), [(row, step) for step in STEPS for row in NO_ANSWER if step == "whole" or row in SHORT]
)
async def test_what_is_no_answer_is_a_502(row: str, sliced: str):
    """Nothing of it is passed on, its connection is not used again, and the client's goes on."""
    async with (
        proxied(in_turn(NO_ANSWER[row], OK, step=STEPS[sliced])) as (app, upstream),
        raw_client(app) as client,
    ):
        await client.send(get())
        answer = await client.message()
        assert (answer.status, answer.code) == (502, "upstream_protocol_error")
        assert answer.value(b"proxy-status") == b"okta-proxy; error=http_protocol_error"
        await client.send(post(b"x"))
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2
        assert len(upstream.heads) == 2


FINAL = ok(b"X-Keep: 1", b"Set-Cookie: a=b")
KEPT = [b"X-Keep: 1", b"Set-Cookie: a=b", b"Content-Length: 2"]
COOKIE = b"Set-Cookie: a=" + b"y" * 100_000

ODD = {
    "U6 case": (coded(b"ChunkeD"), b"200 OK", [b"Transfer-Encoding: chunked"]),
    "U6 blanks": (coded(b"  chunked "), b"200 OK", [b"Transfer-Encoding: chunked"]),
    "U6 tab before": (coded(b"\tchunked"), b"200 OK", [b"Transfer-Encoding: chunked"]),
    "U9 latin-1": (ok(b"X: caf\xe9"), b"200 OK", [b"X: caf\xe9", b"Content-Length: 2"]),
    "U9 reason in latin-1": (started(b"HTTP/1.1 200 caf\xe9"), b"200 OK", [b"Content-Length: 2"]),
    "U9 control byte in a reason": (started(b"HTTP/1.1 404 a\x01b"), b"404 Not Found", [b"Content-Length: 2"]),
    "U9 NUL in a reason": (started(b"HTTP/1.1 200 a\x00b"), b"200 OK", [b"Content-Length: 2"]),
    "U9 unknown status with such a reason": (started(b"HTTP/1.1 299 \xe9"), b"299 ", [b"Content-Length: 2"]),
    "U9 no reason": (started(b"HTTP/1.1 200"), b"200 ", [b"Content-Length: 2"]),
    "U9 empty reason": (started(b"HTTP/1.1 404 "), b"404 ", [b"Content-Length: 2"]),
    "U9 reason of another language": (started(b"HTTP/1.1 200 Alles gut"), b"200 Alles gut", [b"Content-Length: 2"]),
    "U10 600": (started(b"HTTP/1.1 600 X"), b"600 X", [b"Content-Length: 2"]),
    "U10 999": (started(b"HTTP/1.1 999 X"), b"999 X", [b"Content-Length: 2"]),
    "U11 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U11 102": (b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U11 103": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U11 199": (b"HTTP/1.1 199\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U11 HTTP/1.0": (b"HTTP/1.0 100 Continue\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U11 several": (b"HTTP/1.1 102 Processing\r\n\r\n" * 50 + FINAL, b"200 OK", KEPT),
    "U11 with a length": (b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U11 with a coding": (b"HTTP/1.1 103\r\nTransfer-Encoding: chunked\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U11 with options": (b"HTTP/1.1 100\r\nConnection: x-keep, set-cookie, close\r\n\r\n" + FINAL, b"200 OK", KEPT),
    "U14 200 lines": (ok(*[b"X: y"] * 200), b"200 OK", [*[b"X: y"] * 200, b"Content-Length: 2"]),
    "U14 9 KB in a line": (ok(b"X: " + b"y" * 9000), b"200 OK", [b"X: " + b"y" * 9000, b"Content-Length: 2"]),
    "U14 100 KB in a cookie": (ok(COOKIE), b"200 OK", [COOKIE, b"Content-Length: 2"]),
    "U15 empty lines before": (b"\r\n\r\n" + OK, b"200 OK", [b"Content-Length: 2"]),
    "U15 HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH,
        b"200 OK",
        [b"Content-Length: 2"],
    ),
    "U18 network path": (
        b"HTTP/1.1 301 Moved\r\nLocation: //evil.example/x\r\n" + LENGTH,
        b"301 Moved",
        [b"Location: //evil.example/x", b"Content-Length: 2"],
    ),
    "U18 relative": (
        b"HTTP/1.1 308 Moved\r\nLocation: ../x?a#b\r\n" + LENGTH,
        b"308 Moved",
        [b"Location: ../x?a#b", b"Content-Length: 2"],
    ),
    "U21 a header": (ok(b"Connection: X-Secret", b"X-Secret: s"), b"200 OK", [b"Content-Length: 2"]),
    "U21 the length": (ok(b"Connection: content-length"), b"200 OK", [b"Content-Length: 2"]),
    "U21 the coding": (
        ok(b"Connection: transfer-encoding", rest=CHUNKS),
        b"200 OK",
        [b"Transfer-Encoding: chunked"],
    ),
    "U21 the date": (ok(b"Connection: date", b"Date: long ago"), b"200 OK", [b"Content-Length: 2"]),
    "U21 an upgrade": (ok(b"Upgrade: h2", b"Connection: Upgrade"), b"200 OK", [b"Content-Length: 2"]),
}


@every_loop
@pytest.mark.parametrize(
    ("row", "sliced"), [(row, step) for step in STEPS for row in ODD if step == "whole" or len(ODD[row][0]) < 10_000]
)
async def test_what_is_merely_odd_is_relayed(row: str, sliced: str):
    """The client gets the one final answer with its lines and a date, and the upstream's connection is used again."""
    data, status_line, lines = ODD[row]
    async with proxied(in_turn(data, step=STEPS[sliced])) as (app, upstream), raw_client(app) as client:
        for _ in range(2):
            await client.send(get())
            answer = await client.message(final=False)
            assert answer.first == b"HTTP/1.1 " + status_line
            dates = [line for line in answer.lines if line.startswith(b"Date: ")]
            assert [line for line in answer.lines if line not in dates] == lines
            assert len(dates) == 1
            assert dates != [b"Date: long ago"]
            assert answer.body == b"ok"
        assert upstream.connections == 1


@pytest.mark.parametrize(
    "protocol", [pytest.param(name, id=f"U15 {name.decode()}") for name in (b"RTSP/1.0", b"ICE/1.0")]
)
async def test_the_parser_takes_two_other_protocols_for_http(protocol: bytes):
    """Status lines of RTSP and ICE are read as HTTP's, and do not reach the client: docs/http.md."""
    async with proxied(in_turn(started(protocol + b" 200 OK"))) as (app, _), raw_client(app) as client:
        await client.send(get())
        answer = await client.message()
        assert (answer.first, answer.body) == (b"HTTP/1.1 200 OK", b"ok")


# What is left of the connection.

USED_AGAIN = {
    "U15 HTTP/1.1": (OK, 1),
    "U15 close": (ok(b"Connection: close"), 3),
    "U15 in another case": (ok(b"connection: Close"), 3),
    "U15 blanks": (ok(b"Connection:\tclose\t"), 3),
    "U15 among others": (ok(b"Connection: x ,\tclose, y"), 3),
    "U15 beside keep-alive": (ok(b"Connection: keep-alive, close"), 3),
    "U15 two lines": (ok(b"Connection: close", b"Connection: keep-alive"), 3),
    "U15 a word with it": (ok(b"Connection: close-not"), 1),
    "U15 HTTP/1.0": (b"HTTP/1.0 200 OK\r\n" + LENGTH, 3),
    "U15 HTTP/1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" + LENGTH, 1),
    "U15 HTTP/1.0 kept and closed": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n" + LENGTH, 3),
    "U15 HTTP/1.0 closed": (b"HTTP/1.0 200 OK\r\nConnection: close\r\n" + LENGTH, 3),
}


@every_loop
@pytest.mark.parametrize("row", USED_AGAIN)
async def test_who_says_close_is_not_asked_again(row: str):
    """RFC 9112 9.3: `close` wins, and HTTP/1.0 must ask to be kept; the client's own connection goes on."""
    answer, connections = USED_AGAIN[row]
    async with proxied(answering(answer)) as (app, upstream), raw_client(app) as client:
        for _ in range(3):
            await client.send(post(b"x"))
            message = await client.message()
            assert message.body == b"ok"
            assert message.values(b"connection") == []
        assert upstream.connections == connections


UNASKED = {
    "U1 408": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    "U1 answer": EVIL,
    "U1 interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "U1 empty line": b"\r\n",
    "U1 byte": b"x",
}


@every_loop
@pytest.mark.parametrize("row", UNASKED)
async def test_what_nobody_asked_for_is_nobodys_answer(row: str):
    """Bytes on an idle connection end it, and the next caller gets an answer of its own."""
    go, ended = asyncio.Event(), asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(OK)
        if upstream.connections == 1:
            await go.wait()
            await connection.send(UNASKED[row])
            await connection.ending()
            ended.set()
        await connection.rest()

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        await client.send(get(b"/1"))
        assert (await client.message()).body == b"ok"
        go.set()
        await asyncio.wait_for(ended.wait(), 5)
        await client.send(post(b"x", path=b"/2"))
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2
        assert len(upstream.heads) == 2


@every_loop
@pytest.mark.parametrize(
    "order", [pytest.param("request first", id="U1 behind"), pytest.param("bytes first", id="U1 before")]
)
async def test_bytes_that_come_together_with_the_next_request_are_not_its_answer(order: str):
    """What waits unread on an idle connection was sent before the request: that gets a connection of its own."""
    upstreams: list[RawConnection] = []

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        upstreams.append(connection)
        while True:
            await upstream.take(connection)
            await connection.send(OK)

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        for number in range(1, 6):
            await client.send(post(b"x"))
            assert (await client.message()).body == b"ok"
            assert upstream.connections == number
            # Both are in the kernel before the proxy has its next turn.
            writes = [(client, GET), (upstreams[-1], EVIL)]
            for connection, data in writes if order == "request first" else reversed(writes):
                connection.writer.write(data)
            assert (await client.message()).body == b"ok"
            assert upstream.connections == number + 1


HEAD = get(method=b"HEAD")
BEHIND = {
    "U1 two answers at once": (GET, OK + EVIL, b"ok"),
    "U13 204": (GET, b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL, b""),
    "U13 204 with a length": (GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nEVIL", b""),
    "U13 204 in chunks": (GET, b"HTTP/1.1 204 No Content\r\n" + CHUNKS, b""),
    "U13 304": (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nEVIL", b""),
    "U13 HEAD": (HEAD, EVIL, b""),
    "U13 HEAD in chunks": (HEAD, ok(rest=CHUNKS), b""),
    "U13 more than the length": (GET, OK + b"EVIL", b"ok"),
    "U13 more than the last chunk": (GET, ok(rest=CHUNKS) + EVIL, b"ok"),
    "U13 a switch of protocols": (GET, OK + SWITCH + b"x", b"ok"),
}


@every_loop
@pytest.mark.parametrize("row", BEHIND)
async def test_bytes_behind_an_answer_are_dropped(row: str):
    """What follows an answer in the same breath is dropped with its connection; the next answer is right."""
    request, answer, body = BEHIND[row]
    async with proxied(answering(answer, OK)) as (app, upstream), raw_client(app) as client:
        await client.send(request)
        message = await client.message(to=request.split(b" ")[0].decode())
        assert message.body == body
        assert message.status != 204 or message.values(b"content-length") == []
        await client.send(post(b"x"))
        assert (await client.message()).body == b"ok"
        assert upstream.connections == 2


BROKEN = {
    "U2 no size": b"\r\nhello",
    "U2 0x5": b"0x5\r\nhello\r\n" + LAST_CHUNK,
    "U2 -5": b"-5\r\nhello\r\n" + LAST_CHUNK,
    "U2 17 digits": b"11111111111111111\r\nhello",
    "U2 blank before": b" 5\r\nhello\r\n" + LAST_CHUNK,
    "U2 blank behind": b"5 \r\nhello\r\n" + LAST_CHUNK,
    "U2 LF": b"5\nhello\r\n" + LAST_CHUNK,
    "U2 LF at the end": b"0\n\n",
    "U2 too long": b"5\r\nhelloX\r\n" + LAST_CHUNK,
    "U2 CRLF in quotes": b'5;a="\r\nhello\r\n' + LAST_CHUNK,
    "U2 trailer with a blank before the colon": b"0\r\nX : y\r\n\r\n",
}


@every_loop
@pytest.mark.parametrize("row", BROKEN)
async def test_broken_chunks_cut_the_answer(row: str):
    """What came before the break is delivered, no last chunk is; the next request has a connection of its own."""
    seen = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        if upstream.connections == 1:
            await connection.send(ok(rest=CHUNKS.removesuffix(LAST_CHUNK)))
            await seen.wait()
            await connection.send(BROKEN[row])
            await connection.ending()
        await connection.send(OK)
        await connection.rest()

    async with proxied(script) as (app, upstream):
        async with raw_client(app) as client:
            await client.send(get())
            assert await client.until(b"\r\nok\r\n")
            seen.set()
            assert (await client.ending()).data.strip() in {b"", b"5\r\nhello"}
        async with raw_client(app) as client:
            await client.send(post(b"x"))
            assert (await client.message()).body == b"ok"
        assert upstream.connections == 2


@every_loop
@pytest.mark.parametrize("length", [pytest.param(10 * 2**30, id="U19 10 GiB"), pytest.param(2**62, id="U19 4 EiB")])
async def test_a_length_of_any_size_is_passed_on(length: int):
    """No number is cut on the way, and what there is of the body comes at once; who leaves ends it for the upstream."""
    ended = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.take(connection)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * 100_000)
        await connection.ending()
        ended.set()

    async with proxied(script) as (app, _):
        async with raw_client(app) as client:
            await client.send(get())
            assert b"\r\nContent-Length: %d\r\n" % length in await client.head()
            assert await client.exactly(100_000) == b"x" * 100_000
            client.reset()
        await asyncio.wait_for(ended.wait(), 5)


# How the bytes travel.


def segments(connection: RawConnection) -> int:
    """Return how many segments with data have come: `tcpi_data_segs_in` of Linux's `struct tcp_info`."""
    info = connection.writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    count: int = struct.unpack_from("I", info, 152)[0]
    return count


PIECES = {
    "GET": (GET, OK),
    "HEAD": (HEAD, ok(rest=b"Content-Length: 99\r\n\r\n")),
    "no content": (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "lengths": (post(b"x" * 5), ok(b"Set-Cookie: a=b")),
    "chunks": (get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"he", b"llo"), ok(rest=CHUNKS)),
    "16 KB": (post(b"x" * 16_000), ok(rest=b"Content-Length: 16000\r\n\r\n" + b"x" * 16_000)),
    "16 KB in chunks": (
        get(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + chunked(b"x" * 16_000),
        ok(rest=b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 16_000)),
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="counts segments with Linux's TCP_INFO")
@every_loop
@pytest.mark.parametrize("pieces", PIECES)
async def test_a_small_body_leaves_in_one_write_with_its_head(pieces: str):
    """The upstream gets a small request, and the client a small answer, in one segment: on new and kept connections."""
    request, answer = PIECES[pieces]
    came = []

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            await upstream.take(connection)
            came.append(segments(connection))
            await connection.send(answer)

    async with proxied(script) as (app, upstream), raw_client(app) as client:
        for number in (1, 2, 3):
            await client.send(request)
            await client.message(to=request.split(b" ")[0].decode())
            assert segments(client) == number
        assert came == [1, 2, 3]
        assert upstream.connections == 1


@pytest.mark.skipif(sys.platform != "linux", reason="counts segments with Linux's TCP_INFO")
@every_loop
async def test_our_own_answer_leaves_in_one_write():
    """A refusal is one segment too."""
    async with proxied(answering(OK)) as (app, _), raw_client(app) as client:
        for number in (1, 2):
            await client.send(get(b"/", b"Origin: null"))
            assert (await client.message()).code == "browser_request_denied"
            assert segments(client) == number
