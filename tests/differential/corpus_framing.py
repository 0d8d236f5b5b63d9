"""Payloads about where a body ends: Content-Length, Transfer-Encoding, and both."""

from collections.abc import Iterator

from payloads import SMUGGLED, Payload, cut, message, named, passes, refused, smuggling

GOOD_LENGTHS = [b"3", b"03", b"0003", b"0" * 30 + b"3", b"3 ", b"3\t", b" 3", b"\t 3 \t", b" " * 40 + b"3"]
BAD_LENGTHS = [
    *(b"", b" ", b"+3", b"-3", b"-0", b"--3", b"3.", b"3.0", b"3e0", b"0x3", b"0b11", b"0o3", b"3h", b"1_0", b"x3"),
    *(b'"3"', b"'3'", b"3;", b"3; x", b"3 3", b"3\t3", b"3,3", b"3, 3", b"3,", b",3", b"3, 4", b"3,x", b"3/3", b"=3"),
    *(b"3\x00", b"\x003", b"3\x0b", b"\x0b3", b"3\x0c", b"3\x7f", b"3\xa0", b"\xa03", b"3\x85", b"3\xff", b"3\r"),
    *(b"3\n", b"\r3", b"\n3", b"3\r 3", b"3\r\n 3", b"\r\n 3", b"\r\n\t3", b"0\r\n3", "\u0663".encode()),
    *("\uff13".encode(), b"\xb3", b"18446744073709551616", b"18446744073709551619", b"9" * 40, b"abc", b"chunked"),
    *(b"3\r\nContent-Length: 4", b"4\r\nContent-Length: 3", b"3\r\nContent-Length: 3", b"3\r\ncontent-length:3"),
    *(b"3\r\nContent-Length: 3\r\nContent-Length: 3", b"0\r\nContent-Length: 3", b"3\r\nX: y\r\nCONTENT-LENGTH: 0"),
    *(b"3\r\nContent-Length:", b"\r\nContent-Length: 3", b"3\r\nContent-Length: 3, 3"),
]
HUGE_LENGTHS = [
    *(b"4294967296", b"4294967299", b"9223372036854775807", b"9223372036854775808", b"9223372036854775811"),
    *(b"18446744073709551613", b"18446744073709551614", b"18446744073709551615"),
]
"""They are lengths, so what follows is body: nobody may take them modulo something, or for no length at all."""
LENGTH_NAMES = {
    # A name that only looks like it is another header, and what follows is a request of its own.
    b"Content-Length-": b"POST /",
    b"X-Content-Length": b"POST /",
    b"Content-Lengt": b"POST /",
    b"ContentLength": b"POST /",
    b"Content_Length": b"POST /",
    b"content_length": b"POST /",
    b"-Content-Length": b"POST /",
    b"Content.Length": b"POST /",
    b"Content--Length": b"POST /",
}

CODINGS = [
    *(b"", b" ", b"xchunked", b"chunkedx", b"x chunked", b"chunked x", b"chunked chunked", b'"chunked"', b"'chunked'"),
    *(b"chunked;", b"chunked; q=1", b"chunked;q=0", b";chunked", b"chunked, identity", b"identity, chunked"),
    *(b"identity", b"gzip, chunked", b"chunked, gzip", b"gzip", b"deflate, chunked", b"compress", b"br"),
    *(b"x-gzip, chunked", b"cow", b"chunked,", b",chunked", b", chunked", b"chunked ,", b"chunked,,"),
    *(b"chunked,chunked", b"chunked, chunked", b"chunked\t", b"\tchunked\t", b"chunked\x00", b"\x00chunked"),
    *(b"chun\x00ked", b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"chunked\x0c", b"\xa0chunked", b"chunked\xa0"),
    *(b"\x85chunked", b"\xffchunked", b"chunked\xff", b"chunked\x7f", b"\x1fchunked", b"chunked\r", b"\rchunked"),
    *(b"chunked\n", b"\nchunked", b"chunked\r ", b"\r\n chunked", b"\r\n\tchunked", b"chunked\r\n x"),
    *(b"chunked\r\n ,x", b"identity\r\n chunked", b"x\r\n chunked", b"chunked\r\n\t", b"trailers"),
    *("chun\u212aed".encode(), b"(chunked)", b"chunked (x)", b"chunked=1", b"chunked:", b":chunked", b"chunked\\"),
    *(b"chunked\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: identity", b"0", b"chunk", b"chunke"),
    *(b"identity\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding:", b"\r\nTransfer-Encoding: chunked"),
    *(b"x\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: x", b"chunked\r\nTransfer-encoding: cow"),
    *(b"gzip\r\nTransfer-Encoding: chunked", b"chunked\r\nX: y\r\nTransfer-Encoding: gzip", b"c\thunked", b"c hunked"),
]
GOOD_CODINGS = [b"chunked", b"Chunked", b"CHUNKED", b"chunKed", b" chunked", b"chunked ", b"  chunked  ", b"\tchunked"]

BROKEN_NAMES = [
    *(b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"\tTransfer-Encoding"),
    *(b"Transfer Encoding", b"Transfer-Encoding\x00", b"\x00Transfer-Encoding", b"Transfer\x00-Encoding"),
    *(b"Transfer-Encoding\x0b", b"Transfer-Encoding\x0c", b"\x0bTransfer-Encoding", b"Transfer-Encoding\xa0"),
    *(b"\xa0Transfer-Encoding", b"Transfer\xadEncoding", b"Transfer-Encoding\x85", b"Transfer-\r\nEncoding"),
    *(b"Transfer-\r\n Encoding", b"\rTransfer-Encoding", b"Transfer-Encoding\r", b"X: y\rTransfer-Encoding"),
    *(b"X: y\nTransfer-Encoding", b"X: y\r\n\rTransfer-Encoding", b"X: y\r\r\nTransfer-Encoding"),
    *(b"X: y\n\rTransfer-Encoding", b"\nTransfer-Encoding", b"(Transfer-Encoding)", b'"Transfer-Encoding"'),
    *(b"[Transfer-Encoding]", b"Transfer-Encoding;", b"Transfer-Encoding,", b"Transfer/Encoding"),
    *(b"Transfer@Encoding", b"Transfer=Encoding", b"{Transfer-Encoding}", b"Transfer\\Encoding"),
    *("Transfer\u2010Encoding".encode(), "\uff34ransfer-Encoding".encode(), b"\xefTransfer-Encoding"),
    *(b"Transfer-Encoding\x7f",),
]
OTHER_NAMES = [
    *(b"X-Transfer-Encoding", b"Transfer-Encodin", b"Transfer-Encodings", b"TransferEncoding", b"Transfer.Encoding"),
    *(b"Transfer%2dEncoding", b"Transfer_Encoding", b"transfer_encoding", b"Transfer-Encoding_"),
    *(b"_Transfer-Encoding", b"Content-Encoding", b"Accept-Encoding", b"TE", b"Transfer-Coding"),
    *(b"Transfer--Encoding", b"Transfer-Encoding-", b"X-Http-Transfer-Encoding", b"HTTP_TRANSFER_ENCODING"),
    *(b"Transfer+Encoding", b"Transfer~Encoding", b"Transfer|Encoding"),
]
"""They are other headers, so the body is as long as its Content-Length says."""
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def lengths() -> Iterator[Payload]:
    """Content-Length alone: what is a number, and what is none."""
    for value in GOOD_LENGTHS:
        yield passes(
            named("length", value), message(b"Content-Length:" + value, body=b"abc"), b"POST / abc", odd=len(value) > 20
        )
    for value in BAD_LENGTHS:
        yield refused(named("length", value), smuggling(b"Content-Length: " + value, body=b"abc"))
    for value in HUGE_LENGTHS:
        yield cut(named("length", value), smuggling(b"Content-Length: " + value, body=b"abc"))
    for name, seen in LENGTH_NAMES.items():
        yield passes(named("length as", name), message(name + b": 3"), seen)
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"PATCH", b"PROPFIND", b"REPORT", b"SEARCH"):
        first, one = method + b" /m HTTP/1.1", method + b" /m abc"
        yield passes(named("length for", method), message(b"Content-Length: 3", body=b"abc", first=first), one)
        data = message(b"Transfer-Encoding: chunked", body=CHUNKS, first=first)
        yield passes(named("chunks for", method), data, one)
    yield passes("no length", message(), b"POST /")
    yield passes("length 0", message(b"Content-Length: 0"), b"POST /")
    yield passes("length 00", message(b"Content-Length: 00"), b"POST /")
    yield passes(
        "a body that is a request", message(b"Content-Length: 43", body=SMUGGLED[:43]), b"POST / " + SMUGGLED[:43]
    )
    yield cut("a body that is too short", message(b"Content-Length: 4", body=b"abc"))
    yield cut("a body that does not come", message(b"Content-Length: 4"))


def codings() -> Iterator[Payload]:
    """Transfer-Encoding alone (TE.TE), before and behind Content-Length (TE.CL, CL.TE), and in HTTP/1.0."""
    length = b"Content-Length: 13"
    for value in CODINGS:
        line = b"Transfer-Encoding:" + value
        yield refused(named("coding", value), smuggling(line, body=CHUNKS))
        yield refused(named("length and coding", value), smuggling(length, line, body=CHUNKS))
    for value in GOOD_CODINGS:
        line = b"Transfer-Encoding:" + value
        yield passes(named("coding", value), message(line, body=CHUNKS), b"POST / abc")
        yield refused(named("length and coding", value), smuggling(length, line, body=CHUNKS))
        yield refused(named("coding and length", value), smuggling(line, length, body=CHUNKS))
        yield refused(named("1.0 and coding", value), smuggling(line, body=CHUNKS, first=b"POST / HTTP/1.0"))
    for name in (b"transfer-encoding", b"TRANSFER-ENCODING", b"tRANSFER-eNCODING"):
        yield passes(named("coding as", name), message(name + b": chunked", body=CHUNKS), b"POST / abc")
        yield refused(named("length and coding as", name), smuggling(name + b": chunked", length, body=CHUNKS))
    for name in BROKEN_NAMES:
        yield refused(named("coding as", name), smuggling(name + b": chunked", body=CHUNKS))
        yield refused(named("length and coding as", name), smuggling(length, name + b": chunked", body=CHUNKS))
    for name in OTHER_NAMES:
        data = message(length, name + b": chunked", body=CHUNKS)
        yield passes(named("length and", name), data, b"POST / " + CHUNKS)
    for lines in (
        (b"Transfer-Encoding",),
        (b"Transfer-Encoding=chunked",),
        (b"Transfer-Encoding:: chunked",),
        (b": Transfer-Encoding: chunked",),
        (b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        (b"Transfer-Encoding: chunked", b"Content-Length: x"),
        (b"Transfer-Encoding: chunked", b"Content-Length:"),
        (b"Content-Length: 0", b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        (b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", b"Content-Length: 13"),
        (b"Connection: Content-Length", b"Transfer-Encoding: chunked", b"Content-Length: 13"),
    ):
        yield refused(named("lines", b" / ".join(lines)), smuggling(*lines, body=CHUNKS))


def payloads() -> Iterator[Payload]:
    """All of them."""
    yield from lengths()
    yield from codings()
