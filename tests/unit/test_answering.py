"""The heads that the client gets: the tables of `proxy.forwarding.answering`."""

import json

import pytest
from kit import url

from proxy.errors import BadRequestError, TooBusyError, phrase
from proxy.forwarding import response
from proxy.forwarding.answering import Framing, chunk, error_answer, framing, http_date, last_chunk, response_head
from proxy.forwarding.response import ResponseHead, trailer_lines
from proxy.forwarding.rewrite import ClientAddress, Rewriter


def head(
    headers: list[tuple[bytes, bytes]],
    *,
    status: int = 200,
    reason: bytes = b"OK",
    rewriter: Rewriter | None = None,
    is_chunked: bool = False,
    connection: bytes | None = None,
) -> list[bytes]:
    """Return the lines of a response head without its Date."""
    answer = read(headers, status)
    lines = answer.lines(rewriter, lambda: ClientAddress(b"localhost"))
    text = response_head(status, reason, lines, answer.has_date, is_chunked, connection)
    assert text.endswith(b"\r\n\r\n")
    return [line for line in text.removesuffix(b"\r\n\r\n").split(b"\r\n") if not line.startswith(b"Date:")]


def read(headers: list[tuple[bytes, bytes]], status: int = 200) -> ResponseHead:
    """Return what header lines come to."""
    return ResponseHead(tuple(name for name, _ in headers), tuple(value for _, value in headers), status)


@pytest.mark.parametrize(
    ("method", "status", "has_length", "http_1_0", "expected"),
    [
        ("GET", 200, True, False, Framing(has_body=True, is_chunked=False, closes=False)),
        ("GET", 200, True, True, Framing(has_body=True, is_chunked=False, closes=False)),
        ("GET", 200, False, False, Framing(has_body=True, is_chunked=True, closes=False)),
        ("GET", 200, False, True, Framing(has_body=True, is_chunked=False, closes=True)),
        ("GET", 205, False, False, Framing(has_body=True, is_chunked=True, closes=False)),
        ("HEAD", 200, False, True, Framing(has_body=False, is_chunked=False, closes=False)),
        ("HEAD", 404, True, False, Framing(has_body=False, is_chunked=False, closes=False)),
        ("GET", 204, True, False, Framing(has_body=False, is_chunked=False, closes=False)),
        ("POST", 304, False, True, Framing(has_body=False, is_chunked=False, closes=False)),
    ],
)
def test_an_answer_is_delimited_as_the_client_knows(
    method: str, status: int, has_length: bool, http_1_0: bool, expected: Framing
):
    """The upstream's length is kept, else chunks for HTTP/1.1 and the connection's end for HTTP/1.0."""
    assert framing(method, status, has_length=has_length, http_1_0=http_1_0) == expected


def test_lines_pass_with_their_bytes():
    """Names, values, order and duplicates of the upstream's header lines are the client's."""
    lines = [(b"X-a", b"1"), (b"sET-cookie", b"a"), (b"Set-Cookie", b"caf\xe9"), (b"X-Empty", b"")]
    assert head(lines)[1:] == [b"X-a: 1", b"sET-cookie: a", b"Set-Cookie: caf\xe9", b"X-Empty: "]


@pytest.mark.parametrize("name", [b"Keep-Alive", b"TRAILER", b"Te", b"Upgrade", b"Proxy-Authenticate", b"connection"])
def test_hop_by_hop_lines_stay_behind(name: bytes):
    """A line that is for this hop, or that the upstream's Connection names, is dropped."""
    assert head([(name, b"z"), (b"X", b"y")])[1:] == [b"X: y"]
    assert head([(b"X-Named", b"x"), (b"X", b"y"), (b"Connection", b"x-named, close")])[1:] == [b"X: y"]
    assert head([(b"Connection", b"X"), (b"Date", b"d"), (b"X", b"y"), (b"Location", b"/")])[1:] == [b"Location: /"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (b"OK", b"HTTP/1.1 200 OK"),
        (b"", b"HTTP/1.1 200 "),
        (b"All\tright ~", b"HTTP/1.1 200 All\tright ~"),
        (b"caf\xe9", b"HTTP/1.1 200 OK"),
        (b"a\x01b", b"HTTP/1.1 200 OK"),
        (b"a\x7f", b"HTTP/1.1 200 OK"),
    ],
)
def test_a_reason_that_is_not_text_is_replaced(reason: bytes, expected: bytes):
    """A reason phrase passes if it is printable ASCII; else the registered one stands there."""
    assert head([], reason=reason)[0] == expected
    assert head([], status=299, reason=b"\xff")[0] == b"HTTP/1.1 299 "


def test_a_date_is_added_only_where_there_is_none():
    """RFC 9110 6.6.1: who forwards an answer without a Date adds one, and leaves one that is there."""
    assert response_head(200, b"OK", b"", False, False, None) == b"HTTP/1.1 200 OK\r\nDate: %b\r\n\r\n" % http_date()
    assert response_head(200, b"OK", b"X: y\r\n", True, False, None) == b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
    assert read([(b"daTE", b"long ago")]).has_date
    assert not read([(b"X-Date", b"long ago")]).has_date
    assert not read([(b"Date", b"long ago"), (b"Connection", b"date")]).has_date


def test_a_204_has_no_length():
    """RFC 9110 8.6: a Content-Length has no place in a 204; a 304 keeps it."""
    assert head([(b"Content-Length", b"5")], status=204, reason=b"")[1:] == []
    assert head([(b"Content-Length", b"5")], status=304, reason=b"")[1:] == [b"Content-Length: 5"]


def test_our_own_lines_come_last():
    """Framing and the Connection option are this hop's, behind what the upstream said."""
    lines = head([(b"X", b"y")], is_chunked=True, connection=b"close")
    assert lines[1:] == [b"X: y", b"Transfer-Encoding: chunked", b"Connection: close"]


def test_addresses_are_rewritten_on_their_way():
    """With a rewriter the four headers that hold addresses go through it, and keep their spelling."""
    rewriter = Rewriter(url("https://api.example"), plain_loopback=True)
    lines = head(
        [(b"LOCATION", b"https://api.example/x"), (b"X-Location", b"https://api.example/x")], rewriter=rewriter
    )
    assert lines[1:] == [b"LOCATION: http://localhost/x", b"X-Location: https://api.example/x"]


def test_a_chunk_tells_its_length_in_hexadecimal():
    """RFC 9112 7.1."""
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_our_own_answer_is_a_problem_that_tells_whose_error_it_is():
    """An RFC 9457 body, no-store, Proxy-Status, and a Connection option only where it ends."""
    data, length = error_answer(TooBusyError("Too many."), "id-1", method="GET", closes=False)
    first, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    body = data.partition(b"\r\n\r\n")[2]
    fields = dict(line.split(": ", 1) for line in lines)
    assert first == "HTTP/1.1 503 Service Unavailable"
    assert fields.pop("Date") == http_date().decode()
    assert fields == {
        "Content-Type": "application/problem+json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Proxy-Status": "okta-proxy; error=connection_limit_reached",
        "Retry-After": "1",
        "Content-Length": str(length),
    }
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "Too many.",
        "code": "too_busy",
        "request_id": "id-1",
    }


def test_our_own_answer_to_head_has_no_body():
    """HEAD gets the same head, length included, and nothing behind it."""
    whole, length = error_answer(BadRequestError("No."), "id", method="GET", closes=True)
    bare, sent = error_answer(BadRequestError("No."), "id", method="HEAD", closes=True)
    assert whole.startswith(bare)
    assert len(whole) - len(bare) == length
    assert sent == 0
    assert b"\r\nConnection: close\r\n" in bare


@pytest.mark.parametrize(
    ("status", "text"), [(200, "OK"), (413, "Content Too Large"), (508, "Loop Detected"), (299, "")]
)
def test_a_status_has_its_registered_phrase(status: int, text: str):
    """RFC 9110's phrase where there is one."""
    assert phrase(status) == text


@pytest.mark.parametrize(
    "lines",
    [
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"foo")],
        [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"2")],
    ],
)
def test_a_framing_that_could_be_read_in_two_ways_is_refused(lines: list[tuple[bytes, bytes]]):
    """RFC 9112 6.1 and 6.3: chunked alone, or a length, never both and nothing else."""
    with pytest.raises(ValueError, match="chunked"):
        read(lines)


def test_a_tab_behind_chunked_is_refused():
    """Llhttp would read such a body to its end, while a client is told that it comes in chunks."""
    with pytest.raises(ValueError, match="chunked"):
        read([(b"Transfer-Encoding", b"chunked\t")])


def test_heads_with_the_same_names_have_their_own_values():
    """What is remembered of a sequence of names is no value, and no decision that a value made."""
    for value, options in ((b"close", {b"close"}), (b"X, Keep-Alive", {b"x", b"keep-alive"}), (b"", set())):
        answer = read([(b"Connection", value), (b"X", value), (b"Content-Length", b"1")])
        assert (answer.options, answer.has_length) == (options, True)
        assert [name for name, _ in answer.pairs()] == [b"X", b"Content-Length"][b"x" in options :]
    assert head([(b"X", b"1")])[1:] == [b"X: 1"]
    assert head([(b"X", b"2")])[1:] == [b"X: 2"]


def test_a_percent_sign_is_a_character_like_others():
    """Names and values may hold what a format would take for its own."""
    lines = [(b"X-%b", b"%s%%"), (b"X%", b"%(a)b"), (b"%0", b"1")]
    assert head(lines)[1:] == [b"X-%b: %s%%", b"X%: %(a)b", b"%0: 1"]


def test_any_number_of_sequences_may_come():
    """An upstream that names its headers anew each time is answered as well, and is not remembered for ever."""
    for number in range(1000):
        name = b"X-%d" % number
        assert head([(name, b"y"), (b"Keep-Alive", b"z")])[1:] == [name + b": y"]
    assert len(response._plans) <= response._MOST_PLANS
    long = [(b"X" * 5000, b"y")] * 60
    assert len(head(long)[1:]) == 60
    assert all(len(names) <= 40 for names in response._plans)


def test_values_are_found_by_name():
    """Hop-by-hop lines too, in order, without the blanks around."""
    answer = read([(b"Upgrade", b"websocket "), (b"X", b"y"), (b"upGrade", b"h2c")])
    assert answer.values(b"upgrade") == [b"websocket", b"h2c"]
    assert answer.pairs() == [(b"X", b"y")]


@pytest.mark.parametrize(
    "name", [b"Content-Length", b"transfer-encoding", b"Trailer", b"Host", b"SET-COOKIE", b"Authorization", b"TE"]
)
def test_a_trailer_frames_nothing(name: bytes):
    """RFC 9110 6.5.1: what frames, routes or authenticates has no place in trailers; the rest keeps its bytes."""
    assert trailer_lines([b"X-a", name, b"x-A"], [b"1", b"2", b"3"], frozenset()) == b"X-a: 1\r\nx-A: 3\r\n"


def test_the_last_chunk_carries_the_trailers():
    """RFC 9112 7.1: they stand between the last chunk and the empty line."""
    assert last_chunk(b"") == b"0\r\n\r\n"
    assert last_chunk(b"X: y\r\n") == b"0\r\nX: y\r\n\r\n"
