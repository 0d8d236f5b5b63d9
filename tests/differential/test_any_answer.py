"""
Whatever bytes upstreams send, in whatever pieces and however they end: clients take nothing for whole that was not.

Each example has the proxy serve a good request behind it, with no task left and no exception that nobody saw.
"""

from collections.abc import Iterator

import pytest
from drawing import BLANKS, BODIES, CHUNKS, LINES, lines_to_bytes, pieces_of, tampered
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st
from kit import OK, chunked
from speaking import Said, Speaker, assert_nothing_behind, client_reads, is_ours, play, read_answer, read_loosely
from stage import GOOD, Stage, stage

INTERIM = [
    b"",
    b"",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\nConnection: close\r\n\r\n",
]
DROPPED = [b"Keep-Alive", b"Proxy-Authenticate", b"Trailer", b"Upgrade", b"TE", b"proxy-connection"]
REQUESTS = [
    b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /x HTTP/1.0\r\n\r\n",
]


@st.composite
def answers(draw: st.DrawFn) -> Said:
    """Draw an answer that is valid, whole or cut somewhere."""
    request = draw(st.sampled_from(REQUESTS))
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 205, 304, 304, 401, 404, 500, 599]))
    version, body = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"])), b""
    kept, how = draw(LINES), draw(st.sampled_from(["length", "chunks", "end"]))
    gone = draw(st.sampled_from([b"", *(name for name, _ in kept)]))
    if status == 401 and draw(st.booleans()):
        # The request goes out once more, with another token, and is answered the same.
        kept = [*kept, (b"WWW-Authenticate", b'Bearer error="invalid_token"')]
    lines = [*kept, (draw(st.sampled_from(DROPPED)), b"x"), (b"Connection", gone)]
    has_body = not request.startswith(b"HEAD") and status not in {204, 304}
    tail = b""
    if how == "chunks" and version == b"HTTP/1.1":
        chunks = draw(CHUNKS)
        body, tail = b"".join(chunks), chunked(*chunks)
        lines.append((b"Transfer-Encoding", b"chunked"))
        if draw(st.booleans()):
            tail = tail.replace(b"\r\n", b';a="b"\r\n', 1)[:-2] + b"X-Seen: trailer\r\n\r\n"
    elif how == "end":
        body = tail = draw(BODIES)
    else:
        body = tail = draw(BODIES)
        lines.append((b"content-Length", b"%d" % len(body)))
    reason = draw(st.sampled_from([b" OK", b" ", b"", b" No Way", b" caf\xe9"]))
    head = b"%b %d%b\r\n%b\r\n" % (version, status, reason, lines_to_bytes(lines, draw(BLANKS)))
    start = draw(st.sampled_from(INTERIM)) + head
    by_end = has_body and b"content-Length" not in head and b"Transfer-Encoding" not in head
    data = start + tail if has_body else start
    ending = draw(st.sampled_from(["close", "reset"] if by_end else ["keep", "close", "reset"]))
    whole = not by_end or ending == "close"
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data) - 1))
        at = draw(st.sampled_from([at, len(data) - 1 - at]))
        ending = "close" if ending == "keep" else ending
        whole = by_end and ending == "close" and at >= len(start)
        data, body = data[:at], tail[: max(0, at - len(start))]
    pieces = pieces_of(draw, data)
    if whole and not by_end:
        # In one piece with the end: what comes later may come behind the next request, and then it is its answer.
        pieces[-1] += draw(st.sampled_from([b"", b"", OK, b"x", b"HTTP/1.1 200 OK\r\n", b"\r\n", tail]))
    expected = [(name, value) for name, value in kept if name.lower() != gone.lower()]
    return Said(request, pieces, ending, status, expected, body if has_body else b"", whole)


CUT_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
STRANGE = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\xff", b"\x0b", b",", b";", b"0\r\n\r\n", b"5\r\n"),
    *(b"chunked", b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/2.0 ", b"Content-Length: 3\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n"),
    *(b"101", b"100", b"099", b"1000", b"HTTP/1.1 100 C\r\n\r\n", b"Content-Length: 18446744073709551615\r\n"),
    *(b"ffffffffffffffff\r\n", b"Upgrade: websocket\r\n", b"304", b"-1", OK),
]


@st.composite
def mutants(draw: st.DrawFn) -> Said:
    """Draw an answer that was tampered with; `status`, `lines`, `body` and `whole` mean nothing then."""
    said = draw(answers())
    data = tampered(draw, b"".join(said.pieces), STRANGE)
    ending = "close" if said.ending == "keep" else said.ending
    return said._replace(pieces=pieces_of(draw, data), ending=ending)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Stage]:
    """Run the proxy before an upstream that says what it is told to."""
    timeouts = {"response_timeout": 1.0, "idle_timeout": 1.0}
    with stage(Speaker(), "token-2", upstream_=timeouts) as running:
        yield running


@examples(150)
@given(answers())
@example(Said(REQUESTS[0], [b"HTTP/1.1 304 Not Modified\r\n\r\n"], "keep", 304, [], b"", whole=True))
@example(Said(REQUESTS[0], [b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n"], "keep", 204, [], b"", whole=True))
@example(Said(REQUESTS[1], [b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"], "keep", 200, [], b"", whole=True))
@example(Said(REQUESTS[3], [b"HTTP/1.1 200 OK\r\n\r\nabc"], "reset", 200, [], b"", whole=False))
@example(Said(REQUESTS[3], [CUT_CHUNKS], "close", 200, [], b"", whole=False))
def test_what_is_whole_comes_whole_and_what_is_cut_is_seen_to_be(proxy: Stage, said: Said):
    """A whole answer arrives with its status, lines and body; of one that broke off the client gets no whole one."""
    # HTTP/1.0 closes, and what comes behind it in its segment would spoil it.
    ending = proxy.run(play(proxy, said, b"" if b"HTTP/1.0" in said.request else GOOD))
    answer = client_reads(ending, said)
    if answer is None or is_ours(answer):
        assert not said.whole or said.ending == "reset", ending
    else:
        assert said.whole, ending
        assert (answer.status, answer.body) == (said.status, said.body)
        ours = {b"date", b"connection", b"content-length", b"transfer-encoding"}
        assert [line for line in answer.lines if line[0].lower() not in ours] == said.lines
    if answer is not None:
        assert_nothing_behind(answer, ending)


@examples(150)
@given(mutants())
def test_whatever_comes_is_no_more_than_it_was(proxy: Stage, said: Said):
    """What a client takes for whole some other parser takes for the same, or it is our 502."""
    ending = proxy.run(
        play(proxy, said._replace(request=said.request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)))
    )
    answer = client_reads(ending, said)
    if answer is None:
        return
    assert not answer.rest, ending
    assert b"internal_error" not in answer.body, ending
    if not is_ours(answer):
        # llhttp passes over empty lines before a status line.
        data = b"".join(said.pieces).lstrip(b"\r\n")
        strict, loose = read_answer(data, said.method), read_loosely(data, said.method)
        readings = [loose, (strict.status, strict.body) if strict else None]
        assert (answer.status, answer.body) in readings, ending
