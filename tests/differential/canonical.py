"""
What the proxy may send upstream, read by the narrowest grammar of RFC 9112 that it has to keep to.

Whatever servers could disagree about is none of it: no blank too many, no bare CR or LF, no chunk extension, no
trailer, one framing. So bytes that `requests_in` reads are meant to be read like that by everybody; the other origins
of this folder are asked whether they do.
"""

import re
from typing import NamedTuple

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = rb"(%b): ((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)\r\n" % _TOKEN
_HEADER = re.compile(_LINE)
_HEAD = re.compile(rb"(%b) (/[\x21-\x7e]*|\*) HTTP/1\.1\r\n((?:%b)*)\r\n" % (_TOKEN, _LINE))
_CHUNK = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]*)\r\n")
_LENGTH = re.compile(rb"[0-9]+")
_LAST_CHUNK = b"0\r\n\r\n"


class NotCanonicalError(Exception):
    """Bytes that servers could read in more than one way."""


class Seen(NamedTuple):
    """What an origin takes a request to be."""

    method: bytes
    target: bytes
    hosts: tuple[bytes, ...]
    authorizations: tuple[bytes, ...]
    body: bytes

    @property
    def short(self) -> bytes:
        """The request in one line, as the corpus has it."""
        return b" ".join(filter(None, (self.method, self.target, self.body)))


class Request(NamedTuple):
    """A request and the bytes that it took."""

    seen: Seen
    lines: list[tuple[bytes, bytes]]
    size: int


def requests_in(data: bytes) -> tuple[list[Request], bytes]:
    """Return the whole requests that *data* begins with, and what is left: the start of one. `NotCanonicalError`."""
    found = []
    while data and (request := _first(data)) is not None:
        found.append(request)
        data = data[request.size :]
    return found, data


def _first(data: bytes) -> Request | None:
    """Return the first request of *data*, None if it is not whole."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    head = _HEAD.fullmatch(data, 0, end)
    if head is None:
        raise NotCanonicalError(data[:end])
    method, target, block = head[1], head[2], head[3]
    lines = _HEADER.findall(block)
    body = _body(lines, data, end)
    if body is None:
        return None
    seen = Seen(method, target, values(lines, b"host"), values(lines, b"authorization"), body[0])
    return Request(seen, lines, body[1])


def _body(lines: list[tuple[bytes, bytes]], data: bytes, at: int) -> tuple[bytes, int] | None:
    """Return the body that begins *at* and where it ends, None if it is not whole."""
    lengths, codings = values(lines, b"content-length"), values(lines, b"transfer-encoding")
    if len(lengths) + len(codings) > 1 or codings not in {(), (b"chunked",)}:
        raise NotCanonicalError(lines)
    if codings:
        return _chunks(data, at)
    if not lengths:
        return b"", at
    if not _LENGTH.fullmatch(lengths[0]):
        raise NotCanonicalError(lines)
    end = at + int(lengths[0])
    return None if end > len(data) else (data[at:end], end)


def _chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    body = b""
    while not data.startswith(_LAST_CHUNK, at):
        if _LAST_CHUNK.startswith(data[at:]) or b"\r\n" not in data[at:]:
            return None
        size = _CHUNK.match(data, at)
        if size is None:
            raise NotCanonicalError(data[at : at + 80])
        end = size.end() + int(size[1], 16)
        ending = data[end : end + 2]
        if len(ending) < 2:
            return None
        if ending != b"\r\n":
            raise NotCanonicalError(data[at : end + 2])
        body += data[size.end() : end]
        at = end + 2
    return body, at + len(_LAST_CHUNK)


def values(lines: list[tuple[bytes, bytes]], name: bytes) -> tuple[bytes, ...]:
    """Return the values of the header *name* (lower case), in order."""
    return tuple(value for other, value in lines if other.lower() == name)


def variables(lines: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the CGI variables (RFC 3875 4.1.18) that the lines become: such servers cannot tell `_` and `-` apart."""
    return [b"HTTP_" + name.upper().replace(b"-", b"_").strip(b"_") for name, _ in lines]
