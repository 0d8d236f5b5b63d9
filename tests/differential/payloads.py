"""A payload of the corpus: bytes that a client sends, and what must become of them."""

from collections.abc import Iterable
from typing import NamedTuple

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""Stands behind what must be refused: whoever reads it as a request was deceived."""


class Payload(NamedTuple):
    """What a client sends, and what must come of it."""

    name: str
    data: bytes
    seen: tuple[bytes, ...]
    """The requests that reach the upstream whole, each as `method target body`."""
    refused: bool = False
    """Whether the proxy's own answer, and the connection's end, come behind theirs."""
    cut: bool = False
    """Whether the client leaves in the middle of a request, and so nothing more may come of it."""
    odd: bool = False
    """Whether an origin may refuse it, although it is HTTP."""
    ends: bool = False
    """Whether the connection must end behind the answers, because what follows them is lost."""
    together: bool = False
    """Whether that holds only for bytes that come in one segment: docs/http.md tells what is lost of them."""


def passes(name: str, data: bytes, *seen: bytes, odd: bool = False) -> Payload:
    """Return a payload that is forwarded: each of *seen* is a request, and no other is."""
    return Payload(name, data, seen, odd=odd)


def refused(name: str, data: bytes) -> Payload:
    """Return a payload of which nothing is forwarded."""
    return Payload(name, data, (), refused=True)


def cut(name: str, data: bytes, *seen: bytes) -> Payload:
    """Return a payload that breaks off, and in which *seen* came before."""
    return Payload(name, data, seen, cut=True)


def message(*lines: bytes, body: bytes = b"", first: bytes = b"POST / HTTP/1.1", host: bytes = b"localhost") -> bytes:
    """Return a request made of *lines*, as they are."""
    return b"\r\n".join([first, b"Host: " + host, *lines]) + b"\r\n\r\n" + body


def smuggling(*lines: bytes, body: bytes = b"", first: bytes = b"POST / HTTP/1.1") -> bytes:
    """Return a request that must not be forwarded, with another one behind it."""
    return message(*lines, body=body, first=first) + SMUGGLED


def named(family: str, what: bytes | str) -> str:
    """Return the name of a payload, in plain characters."""
    text = what if isinstance(what, str) else what.decode("latin-1")
    return f"{family} {text!a}"


def by_name(payloads: Iterable[Payload]) -> dict[str, Payload]:
    """Return *payloads* by their names, which are different."""
    found: dict[str, Payload] = {}
    for payload in payloads:
        assert payload.name not in found, payload.name
        found[payload.name] = payload
    return found
