"""
Where a request goes: from the target that the client sent to the one that the upstream gets. Pure, on bytes.

Scheme, host and port of the upstream come from the configuration alone; path and query pass byte for byte
(RFC 9110 7.7). Nothing here parses a URL with a library: each reads some byte differently from the next.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from proxy.errors import BadRequestError, HostNotAllowedError

_PLAIN = re.compile(rb"/[!\"$-~]*")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_ILLEGAL = re.compile(rb"[\x00-\x20\x7f-\xff#]")
_DOT_SEGMENT = re.compile(rb"(?:^|/)\.{1,2}(?:;[^/]*)?(?=/|$)")
_HIDDEN_SEPARATOR = re.compile(rb"\\|%(?:2f|5c|00)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MOST_DECODINGS = 3
"""What still changes after so many is meant for nobody; without a bound the time would grow with the square."""


def is_plain(raw: bytes) -> bool:
    """Tell whether *raw* is an origin-form target that `parse_target` returns as it stands: nearly every one is."""
    return _PLAIN.fullmatch(raw) is not None


class Target(NamedTuple):
    """A request target (RFC 9112 3.2) in what matters to us."""

    path: bytes
    """Path and query as sent, beginning with `/`; or `*`."""
    authority: bytes | None
    """The host and port that an absolute-form target names, else None."""


def parse_target(raw: bytes, method: str) -> Target:
    """
    Return the target that *raw* is. Raises `BadRequestError` for what no client should send.

    Origin-form must begin with `/`, so `//evil/p` is a path; absolute-form must be accepted by every server
    (RFC 9112 3.2.2); `*` belongs to OPTIONS.
    """
    if _ILLEGAL.search(raw):
        raise BadRequestError("The request target has a character that must be percent-encoded, or a fragment.")
    if raw.startswith(b"/"):
        return Target(raw, None)
    if raw == b"*" and method == "OPTIONS":
        return Target(raw, None)
    match = _ABSOLUTE.fullmatch(raw)
    if match is None:
        if b"://" in raw:
            raise HostNotAllowedError("The request target names another scheme; this proxy serves one upstream only.")
        raise BadRequestError("The request target must begin with a slash.")
    _, authority, rest = match.groups()
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    return Target(rest, authority)


def outbound_target(target: Target, base_path: bytes, *, names_upstream: bool) -> bytes:
    """
    Return the target to send upstream: *base_path* (`b""` or `b"/v1"`) and the client's bytes.

    *names_upstream*: the client named the upstream itself (it believes that we are an HTTP proxy), so its path is
    already the upstream's. With a base path, whatever might lead out of it is refused with `BadRequestError`;
    without one every path passes untouched.
    """
    path = target.path
    if not base_path:
        return path
    if path == b"*":
        raise BadRequestError("OPTIONS * speaks of the whole server, and upstream.url has a path: name one below it.")
    if names_upstream:
        if not is_within(path, base_path):
            raise BadRequestError("The target is outside the path of upstream.url.")
    else:
        path = base_path + path
    if is_ambiguous(path.partition(b"?")[0]):
        raise BadRequestError(
            "The path has dot segments, encoded separators or bad percent-encoding, which could lead out of the path "
            "of upstream.url."
        )
    return path


def is_within(path: bytes, base_path: bytes) -> bool:
    """Tell whether *path* is *base_path* or below it, by whole segments: `/v1` does not hold `/v10`."""
    return path.startswith(base_path) and path[len(base_path) : len(base_path) + 1] in (b"", b"/", b"?")


def is_ambiguous(path: bytes) -> bool:
    """
    Tell whether servers could disagree about where *path* (without its query) leads.

    Dot segments, raw or with a path parameter (`..;`); encoded slashes, backslashes and NUL; raw backslashes: as the
    path stands and however often it is decoded (`%252e`, `%25%32%65`). Percent signs that encode nothing.
    """
    if _BAD_ESCAPE.search(path):
        return True
    for _ in range(_MOST_DECODINGS + 1):
        if _HIDDEN_SEPARATOR.search(path) or _DOT_SEGMENT.search(path):
            return True
        decoded = unquote_to_bytes(path)
        if decoded == path:
            return False
        path = decoded
    return True
