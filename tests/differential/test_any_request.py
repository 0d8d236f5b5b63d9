"""
Whatever bytes clients send, in whatever pieces: no request more than they sent goes upstream, and each as it was sent.

Each example has the proxy serve a good request behind it, with no task left and no exception that nobody saw.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from canonical import Request
from corpus import FAMILIES
from drawing import BLANKS, BODIES, CHUNKS, LINES, Lines, lines_to_bytes, pieces_of, tampered, text
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from kit import Message, RawConnection, chunked, raw_client
from parsers import Reading, read_h11
from recording import SENTINEL, Recorder, send
from stage import Stage, stage
from verdicts import is_ours, named, request_faults, told_of

DROPPED = [b"X-Forwarded-For", b"forwarded", b"TE", b"Keep-Alive", b"Proxy-Authorization", b"Authorization", b"DPoP"]
ADDED = {b"host", b"via", b"authorization", b"content-length", b"transfer-encoding"}


class Sent(NamedTuple):
    """A request that is valid: its bytes, and what the upstream has to get of it."""

    data: bytes
    method: bytes
    target: bytes
    lines: Lines
    body: bytes
    may_end: bool
    """Whether the connection may end behind it, if others follow in the same segment (docs/http.md)."""


LAST = Sent(SENTINEL, b"GET", b"/sentinel", [], b"", may_end=False)


PATHS = text([*range(33, 35), *range(36, 127)], 0, 8).map(lambda path: b"/" + path)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"M-SEARCH"])


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """Draw a valid request."""
    method, path, kept = draw(METHODS), draw(PATHS), draw(LINES)
    gone = draw(st.sampled_from([b"", b"", b"", *(name for name, _ in kept)]))
    more = [(b"Host", b"localhost"), (draw(st.sampled_from(DROPPED)), b"x"), (b"cOnnection", gone + b", keep-alive")]
    upgrades = draw(st.integers(0, 9)) == 0
    if upgrades:
        more += [(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")]
    at = draw(st.integers(0, len(kept)))
    lines = kept[:at] + more + kept[at:]
    is_old = draw(st.integers(0, 9)) == 0
    framing = draw(st.sampled_from(["none", "none", "length"] if is_old else ["none", "length", "chunks"]))
    body, tail = b"", b""
    if framing == "length":
        body = tail = draw(BODIES)
        lines.append((b"content-length", b"%d" % len(body)))
    elif framing == "chunks":
        pieces = draw(CHUNKS)
        body, tail = b"".join(pieces), chunked(*pieces)
        lines.append((b"Transfer-Encoding", b"chunked"))
        if draw(st.booleans()):
            tail = tail[:-2] + b"Authorization: trailer\r\n\r\n"
    target = draw(st.sampled_from([b"", b"", b"http://localhost"])) + path
    head = lines_to_bytes(lines, draw(BLANKS))
    data = b"%b %b HTTP/1.%d\r\n%b\r\n%b" % (method, target, not is_old, head, tail)
    expected = [(name, value) for name, value in kept if name.lower() != gone.lower()]
    return Sent(data, method, path, expected, body, upgrades or framing == "chunks")


class Example(NamedTuple):
    """Valid requests with, perhaps, something else among them, in pieces."""

    before: list[Sent]
    behind: list[Sent]
    pieces: list[bytes]


@st.composite
def pipelines(draw: st.DrawFn) -> Example:
    """Draw valid requests alone."""
    sent = draw(st.lists(requests(), min_size=1, max_size=4))
    return Example(sent, [], pieces_of(draw, b"".join(each.data for each in sent)))


REFUSED = [each for family in FAMILIES.values() for each in family.values() if each.refused and not each.together]


@st.composite
def spoilt(draw: st.DrawFn) -> Example:
    """Draw valid requests with one of the corpus among them that is refused."""
    before, behind = draw(st.lists(requests(), max_size=2)), draw(st.lists(requests(), max_size=2))
    bad = draw(st.sampled_from(REFUSED))
    data = b"".join([*(each.data for each in before), bad.data, *(each.data for each in behind)])
    return Example(before, [*behind, LAST], [*pieces_of(draw, data), LAST.data])


STRANGE = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\xff", b"\x0b", b",", b";", b"%", b"#", b"/../"),
    *(b"0\r\n\r\n", b"chunked", b"HTTP/1.1", b"HTTP/1.0", b"RTSP/1.0", b"5\r\n", b"Trailer: X\r\n", b"GET "),
    *(b"http://evil/", b"\r\n\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Authorization: Basic x\r\n", b"Host: evil\r\n", b"Host: localhost\r\n", b"Connection: authorization\r\n"),
    *(b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n"),
    *(b"18446744073709551615", b"ffffffffffffffff\r\n", b"GET /s HTTP/1.1\r\n"),
]
ANYTHING = st.one_of(
    requests().map(lambda sent: sent.data),
    st.sampled_from([each.data for family in FAMILIES.values() for each in family.values() if len(each.data) < 400]),
    st.binary(max_size=30),
)


@st.composite
def mutants(draw: st.DrawFn) -> list[bytes]:
    """Draw requests of any kind with some bytes put in, taken out, doubled or replaced, in pieces."""
    data = b"".join(draw(st.lists(ANYTHING, min_size=1, max_size=3)))
    return pieces_of(draw, tampered(draw, data, STRANGE))


@pytest.fixture(scope="module")
def proxy() -> Iterator[Stage]:
    """Run the proxy before a recorder."""
    with stage(Recorder(), limits={"header_timeout": 5.0, "body_timeout": 5.0}) as running:
        yield running


async def play(proxy: Stage, pieces: list[bytes], count: int | None = None) -> tuple[list[Message], list[Request]]:
    """
    Send *pieces*; return the answers and what went upstream.

    Read *count* answers; or all to the end, which the client itself begins if it is 0.
    """
    recorder = proxy.upstream._script
    assert isinstance(recorder, Recorder)
    recorder.start()
    async with raw_client(proxy.app) as client:
        for piece in pieces:
            await send(client, piece)
        if count == 0:
            client.half_close()
        answers: list[Message] = []
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not count or len(answers) < count:
                answers.append(await answer(client))
    await recorder.pieces()
    assert recorder.broken == []
    assert [fault for request in recorder.forwarded for fault in request_faults(request, proxy.host)] == []
    return answers, list(recorder.forwarded)


async def answer(client: RawConnection) -> Message:
    """Read an answer; one of our own to a HEAD, which has no body, is followed by something else than an object."""
    message = await client.message(to="HEAD")
    length = int(message.value(b"content-length") or 0)
    if length and (start := await client.reader.read(1)) == b"{":
        body = start + await client.exactly(length - 1)
        return Message(message.head, body, body)
    if length:
        client.reader._buffer[:0] = start
    return message


def same(request: Request, sent: Sent) -> bool:
    """Tell whether *request* is what had to become of *sent*: method, path, lines with bytes and order, body."""
    lines = [line for line in request.lines if line[0].lower() not in ADDED]
    return request.seen.short == short(sent) and lines == sent.lines


def short(sent: Sent) -> bytes:
    """Return the request in one line, as `Seen.short` does."""
    return b" ".join(filter(None, (sent.method, sent.target, sent.body)))


@examples(100)
@given(pipelines())
def test_what_is_valid_arrives_as_it_was_sent(proxy: Stage, example: Example):
    """
    Each request of a pipeline arrives once, in its order, the same but for the documented changes, and is answered.

    Only behind a chunked body or an Upgrade may the connection end before the rest (docs/http.md).
    """
    sent = example.before
    answers, forwarded = proxy.run(play(proxy, example.pieces, len(sent)))
    assert all(map(same, forwarded, sent))
    assert told_of(answers) == list(map(named, forwarded))
    assert len(answers) == len(forwarded)
    assert len(forwarded) == len(sent) or (forwarded and sent[len(forwarded) - 1].may_end)


@examples(100)
@given(spoilt())
def test_what_is_refused_takes_nothing_along(proxy: Stage, example: Example):
    """Beside what is refused only valid requests arrive, in their order, and none behind it where that is the end."""
    answers, forwarded = proxy.run(play(proxy, example.pieces))
    refusals = [each for each in answers if each.value(b"x-seen") is None]
    assert told_of(answers) == list(map(named, forwarded))
    assert all(map(is_ours, refusals))
    rest = forwarded[len(example.before) :]
    assert all(map(same, forwarded, example.before))
    assert all(map(same, rest, example.behind))
    assert len(rest) <= len(example.behind)
    if refusals:
        assert len(refusals) == 1
        assert not rest or refusals[0].value(b"connection") != b"close"
    else:
        # The connection ended before it.
        assert forwarded
        assert not rest
        assert example.before[len(forwarded) - 1].may_end


@examples(120)
@given(mutants())
def test_whatever_comes_nothing_else_goes(proxy: Stage, pieces: list[bytes]):
    """What is forwarded stands in the bytes that came, as another parser reads it too; what is not is refused by us."""
    data = b"".join(pieces)
    answers, forwarded = proxy.run(play(proxy, pieces, 0))
    assert len(forwarded) <= len(re.findall(rb"(?:HTTP|RTSP|ICE)/1", data))
    assert all(request.seen.method in data and request.seen.target.lstrip(b"/") in data for request in forwarded)
    told = told_of(answers)
    assert told == list(map(named, forwarded))[: len(told)]
    refusals = [each for each in answers if each.value(b"x-seen") is None]
    assert all(is_ours(each) and each.status != 500 for each in refusals)
    reading = asyncio.run(read_h11(data))
    assert is_within(forwarded, reading), reading


def is_within(forwarded: list[Request], reading: Reading) -> bool:
    """Tell whether h11 reads each request that was forwarded, in this order, as far as it reads at all."""
    left = iter(reading.requests)
    for request in forwarded:
        seen = request.seen
        if not any(
            (each.method, path_of(each.target), each.body) == (seen.method, seen.target, seen.body) for each in left
        ):
            return reading.refused
    return True


def path_of(target: bytes) -> bytes:
    """Return what goes upstream of a target in absolute-form."""
    path = re.sub(rb"(?i)^https?://[^/?]*", b"", target)
    return path if path.startswith((b"/", b"*")) else b"/" + path
