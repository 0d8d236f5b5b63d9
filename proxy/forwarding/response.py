"""What the head of an upstream's answer says, and its lines as they go to the client. Pure."""

from proxy.forwarding.headers import HOP_BY_HOP, connection_options, is_chunked_only
from proxy.forwarding.rewrite import REWRITTEN

# What a line means to us: 0 for nothing, a flag for lines that travel and are noted, below 0 for the others.
_PLAIN = 0
_DATE = 1
_LENGTH = 2
_DROP = -1
_CONNECTION = -2
_CODING = -3
_ADDRESS = -4

_SPECIAL = {
    b"connection": _CONNECTION,
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"date": _DATE,
    **dict.fromkeys(REWRITTEN, _ADDRESS),
}
_USUAL_OPTIONS = frozenset({b"close", b"keep-alive"})
_known: dict[bytes, int] = {}
_MOST_KNOWN = 1024
_LONGEST_KNOWN = 64


def _classify(name: bytes) -> int:
    """Return what the header *name* means. Names are remembered by their spelling: one server has few of them."""
    lower = name.lower()
    part = _SPECIAL.get(lower, _DROP if lower in HOP_BY_HOP else _PLAIN)
    if len(_known) < _MOST_KNOWN and len(name) <= _LONGEST_KNOWN:
        _known[name] = part
    return part


class ResponseHead:
    """
    A head, line by line: `reset`, `add` each, then `close`. What comes after `close` are trailers, which don't count.

    `lines` has each line that travels, with its CRLF. One that holds an address has its place in `addresses` (its
    index in `lines`, name, value), for the client's own address is not known here.
    """

    __slots__ = ("_codings", "_flags", "_is_open", "addresses", "is_chunked", "lines", "options")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the head before this one."""
        self._is_open = True
        self._flags = 0
        self._codings: list[bytes] | None = None
        self.lines: list[bytes] = []
        self.addresses: list[tuple[int, bytes, bytes]] = []
        self.is_chunked = False
        self.options: set[bytes] | None = None
        """The options of the Connection lines, lower case; None without such a line."""

    @property
    def has_date(self) -> bool:
        """Whether there is a Date."""
        return self._flags & _DATE != 0

    @property
    def has_length(self) -> bool:
        """Whether there is a Content-Length."""
        return self._flags & _LENGTH != 0

    def add(self, name: bytes, value: bytes) -> None:
        """Read a line; blanks around *value* do not matter."""
        if not self._is_open:
            return
        part = _known.get(name)
        if part is None:
            part = _classify(name)
        if part < 0:
            self._note(part, name, value)
        else:
            self._flags |= part
            self.lines.append(b"%b: %b\r\n" % (name, value))

    def _note(self, part: int, name: bytes, value: bytes) -> None:
        """Read a line that does not travel as it is."""
        if part == _CONNECTION:
            self.options = connection_options(value, self.options)
        elif part == _CODING:
            self._codings = [value] if self._codings is None else [*self._codings, value]
        elif part == _ADDRESS:
            self.addresses.append((len(self.lines), name, value.strip(b" \t")))
            self.lines.append(b"%b: %b\r\n" % (name, value))

    def close(self, status: int) -> None:
        """Note that there are no more lines. Raises ValueError for a framing not to be trusted (RFC 9112 6.1, 6.3)."""
        if self._codings is not None:
            self.is_chunked = True
            if self.has_length or not is_chunked_only(self._codings):
                raise ValueError("the Transfer-Encoding is not chunked alone")
        if self.options is not None and not self.options <= _USUAL_OPTIONS:
            self._drop(self.options - {b"content-length"})
        if status == 204 and self.has_length:
            # RFC 9110 8.6: it must not have one, and a client that believed it would wait for a body.
            self._drop({b"content-length"})
        self._is_open = False

    def _drop(self, names: set[bytes]) -> None:
        """Leave out the lines with these names, which is rare: read the others again."""
        kept = [(name, value) for name, value in self.headers() if name.lower() not in names]
        self.lines, self.addresses = [], []
        self._flags &= _LENGTH
        for name, value in kept:
            self.add(name, value)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the lines that travel as pairs of name and value."""
        pairs = [line.split(b":", 1) for line in self.lines]
        return [(name, value.strip(b" \t\r\n")) for name, value in pairs]
