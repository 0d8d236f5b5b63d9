"""
Who may ask the admin listener for what: pure decisions on the peer, the method, the target and the header lines.

Routing looks at the raw target only. A path is never decoded or normalised, so there is one spelling a route.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from proxy.errors import DeniedError, MethodNotAllowedError, ProxyError

HeaderPairs = Sequence[tuple[bytes, bytes]]
"""Header lines as they came: names and values as bytes, in order, duplicates kept."""

GuardCheck = Callable[[HeaderPairs], ProxyError | None]
"""The Host and browser checks of the guard: the error to answer, or None for a request that may pass."""

ROUTES: dict[str, tuple[str, ...]] = {
    "/": ("GET", "HEAD"),
    "/livez": ("GET", "HEAD"),
    "/readyz": ("GET", "HEAD"),
    "/metrics": ("GET", "HEAD"),
    "/status": ("GET", "HEAD"),
    # What changes something is POST: a link, an image or a prefetch must not do it.
    "/refresh": ("POST",),
    "/quitquitquit": ("POST",),
}
"""Every path of the listener, with the methods that it takes."""

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""What other machines may GET with `admin.allow_remote`: what kubelet and Prometheus need, and nothing else."""

_ABSOLUTE = re.compile(r"http://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class NotFoundError(ProxyError):
    """The admin listener has no such path."""

    status = 404
    code = "not_found"
    proxy_status = "http_request_error"


class PathNotAllowedError(DeniedError):
    """The peer is another machine, and what it asks for is for this machine only."""

    status = 403
    code = "path_not_allowed"


def is_loopback(peer: object) -> bool:
    """
    Tell whether *peer*, a socket's peer name, is this machine: 127.0.0.0/8, ::1, or the first IPv4-mapped.

    Anything that is no IP address is not.
    """
    if not isinstance(peer, tuple) or not peer:
        return False
    try:
        address = ip_address(peer[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def split_target(target: str) -> tuple[str | None, str]:
    """
    Return the authority (None unless *target* is in absolute-form, RFC 9112 3.2.2) and the path without its query.

    A target of another form comes back as a path that no route has.
    """
    authority = None
    if match := _ABSOLUTE.fullmatch(target):
        authority, target = match.groups()
    path = re.split("[?#]", target, maxsplit=1)[0]
    return authority, path or "/"


def admission(
    method: str, target: str, headers: HeaderPairs, *, local: bool, allow_remote: bool, guard: GuardCheck
) -> ProxyError | None:
    """
    Return the error to answer to a request that may not come in, None for one that may.

    For this machine's peers (*local*) *guard* decides, and about an absolute-form target's authority too: it must
    pass as a Host would. For others the address decides alone: kubelet and Prometheus send the pod's address as Host.
    """
    authority, path = split_target(target)
    if not local:
        if allow_remote and method == "GET" and path in PROBES:
            return None
        return PathNotAllowedError(
            "Other machines may only GET /livez, /readyz and /metrics here, and only with admin.allow_remote: true."
        )
    if method in ("CONNECT", "TRACE"):
        return _method_not_allowed(ROUTES.get(path, ("GET", "HEAD", "POST")))
    denied = guard(headers)
    if denied is None and authority is not None:
        others = [pair for pair in headers if pair[0].lower() != b"host"]
        denied = guard([(b"Host", authority.encode("utf-8", "surrogateescape")), *others])
    return denied


def routing(method: str, path: str) -> ProxyError | None:
    """Return the error to answer when no route takes *method* on *path*: 404, or 405 with `Allow`."""
    methods = ROUTES.get(path)
    if methods is None:
        return NotFoundError("The admin listener has no such path; its page at / names them all.")
    if method not in methods:
        return _method_not_allowed(methods)
    return None


def _method_not_allowed(methods: tuple[str, ...]) -> MethodNotAllowedError:
    allow = ", ".join(methods)
    return MethodNotAllowedError(f"This path takes {allow}.", headers=(("Allow", allow),))
