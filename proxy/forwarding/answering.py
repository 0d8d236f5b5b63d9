"""The heads of what goes to the client: of an upstream's answer, and of our own. Pure, bytes out."""

import re
import time
from email.utils import formatdate
from typing import NamedTuple

from proxy.errors import ProxyError, phrase, problem

_UNPRINTABLE = re.compile(rb"[^\t\x20-\x7e]")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Framing(NamedTuple):
    """How the body of an answer is delimited towards the client (RFC 9112 6.3)."""

    has_body: bool
    is_chunked: bool
    """In chunks; else by Content-Length or, if there is none, by the connection's end."""
    closes: bool
    """Whether only the connection's end tells where it ends."""


NO_BODY = Framing(has_body=False, is_chunked=False, closes=False)
BY_LENGTH = Framing(has_body=True, is_chunked=False, closes=False)
IN_CHUNKS = Framing(has_body=True, is_chunked=True, closes=False)
BY_CLOSE = Framing(has_body=True, is_chunked=False, closes=True)


def framing(method: str, status: int, *, has_length: bool, http_1_0: bool) -> Framing:
    """Return how to delimit the answer: with the upstream's length if it has one, else chunked where that is known."""
    if method == "HEAD" or status in {204, 304}:
        return NO_BODY
    if has_length:
        return BY_LENGTH
    return BY_CLOSE if http_1_0 else IN_CHUNKS


def response_head(  # noqa: PLR0917 - see below
    status: int,
    reason: bytes,
    lines: bytes,
    has_date: bool,  # noqa: FBT001 - by place: names cost a tenth of the call, and this is called for each answer
    is_chunked: bool,  # noqa: FBT001 - as above
    connection: bytes | None,
) -> bytes:
    """
    Return the head of an upstream's answer as the client gets it; *lines* have their CRLFs.

    A Date is added where there is none (RFC 9110 6.6.1), and nothing else. *connection* is the value of our own
    Connection line, None for none.
    """
    return b"%b%b%b%b%b\r\n" % (
        _OK if status == 200 and reason == b"OK" else _status_line(status, reason),
        lines,
        b"" if has_date else b"Date: %b\r\n" % http_date(),
        b"Transfer-Encoding: chunked\r\n" if is_chunked else b"",
        b"" if connection is None else b"Connection: %b\r\n" % connection,
    )


def switching_head(lines: bytes) -> bytes:
    """Return the head of the answer that takes up a WebSocket; *lines* are the upstream's own, with their CRLFs."""
    return b"HTTP/1.1 101 Switching Protocols\r\n%bConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" % lines


_OK = b"HTTP/1.1 200 OK\r\n"


def _status_line(status: int, reason: bytes) -> bytes:
    """Keep a reason phrase that is plain text; another is replaced by the registered one."""
    if _UNPRINTABLE.search(reason):
        reason = phrase(status).encode("ascii")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def chunk(data: bytes) -> bytes:
    """Return *data* (not empty) as one chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def last_chunk(trailers: bytes) -> bytes:
    """Return the end of a body in chunks, with *trailers* that have their CRLFs."""
    return b"0\r\n%b\r\n" % trailers if trailers else LAST_CHUNK


def error_answer(error: ProxyError, request_id: str, *, method: str, closes: bool) -> tuple[bytes, int]:
    """Return the whole answer that *error* is, and the length of its body: an RFC 9457 problem."""
    headers, body = problem(error, request_id)
    lines = [f"HTTP/1.1 {error.status} {phrase(error.status)}", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Content-Length: {len(body)}")
    lines.append(f"Date: {http_date().decode('ascii')}")
    if closes:
        lines.append("Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    return (head, 0) if method == "HEAD" else (head + body, len(body))


_date_cache: tuple[int, bytes] = (0, b"")


def http_date() -> bytes:
    """Return the present moment as RFC 9110 5.6.7 writes it; formatted once a second."""
    global _date_cache  # noqa: PLW0603 - a cache of a pure function of the second
    now = int(time.time())
    if _date_cache[0] != now:
        _date_cache = (now, formatdate(now, usegmt=True).encode("ascii"))
    return _date_cache[1]
