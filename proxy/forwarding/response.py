"""
What the head of an upstream's answer says, and its lines as they go to the client. Pure.

A server's answers have the same few sequences of header names. What such a sequence means is worked out once, as a
`Plan`; an answer then costs one look-up, and its lines are one formatting.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.forwarding.headers import HOP_BY_HOP, connection_options, is_chunked_only
from proxy.forwarding.rewrite import REWRITTEN, ClientAddress, Rewriter

Names = tuple[bytes, ...]

_USUAL_OPTIONS = frozenset({b"close", b"keep-alive"})
_MOST_PLANS = 256
_LONGEST_SEQUENCE = 40
"""How many sequences are remembered, and of how many names of how many bytes: an upstream cannot grow it for ever."""
_LONGEST_NAME = 64


class Plan(NamedTuple):
    """What a sequence of header names means. Lines are named by their place in it."""

    is_plain: bool
    """Whether the values matter for nothing but the lines themselves, and one Connection line at most."""
    template: bytes
    """The lines that travel, each with its CRLF; filled in with *all* values, of which the others leave no byte."""
    travelling: tuple[int, ...]
    has_date: bool
    has_length: bool
    connections: tuple[int, ...]
    codings: tuple[int, ...]
    addresses: tuple[tuple[int, bytes], ...]
    """Lines that may hold an address of the upstream, with their name as `Rewriter.header` wants it."""


def _make_plan(names: Names) -> Plan:
    lower = [name.lower() for name in names]
    travelling = tuple(index for index, name in enumerate(lower) if name not in HOP_BY_HOP)
    kept = set(travelling)

    def places(wanted: bytes) -> tuple[int, ...]:
        return tuple(index for index, name in enumerate(lower) if name == wanted)

    connections, codings = places(b"connection"), places(b"transfer-encoding")
    return Plan(
        not codings and len(connections) <= 1,
        # `%.0b` takes a value and prints nothing of it. A name holds no percent sign that is not doubled.
        b"".join(
            name.replace(b"%", b"%%") + b": %b\r\n" if index in kept else b"%.0b" for index, name in enumerate(names)
        ),
        travelling,
        b"date" in lower,
        b"content-length" in lower,
        connections,
        codings,
        tuple((index, name) for index, name in enumerate(lower) if name in REWRITTEN),
    )


_plans: dict[Names, Plan] = {}


def _plan(names: Names) -> Plan:
    plan = _plans.get(names)
    if plan is None:
        plan = _make_plan(names)
        if (
            len(_plans) < _MOST_PLANS
            and len(names) <= _LONGEST_SEQUENCE
            and all(len(name) <= _LONGEST_NAME for name in names)
        ):
            _plans[names] = plan
    return plan


_NOT_IN_TRAILERS = HOP_BY_HOP | {
    *(b"content-length", b"content-type", b"content-encoding", b"content-range", b"host"),
    *(b"location", b"set-cookie", b"authorization", b"www-authenticate"),
}
_NO_OPTIONS: frozenset[bytes] = frozenset()
_COMMON_OPTIONS = {value: frozenset({value.lower()}) for value in (b"keep-alive", b"Keep-Alive", b"close", b"Close")}


class ResponseHead:
    """
    A head that came whole: the *names* and *values* of its lines, in order; interim responses are heads of their own.

    Raises ValueError for a framing not to be trusted (RFC 9112 6.1, 6.3).
    """

    __slots__ = ("_names", "_plan", "_values", "has_date", "has_length", "is_chunked", "options")

    def __init__(self, names: Names, values: tuple[bytes, ...], status: int) -> None:
        plan = _plans.get(names) or _plan(names)
        self._names, self._values, self._plan = names, values, plan
        self.is_chunked = False
        self.options = _NO_OPTIONS
        """The options of the Connection lines, lower case."""
        self.has_length = plan.has_length
        """Whether the upstream sent a Content-Length."""
        self.has_date = plan.has_date
        """Whether there is a Date among the lines that travel."""
        if plan.is_plain and status != 204:
            if not plan.connections:
                return
            options = _COMMON_OPTIONS.get(values[plan.connections[0]])
            if options is not None:
                self.options = options
                return
        self._read(status)

    def _read(self, status: int) -> None:
        """Look at the values too: this is the way of the few heads that need it."""
        plan, names, values = self._plan, self._names, self._values
        if plan.codings:
            self.is_chunked = True
            codings = [values[index] for index in plan.codings]
            # llhttp takes a tab behind `chunked` for a part of the name, and reads no chunks then.
            if plan.has_length or not is_chunked_only(codings) or b"\t" in codings[-1]:
                raise ValueError("the Transfer-Encoding is not chunked alone")
        dropped = _NO_OPTIONS
        if plan.connections:
            options: set[bytes] | None = None
            for index in plan.connections:
                options = connection_options(values[index], options)
            self.options = frozenset(options or ())
            if not self.options <= _USUAL_OPTIONS:
                # What is for this hop travels no further anyway, and is looked at here.
                dropped = self.options - HOP_BY_HOP - {b"content-length"}
        if status in {101, 204} and plan.has_length:
            # RFC 9110 8.6: they must not have one, and a client that believed it would wait for a body.
            dropped |= {b"content-length"}
        if dropped:
            pairs = [pair for pair in zip(names, values, strict=True) if pair[0].lower() not in dropped]
            self._names, self._values = tuple([name for name, _ in pairs]), tuple([value for _, value in pairs])
            self._plan = _plan(self._names)
            self.has_date = self._plan.has_date

    def lines(self, rewriter: Rewriter | None, client: Callable[[], ClientAddress]) -> bytes:
        """
        Return the lines that travel, each with its CRLF, as they go to a client.

        *rewriter* is for those that hold an address of the upstream, None to leave them; *client* is asked only then.
        """
        values = self._values
        if self._plan.addresses and rewriter is not None:
            changed, address = list(values), client()
            for index, name in self._plan.addresses:
                changed[index] = rewriter.header(name, values[index].strip(b" \t"), address)
            values = tuple(changed)
        return self._plan.template % values

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all lines with this *name* (lower case), of hop-by-hop ones too."""
        pairs = zip(self._names, self._values, strict=True)
        return [value.strip(b" \t") for spelling, value in pairs if spelling.lower() == name]

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Return the lines that travel as pairs of name and value, as they came."""
        return [(self._names[index], self._values[index].strip(b" \t")) for index in self._plan.travelling]


def trailer_lines(names: Sequence[bytes], values: Sequence[bytes], options: frozenset[bytes]) -> bytes:
    """
    Return the trailers that travel, each with its CRLF: none that frames, routes or authenticates (RFC 9110 6.5.1).

    *options* are those of the head's Connection lines: what they name is for one hop, too.
    """
    return b"".join(
        [
            b"%b: %b\r\n" % (name, value)
            for name, value in zip(names, values, strict=True)
            if name.lower() not in _NOT_IN_TRAILERS and name.lower() not in options
        ]
    )
