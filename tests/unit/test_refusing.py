"""What the parser's errors are to a client: the table of `proxy.forwarding.refusing`, against the parser itself."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser

from proxy.forwarding.refusing import refusal

HEAD_SIZE = 1024


async def refused(data: bytes) -> tuple[int, str]:
    """Return status and detail of what the parser raises for *data*."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(
        BaseProtocol(loop), loop, 2**16, max_line_size=HEAD_SIZE, max_field_size=HEAD_SIZE + 1, auto_decompress=False
    )
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it raises is what is asked about
        parser.feed_data(data)
    error = refusal(raised.value, HEAD_SIZE)
    return error.status, error.detail


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "%20"),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "percent-encoded"),
        (b"GET evil HTTP/1.1\r\nHost: a\r\n\r\n", 400, "percent-encoded"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host header"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "stands there twice"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "CR and LF"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "header line is malformed"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "header line is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400, "header line is malformed"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "framing"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400, "framing"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo\r\n\r\n", 400, "framing"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "framing"),
        (b"\x16\x03\x01\x02\x00\x01\r\n", 400, "http://"),
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "capital letters"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2"),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "HTTP/1.1"),
        (b"GET /" + b"a" * HEAD_SIZE + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "request line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (HEAD_SIZE + 9) + b"\r\n\r\n", 431, "header line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431, "too many"),
    ],
)
async def test_a_refusal_says_what_is_wrong(data: bytes, status: int, words: str):
    """Each thing that clients get wrong has its status and a hint, in our own words."""
    found = await refused(data)
    assert found[0] == status
    assert words in found[1]


async def test_an_error_that_is_not_known_is_a_bad_request():
    """Whatever a later parser raises is refused, and nothing of its text is shown."""
    error = refusal(RuntimeError("GET /secret"), HEAD_SIZE)
    assert (error.status, error.detail) == (400, "The request is not valid HTTP/1.1.")
