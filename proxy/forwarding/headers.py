"""
Which header lines travel, and which are dropped, added or looked at. Pure; bytes in, bytes out.

The order is what matters (Go CVE-2021-33197, Traefik CVE-2024-45410): read Connection, drop hop-by-hop and what it
names, drop what we forbid, and only then inject. So no `Connection: Authorization` can remove what we put in.
Names keep their spelling, values their bytes, lines their order and number (RFC 9110 5.3).
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum

RawHeaders = Sequence[tuple[bytes, bytes]]


class Kind(IntEnum):
    """What a request header line means to us."""

    PLAIN = 0
    DROP = 1
    HOST = 2
    CONNECTION = 3
    INJECTED = 4
    CONTENT_LENGTH = 5
    TRANSFER_ENCODING = 6
    EXPECT = 7
    ORIGIN = 8
    FETCH_SITE = 9
    PREFLIGHT = 10
    VIA = 11
    UPGRADE = 12
    TE = 13
    WEBSOCKET_KEY = 14


HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
"""RFC 9110 7.6.1, RFC 2616 13.5.1, and HTTP2-Settings, which only means something beside `Upgrade: h2c`."""

_DROPPED = frozenset({b"forwarded", b"x-real-ip", b"proxy", b"proxy-authorization", b"dpop"})
_FORBIDDEN_PREFIX = b"x-forwarded-"

_LOOKED_AT = {
    b"host": Kind.HOST,
    b"connection": Kind.CONNECTION,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"expect": Kind.EXPECT,
    b"origin": Kind.ORIGIN,
    b"sec-fetch-site": Kind.FETCH_SITE,
    b"access-control-request-method": Kind.PREFLIGHT,
    b"via": Kind.VIA,
    b"upgrade": Kind.UPGRADE,
    b"te": Kind.TE,
    b"sec-websocket-key": Kind.WEBSOCKET_KEY,
}


def classify(name: bytes, injected: bytes) -> Kind:
    """
    Return what the header *name* means; *injected* is the lower-case name of the header that carries our token.

    Names that only differ from a dropped or injected one by `_` for `-`, or by such a character at an end, are that
    header too: servers that map headers to variables (CGI, WSGI) cannot tell them apart (GHSA-vjrc-mh2v-45x6).
    """
    lower = name.lower()
    kind = _LOOKED_AT.get(lower)
    if kind is not None:
        return kind
    alias = lower.replace(b"_", b"-").strip(b"-")
    if alias == injected:
        return Kind.INJECTED
    if alias in HOP_BY_HOP or alias in _DROPPED or alias in _LOOKED_AT or alias.startswith(_FORBIDDEN_PREFIX):
        return Kind.DROP
    return Kind.PLAIN


class Classifier:
    """`classify` with a memory: the same few spellings come with every request."""

    LARGEST = 1024
    LONGEST = 64
    """How many spellings are kept, and of how many bytes: a client cannot grow it without bound."""

    def __init__(self, injected: str) -> None:
        self._injected = injected.lower().replace("_", "-").strip("-").encode("ascii")
        self._known: dict[bytes, Kind] = {}

    def __call__(self, name: bytes) -> Kind:
        """Return what *name* means."""
        kind = self._known.get(name)
        if kind is None:
            kind = classify(name, self._injected)
            if len(name) <= self.LONGEST and len(self._known) < self.LARGEST:
                self._known[name] = kind
        return kind


class RequestHeaders:
    """What one pass over a request's header lines finds. `kept` are the lines to forward, in order."""

    __slots__ = (
        "authorization",
        "codings",
        "content_lengths",
        "expect",
        "fetch_site",
        "hosts",
        "kept",
        "options",
        "origin",
        "preflight",
        "transfer_codings",
        "upgrades",
        "vias",
        "websocket_keys",
    )

    def __init__(self, raw: RawHeaders, classifier: Classifier) -> None:
        """Read *raw*; what Connection names is gone from `kept` already, whatever the order of the lines."""
        self.kept: list[tuple[bytes, bytes]] = []
        self.hosts: list[bytes] = []
        self.codings: list[bytes] = []
        self.content_lengths: list[bytes] = []
        self.vias: list[bytes] = []
        self.expect: bytes | None = None
        self.origin = False
        self.preflight = False
        self.fetch_site: bytes | None = None
        self.authorization: list[tuple[bytes, bytes]] = []
        """The client's own lines of the header that we inject."""
        self.upgrades: list[bytes] = []
        self.websocket_keys = 0
        self.transfer_codings: list[bytes] = []
        """The values of TE: what the client takes, not what it sends."""
        named: set[bytes] | None = None
        kept = self.kept
        for line in raw:
            kind = classifier(line[0])
            if kind == Kind.PLAIN:
                kept.append(line)
            elif kind == Kind.HOST:
                self.hosts.append(line[1])
            elif kind == Kind.CONNECTION:
                named = connection_options(line[1], named)
            elif kind != Kind.DROP:
                self._note(kind, line)
        self.options = named
        """The options of the Connection lines, lower case; None without such a line."""
        if named:
            self.kept = [line for line in self.kept if line[0].lower() not in named]

    def _note(self, kind: Kind, line: tuple[bytes, bytes]) -> None:
        value = line[1]
        if kind == Kind.INJECTED:
            self.authorization.append(line)
        elif kind == Kind.CONTENT_LENGTH:
            self.content_lengths.append(value)
        elif kind == Kind.TRANSFER_ENCODING:
            self.codings.append(value)
        elif kind == Kind.EXPECT:
            self.expect = value if self.expect is None else self.expect + b", " + value
        elif kind == Kind.UPGRADE:
            self.upgrades.append(value)
        elif kind == Kind.TE:
            self.transfer_codings.append(value)
        else:
            # The rest is looked at and forwarded too.
            self.kept.append(line)
            self._look_at(kind, value)

    def _look_at(self, kind: Kind, value: bytes) -> None:
        if kind == Kind.ORIGIN:
            self.origin = True
        elif kind == Kind.FETCH_SITE:
            self.fetch_site = value if self.fetch_site is None else self.fetch_site + b", " + value
        elif kind == Kind.PREFLIGHT:
            self.preflight = True
        elif kind == Kind.VIA:
            self.vias.append(value)
        elif kind == Kind.WEBSOCKET_KEY:
            self.websocket_keys += 1


def connection_options(value: bytes, known: set[bytes] | None = None) -> set[bytes]:
    """Return the lower-case options of a Connection line, added to *known*: every such line counts."""
    options = known if known is not None else set()
    for part in value.split(b","):
        option = part.strip(b" \t").lower()
        if option:
            options.add(option)
    return options


def is_chunked_only(codings: Iterable[bytes]) -> bool:
    """Tell whether the Transfer-Encoding lines say exactly `chunked`, once (RFC 9112 6.1 lets us refuse the rest)."""
    return b",".join(codings).strip(b" \t").lower() == b"chunked"


def join_lines(lines: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header lines as they go over the wire, each with its CRLF."""
    return b"".join([b"%b: %b\r\n" % line for line in lines])
