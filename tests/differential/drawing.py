"""What both directions of the properties draw: header lines, bodies, pieces, and bytes that were tampered with."""

from hypothesis import strategies as st

Lines = list[tuple[bytes, bytes]]


def text(alphabet: list[int], least: int, most: int) -> st.SearchStrategy[bytes]:
    """Return a strategy for bytes of some *alphabet*."""
    letters = "".join(map(chr, alphabet))
    return st.text(letters, min_size=least, max_size=most).map(lambda found: found.encode("latin-1"))


VALUES = text([9, *range(32, 127), *range(128, 256)], 0, 6).map(lambda value: value.strip(b" \t"))
NAMES = st.sampled_from(
    [b"X-A", b"x-a", b"X-B", b"X_C", b"A!#$%&'*+-.^_`|~0", b"Cookie", b"Accept", b"Vary", b"Content-Lengths"]
)
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=3)
BLANKS = st.sampled_from([(b" ", b""), (b"", b""), (b"\t", b" "), (b"  ", b"  ")])
BODIES = st.binary(max_size=40)
CHUNKS = st.lists(st.binary(min_size=1, max_size=20), max_size=3)


def lines_to_bytes(lines: Lines, blanks: tuple[bytes, bytes]) -> bytes:
    """Return header lines as they go over the wire, with *blanks* around each value."""
    return b"".join(b"%b:%b%b%b\r\n" % (name, blanks[0], value, blanks[1]) for name, value in lines)


def pieces_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Draw the pieces in which *data* goes out."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if start < end]


def tampered(draw: st.DrawFn, data: bytes, strange: list[bytes]) -> bytes:
    """Draw *data* with up to three places where bytes were put in, taken out, doubled or replaced."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 20])))
        put = st.one_of(
            st.just(b""), st.sampled_from(strange), st.binary(min_size=1, max_size=2), st.just(data[start:end] * 2)
        )
        data = data[:start] + draw(put) + data[end:]
    return data
