"""Payloads about lines: their ends, folds, names and values, and each byte that may or may not stand there."""

from collections.abc import Iterator

from payloads import SMUGGLED, Payload, cut, message, named, passes, refused, smuggling

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
LINE = b"GET / HTTP/1.1"

BROKEN_LINES = [
    *(b": y", b":", b" : y", b"X", b"X y", b"X : y", b"X\t: y", b" X: y", b"\tX: y", b"X: y\r\n z", b"X: y\r\n\tz"),
    *(b"X: y\r\n ", b"X:\r\n y", b"X\r\n : y", b"X: a\nb", b"X: a\rb", b"X: a\n b", b"X: a\r\r\n b", b"X: a\n\nb"),
    *(b"X: y\r", b"X: y\r\r", b"\rX: y", b"\nX: y", b"X: \x00", b"X: y\x00", b"\x00", b"X\r: y", b"X\n: y"),
    *(b"X: y\n\r", b" ", b"\t", b"X: y\nAuthorization: Basic x", b"X: y\rAuthorization: Basic x", b"\r", b"\x0b"),
    *(b"\x00X: y", b"X(: y", b"X@y: z", b"X: y\r\nHost : evil", b"Host: evil", b"Host : evil", b" Host: evil"),
    *(b"Host\x00: evil", b"X: y\nHost: evil", b"GET /smuggled HTTP/1.1", b"GET http://evil/ HTTP/1.1"),
    *(b"HTTP/1.1 200 OK", b"X\xe9: y", "X\u212a: y".encode()),
]
LINE_ENDS = {
    "LF alone": b"\n",
    "CR alone": b"\r",
    "LF CR": b"\n\r",
    "CR CR LF": b"\r\r\n",
    "CR LF LF": b"\r\n\n",
    "CR NUL LF": b"\r\x00\n",
    "CR blank LF": b"\r \n",
    "VT": b"\x0b",
    "NEL": b"\x85",
    "LS": "\u2028".encode(),
}
GOOD_LINES = [
    *(b"X:y", b"X:  y", b"X:\ty\t", b"X:", b"X: ", b"x: Y", b"X: a  b", b"X: a\tb", b"X: :", b"X: a: b", b"X: \xe9"),
    *(b"X: caf\xc3\xa9", b"X: \x85", b"X: \xa0y\xa0", "X: \u2028 y".encode(), "X: \u560d\u560a y".encode()),
    *(b"X: y\xff", b"X: \\r\\nHost: evil", b"X: %0d%0aHost: evil", b"X: y, z", b"X: y\r\nX: z"),
    *(b"X: y\r\nx: y\r\nX: w", b"X: \xe5\x98\x8d", b"Cookie: a=b; c=d\r\nCookie: e=f", b"Accept: */*\r\nAccept: x/y"),
    *(b'X: "a\\"b"', b"X: " + b"y" * 8000, b"X" * 5000 + b": y", b"X: y\r\n" * 90 + b"X: z", b"Range: bytes=0-1,2-3"),
    *(b"X-Http-Method-Override: DELETE", b"X-Original-Url: /admin", b"X-Rewrite-Url: /admin"),
    *(b"X-Http-Method: CONNECT", b"Content-Encoding: gzip", b"Max-Forwards: 0", b"Via: 1.0 fred, 1.1 p.example"),
    *(b"Content-Type: text/plain;\xffx", b"User-Agent:", b"0: 1"),
]


def broken() -> Iterator[Payload]:
    """Lines that are none, at each place of a head."""
    for line in BROKEN_LINES:
        yield refused(named("last line", line), smuggling(line, first=LINE))
        data = b"\r\n".join([LINE, line, b"Host: localhost", b"X-A: b"]) + b"\r\n\r\n" + SMUGGLED
        yield refused(named("first line", line), data)
    for name, end in LINE_ENDS.items():
        yield refused(f"{name} behind the request line", LINE + end + b"Host: localhost\r\n\r\n" + SMUGGLED)
        if end != b"\r\n\n":
            yield refused(f"{name} between lines", LINE + b"\r\nHost: localhost" + end + b"X: y\r\n\r\n" + SMUGGLED)
        if end not in {b"\x85", LINE_ENDS["LS"]}:
            yield refused(f"{name} behind a value", message(b"X: y" + end + b"Z: w", first=LINE) + SMUGGLED)
        yield refused(f"{name} everywhere", (SMUGGLED + SMUGGLED).replace(b"\r\n", end))
    for name, end in (("LF", b"\r\n\n"), ("CR", b"\r\n\r\r"), ("LF LF", b"\n\n"), ("CR CR LF", b"\r\n\r\r\n")):
        yield refused(f"a head that ends with {name}", LINE + b"\r\nHost: localhost" + end + SMUGGLED)


def good() -> Iterator[Payload]:
    """Lines that are unusual only."""
    for line in GOOD_LINES:
        yield passes(
            named("line", line[:60]), message(line, first=LINE), b"GET /", odd=b"\xff" in line or len(line) > 4000
        )
    for count in (1, 2, 5):
        yield passes(f"{count} empty lines before", b"\r\n" * count + message(first=LINE), b"GET /")


def every_byte() -> Iterator[Payload]:
    """Each byte within a name and within a value."""
    for code in range(256):
        byte = bytes([code])
        name = message(b"X" + byte + b"Y: z", first=LINE)
        if byte in TOKEN + b":":
            yield passes(named("byte in a name", byte), name, b"GET /")
        else:
            yield refused(named("byte in a name", byte), name + SMUGGLED)
        value = message(b"X: a" + byte + b"b", first=LINE)
        if byte == b"\t" or (code >= 32 and code != 127):
            yield passes(named("byte in a value", byte), value, b"GET /")
        else:
            yield refused(named("byte in a value", byte), value + SMUGGLED)
        edge = message(b"X:" + byte + b"b" + byte, first=LINE)
        if byte == b"\t" or (code >= 32 and code != 127):
            yield passes(named("byte around a value", byte), edge, b"GET /")
        else:
            yield refused(named("byte around a value", byte), edge + SMUGGLED)


def large() -> Iterator[Payload]:
    """Heads beyond limits.head_size and beyond the number of lines."""
    yield refused("a large line", smuggling(b"X: " + b"y" * 70_000, first=LINE))
    yield refused("a large name", smuggling(b"X" * 70_000 + b": y", first=LINE))
    yield refused("many lines", smuggling(*[b"X: y"] * 200, first=LINE))
    yield refused("a large head", smuggling(*[b"X: " + b"y" * 7000] * 10, first=LINE))
    yield refused("a large target", message(first=b"GET /" + b"a" * 70_000 + b" HTTP/1.1") + SMUGGLED)
    yield refused("a large method", message(first=b"A" * 70_000 + b" / HTTP/1.1") + SMUGGLED)


def cuts() -> Iterator[Payload]:
    """A head that is cut is no request, wherever the cut is."""
    whole = message(b"X-A: b", first=LINE)
    for end in range(len(whole)):
        yield cut(f"a head cut at {end}", whole[:end])


def payloads() -> Iterator[Payload]:
    """All of them."""
    yield from broken()
    yield from good()
    yield from every_byte()
    yield from large()
    yield from cuts()
