"""Payloads about chunks: their sizes, extensions and ends, trailers, and bodies that are cut or come in two parts."""

from collections.abc import Iterator

from payloads import SMUGGLED, Payload, cut, message, named, passes, refused

HEAD = message(b"Transfer-Encoding: chunked")
REST = b"\r\nabc\r\n0\r\n\r\n"

GOOD_SIZES = [
    *(b"3", b"03", b"0003", b"0000000000000003", b"3;a", b"3;a=b", b"3;a=b;c=d", b'3;a="b"', b'3;a="b;c"', b"3;a;b;c"),
    *(b"3;" + b"x" * 1000, b'3;a="' + b"x" * 1000 + b'"'),
]
BAD_SIZES = [
    *(b"0x3", b"0X3", b"x3", b"+3", b"-3", b"--3", b"3_", b"0_3", b" 3", b"\t3", b"\x0b3", b"\x003", b"3\x00"),
    *(b"3\x0b", b"3\x0c", b"3\xa0", b"\xa03", b"3g", b"g", b"", b";a", b"3.", b"3,", b"3,3", b"3:", b'"3"', b"(3)"),
    *(b"3 3", b"3\r", b"3\n", b"3\n\r\n", b"3\r\r\n", b"\r\n3", b"\n3", b"\r3", "\uff13".encode(), "\u0663".encode()),
    *(b"\xb3", b"3h", b"10000000000000003", b"fffffffffffffffff", b"F" * 30, b"100000000000000000000003", b"3;a\nb"),
    *(b"3;\n", b"3;a\r", b'3;a="\n"', b'3;a="\r"', b'3;a="\r\n"', b'3;a="\\\r\n', b"3;a=\x00", b"3;a\x01", b"3;a\x7f"),
    *(b"3;a=\n3\r\nabc", b"3\\", b"3/", b"3%", b"%33", b"\\x33", b"3\x85", b"3\xff", b"0b3x", b"3-", b"3 ;\n", b"3;"),
    *(b"3 ", b"3\t", b"3 ;a", b"3 \t;a", b"3; a", b"3;a = b", b'3;a= "b"', b"3;a=b "),
]
HUGE_SIZES = [
    b"ffffffffffffffff",
    b"8000000000000003",
    b"7fffffffffffffff",
    b"100000003",
    b"FFFFFFFF",
    b"FFFFFFF0",
    b"1e0",
    b"fffffffffffffffe",
]
GOOD_ENDS = [b"0\r\n\r\n", b"00\r\n\r\n", b"0000000\r\n\r\n", b"0;a=b\r\n\r\n", b"0\r\nX: y\r\n\r\n"]
BAD_ENDS = [
    *(b"0\n\n", b"0\r\n\n", b"0\n\r\n", b"0\r\r\n\r\n", b"-0\r\n\r\n", b"+0\r\n\r\n", b"0x0\r\n\r\n", b"0x\r\n\r\n"),
    *(b" 0\r\n\r\n", b"\r\n0\r\n\r\n", b"\r\n", b"0\r\n\r\r\n", b"0\r\n \r\n\r\n", b"0\r\n\x00\r\n\r\n"),
]
BAD_DATA = [
    *(b"3\r\nabc\n", b"3\r\nabc\r", b"3\r\nabc", b"3\r\nabcd\r\n", b"3\r\nabcde", b"3\r\nabc\n\r", b"3\r\nabcXX"),
    *(b"3\r\nabc \r\n", b"3\r\nabc\r\r\n", b"3\r\nabc\x00\r\n", b"2\r\nabXX\r\n", b"2\r\nabXX2\r\nab\r\n"),
]
TRAILERS = [
    *(b"X: y", b"Authorization: Basic x", b"Host: evil", b"Connection: close", b"Expect: 100-continue"),
    *(b"X: y\r\nZ: w", b"Cookie: a=b", b"Trailer: X", b"authorization: x\r\nX-Forwarded-For: y", b"X:", b"X: \xff"),
    *(b"Upgrade: websocket", b"X: " + b"y" * 5000, b"Set-Cookie: x", b"Via: x", b"Sec-Fetch-Site: cross-site"),
]
BAD_TRAILERS = [
    *(b"Content-Length: 3", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"X", b": y", b"X : y", b" X: y"),
    *(b"X: y\r\n z", b"X: a\nb", b"X: a\rb", b"X: a\x00b", b"\x00: y", b"X\xff: y"),
    *(b"GET /smuggled HTTP/1.1\r\nHost: x", b"X: y\n", b"\tX: y", b"X\x0b: y", b"Content-Length : 3", b"X: a\x01b"),
]


def sizes() -> Iterator[Payload]:
    """What is a chunk, and what is none."""
    for size in GOOD_SIZES:
        yield passes(named("chunk size", size), HEAD + size + REST, b"POST / abc")
    for size in BAD_SIZES:
        yield refused(named("chunk size", size), HEAD + size + REST + SMUGGLED)
    for size in HUGE_SIZES:
        yield cut(named("chunk size", size), HEAD + size + REST + SMUGGLED)
    for end in GOOD_ENDS:
        yield passes(named("chunks' end", end), HEAD + b"A\r\n0123456789\r\n" + end, b"POST / 0123456789")
    for end in BAD_ENDS:
        yield refused(named("chunks' end", end), HEAD + b"3\r\nabc\r\n" + end + SMUGGLED)
    for data in BAD_DATA:
        yield refused(named("chunk", data), HEAD + data + b"0\r\n\r\n" + SMUGGLED)
    # Bytes for a line end that are none, and a line end in an extension: TERM.SPILL, TERM.EXT, EXT.TERM.
    yield refused("two bytes for a line end", HEAD + b"5\r\nabcdeXX2e\r\n0\r\n\r\n" + SMUGGLED + b"\r\n0\r\n\r\n")
    yield refused("a line end in an extension", HEAD + b"2;\nxx\r\n2e\r\n0\r\n\r\n" + SMUGGLED + b"\r\n0\r\n\r\n")
    yield refused("a size behind an extension's LF", HEAD + b"2;\n22\r\nab\r\n0\r\n\r\n" + SMUGGLED)
    yield passes("no chunk but the last", HEAD + b"0\r\n\r\n", b"POST /")
    yield passes("many chunks", HEAD + b"1\r\nx\r\n" * 300 + b"0\r\n\r\n", b"POST / " + b"x" * 300)
    yield passes(
        "a chunk that is a request", HEAD + b"2b\r\n" + SMUGGLED[:43] + b"\r\n0\r\n\r\n", b"POST / " + SMUGGLED[:43]
    )
    yield passes("a chunk that is chunks", HEAD + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"POST / 0\r\n\r\n")


def trailers() -> Iterator[Payload]:
    """A chunked body's trailers are read, and mean nothing."""
    for lines in TRAILERS:
        yield passes(named("trailers", lines[:60]), HEAD + b"3\r\nabc\r\n0\r\n" + lines + b"\r\n\r\n", b"POST / abc")
    for lines in BAD_TRAILERS:
        yield refused(named("trailers", lines), HEAD + b"3\r\nabc\r\n0\r\n" + lines + b"\r\n\r\n" + SMUGGLED)
    yield cut("trailers that do not end", HEAD + b"3\r\nabc\r\n0\r\nX: y\r\n" + SMUGGLED.replace(b"\r\n\r\n", b""))


def cuts() -> Iterator[Payload]:
    """A body that is cut never looks whole, wherever the cut is."""
    whole = HEAD + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n"
    for end in range(1, len(whole)):
        yield cut(f"chunks cut at {end}", whole[:end])
    fixed = message(b"Content-Length: 10", body=b"0123456789")
    for end in range(len(fixed) - 12, len(fixed)):
        yield cut(f"a length cut at {end}", fixed[:end])


def payloads() -> Iterator[Payload]:
    """All of them."""
    yield from sizes()
    yield from trailers()
    yield from cuts()
