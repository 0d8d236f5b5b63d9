"""
Makes an answer's addresses the client's: Location, Content-Location, Link and Set-Cookie (`upstream.rewrite`). Pure.

Only what points at the upstream, inside the base path, is touched: everything else passes byte for byte.
"""

import re
from typing import NamedTuple

from proxy.config import Url

_ABSOLUTE = re.compile(rb"(?:(https?):)?//([^/?#]*)([^#]*)(.*)", re.IGNORECASE | re.DOTALL)
_PORT = re.compile(rb":[0-9]{0,5}$")
_LINK_TARGET = re.compile(rb"<([^<>\"]*)>")
_PREFIXED_COOKIE = re.compile(rb"__(?:Host|Secure)-", re.IGNORECASE)

REWRITTEN = frozenset({b"location", b"content-location", b"link", b"set-cookie"})


class ClientAddress(NamedTuple):
    """Where the client believes the upstream to be."""

    authority: bytes
    """The host and port that it used, as it sent them."""
    base: bytes = b""
    """What stands for the upstream's base path in its paths: that path itself if it takes us for an HTTP proxy."""


class Rewriter:
    """
    Rewrites the headers of one upstream's answers.

    *plain_loopback*: clients speak http to loopback, where a `Secure` cookie would never come back.
    """

    def __init__(self, upstream: Url, *, plain_loopback: bool) -> None:
        self._host = upstream.host.encode("ascii")
        self._port = upstream.port
        self._scheme = upstream.scheme.encode("ascii")
        self._base = upstream.path.encode("utf-8")
        self._plain_loopback = plain_loopback

    def header(self, name: bytes, value: bytes, client: ClientAddress) -> bytes:
        """Return the *value* that *client* gets for the header *name* (lower case, one of `REWRITTEN`)."""
        if name == b"set-cookie":
            return self._cookie(value, client)
        if name == b"link":
            return _LINK_TARGET.sub(lambda match: b"<" + self._address(match[1], client) + b">", value)
        return self._address(value, client)

    def _address(self, value: bytes, client: ClientAddress) -> bytes:
        if value.startswith(b"/") and not value.startswith(b"//"):
            local = self._local(value, client)
            if local is None or local == value:
                return value
            # What begins with two slashes would name a host (RFC 3986 4.2).
            return b"http://" + client.authority + local if local[1:2] in {b"/", b"\\"} else local
        match = _ABSOLUTE.fullmatch(value)
        if match is None:
            return value
        scheme, authority, path, fragment = match.groups()
        if not self._is_upstream(scheme.lower() if scheme else self._scheme, authority):
            return value
        local = self._local(path, client)
        return value if local is None else b"http://" + client.authority + local + fragment

    def _is_upstream(self, scheme: bytes, authority: bytes) -> bool:
        host, _, port = authority.rpartition(b":") if _PORT.search(authority) else (authority, b"", b"")
        if host.lower().strip(b"[]") != self._host:
            return False
        if port:
            return int(port) == self._port
        default = 443 if scheme == b"https" else 80
        # A server behind a TLS terminator names itself with http: that is this upstream as well.
        return self._port == default or (scheme == b"http" and self._scheme == b"https" and self._port == 443)

    def _local(self, path: bytes, client: ClientAddress) -> bytes | None:
        """Return *path* as the client sees it, None if it lies outside the base path."""
        base = self._base
        if base and (not path.startswith(base) or path[len(base) : len(base) + 1] not in (b"", b"/", b"?", b"#")):
            return None
        local = client.base + path[len(base) :]
        return local if local.startswith(b"/") else b"/" + local

    def _cookie(self, value: bytes, client: ClientAddress) -> bytes:
        if _PREFIXED_COOKIE.match(value.lstrip(b" \t")):
            # A browser would refuse the cookie without the attributes that its name promises.
            return value
        first, *attributes = value.split(b";")
        kept = [first]
        for attribute in attributes:
            name, equals, content = attribute.partition(b"=")
            key = name.strip(b" \t").lower()
            if key == b"domain" or (key == b"secure" and self._plain_loopback):
                continue
            if key == b"path" and self._base:
                local = self._local(content.strip(b" \t"), client)
                kept.append(attribute if local is None else name + equals + local)
            else:
                kept.append(attribute)
        return b";".join(kept)
