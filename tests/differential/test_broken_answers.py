"""Answers that servers and clients could read in two ways are nobody's answer: the corpus of requests, turned round."""

from collections.abc import Iterator

import pytest
from corpus_chunks import BAD_DATA, BAD_ENDS, BAD_SIZES, BAD_TRAILERS, HUGE_SIZES
from corpus_framing import BAD_LENGTHS, BROKEN_NAMES, CODINGS, HUGE_LENGTHS
from corpus_lines import BROKEN_LINES
from payloads import named
from speaking import Said, Speaker, client_reads, is_ours, play
from stage import GOOD, stage

CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
GET = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nX-Evil: yes\r\nContent-Length: 4\r\n\r\nevil"


def said(*lines: bytes, body: bytes = b"", first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return an answer made of *lines*, as they are, with another one behind it."""
    return b"\r\n".join([first, *lines]) + b"\r\n\r\n" + body + EVIL


def broken() -> Iterator[tuple[str, bytes]]:
    """Answers that must not pass; no more is to be seen of them than what stands before the mistake."""
    for value in BAD_LENGTHS:
        yield named("length", value), said(b"Content-Length: " + value, body=b"abc")
    for value in CODINGS:
        yield named("coding", value), said(b"Transfer-Encoding:" + value, body=CHUNKS)
        yield named("length and coding", value), said(b"Content-Length: 13", b"Transfer-Encoding:" + value, body=CHUNKS)
    for name in BROKEN_NAMES:
        yield named("coding as", name), said(b"Content-Length: 13", name + b": chunked", body=CHUNKS)
    for body in broken_chunks():
        yield named("chunks", body), said(CHUNKED, body=body)
    for line in BROKEN_LINES:
        # In an answer that is a line like any other.
        if line != b"Host: evil":
            yield named("line", line), said(line, b"Content-Length: 3", body=b"abc")
    for first in STATUS_LINES:
        yield named("status line", first), said(b"Content-Length: 3", body=b"abc", first=first)
    yield "length and chunks", said(b"Content-Length: 13", CHUNKED, body=CHUNKS)
    yield "chunks and length", said(CHUNKED, b"Content-Length: 13", body=CHUNKS)
    yield "1.0 and chunks", said(CHUNKED, body=CHUNKS, first=b"HTTP/1.0 200 OK")


def broken_chunks() -> Iterator[bytes]:
    """Bodies in chunks that are none."""
    for size in BAD_SIZES:
        yield size + b"\r\nabc\r\n0\r\n\r\n"
    for end in BAD_ENDS:
        yield b"3\r\nabc\r\n" + end
    for data in BAD_DATA:
        yield data + b"0\r\n\r\n"
    for lines in BAD_TRAILERS:
        # Trailers are read and forgotten, so this one does no harm.
        if lines != b"Transfer-Encoding: chunked":
            yield b"3\r\nabc\r\n0\r\n" + lines + b"\r\n\r\n"


def endless() -> Iterator[tuple[str, bytes]]:
    """Answers whose bodies do not come whole: what stands behind is taken for more of them."""
    for value in HUGE_LENGTHS:
        yield named("length", value), said(b"Content-Length: " + value, body=b"abc")
    for size in HUGE_SIZES:
        yield named("chunks", size), said(CHUNKED, body=size + b"\r\nabc\r\n0\r\n\r\n")


STATUS_LINES = [
    *(b"HTTP/1.1 99 X", b"HTTP/1.1 099 X", b"HTTP/1.1 1000 X", b"HTTP/1.1 20 X", b"HTTP/1.1 2x0 X"),
    *(b"HTTP/1.1 -200 X", b"HTTP/1.1 +200 X", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 X", b"HTTP/1.1  200 X"),
    *(b"HTTP/1.1\t200 X", b"HTTP/1.1 101 X", b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.2 200 OK"),
    *(b"HTTP/11.1 200 OK", b"HTTP/2 200", b"HTTP 200 OK", b"http/1.1 200 OK", b"HTTPS/1.1 200 OK", b"ICY 200 OK"),
    *(b"SIP/2.0 200 OK", b"X 200 OK", b"<html>", b"220 SMTP", b"\x00", b"HTTP/1.1 200\x00", b"HTTP/1.1 200 O\rK"),
    *(b" HTTP/1.1 200 OK", b"\x16\x03\x01", b"SSH-2.0-x", b"HTTP/1.1/200 OK"),
]
BROKEN, ENDLESS = dict(broken()), dict(endless())


@pytest.mark.parametrize("apart", [False, True])
def test_no_broken_answer_is_taken_for_a_whole_one(apart: bool):
    """The client gets our 502 or a visible cut, and neither it nor the next client anything of what stands behind."""

    async def faults() -> list[str]:
        found = []
        for name, data in (BROKEN | ENDLESS).items():
            half = len(data) // 2 if apart else len(data)
            what = Said(GET, [data[:half], data[half:]], "close", 0, [], b"", whole=False)
            ending = await play(proxy, what, GOOD)
            answer = client_reads(ending, what)
            if not (answer is None or is_ours(answer)) or (b"X-Evil" in ending.data and name in BROKEN):
                found.append(f"{name}: {ending.data!r}")
        return found

    with stage(Speaker(), upstream_={"response_timeout": 1.0, "idle_timeout": 1.0}) as proxy:
        found = proxy.run(faults(), seconds=30)
    assert found == [], "\n".join(each[:400] for each in found)
