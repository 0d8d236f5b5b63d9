"""Binds the listeners' sockets: `localhost` is both loopback families, one number, never asked of DNS."""

import errno
import os
import socket

import structlog

from proxy.errors import StartError

BACKLOG = 1024
_TRIES = 20
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}

_log = structlog.get_logger("listen")


def bind(host: str, port: int, section: str) -> list[socket.socket]:
    """
    Return listening sockets for *host* and *port*, all with the same number; 0 picks a free one.

    *section* (`listen`, `admin`) names the keys in messages. Raises `StartError`. A port that is taken in one family
    is an error even if the other is free: a stranger on `[::1]` would get what callers of `localhost` send us.
    """
    addresses = _addresses(host, section)
    for attempt in range(_TRIES):
        try:
            return _bind_all(addresses, port)
        except OSError as error:
            # A number that is free in one family may be taken in the other: another number then.
            if error.errno == errno.EADDRINUSE and port == 0 and attempt + 1 < _TRIES:
                continue
            raise StartError(_reason(error, host, port, section)) from None
    raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises


def port_of(sockets: list[socket.socket]) -> int:
    """Return the number that `bind` chose."""
    return int(sockets[0].getsockname()[1])


def _addresses(host: str, section: str) -> list[tuple[socket.AddressFamily, str]]:
    if host == "localhost":
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise StartError(f"{section}.host: {host} cannot be resolved to an address of this machine") from None
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _bind_all(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            try:
                sockets.append(_bind_one(family, address, port))
            except OSError as error:
                if sockets and family == socket.AF_INET6 and error.errno in _NO_IPV6:
                    _log.warning("no_ipv6", address=address)
                    continue
                raise
            port = port_of(sockets)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind_one(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # A restart must not wait for the old connections' TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` serves both families, as a published container port needs it; `::1` is its own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _reason(error: OSError, host: str, port: int, section: str) -> str:
    if error.errno == errno.EADDRINUSE:
        flag = "--port or " if section == "listen" else ""
        return f"port {port} is in use on {host}: choose another with {flag}{section}.port, or stop what listens there"
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by this user: choose one above 1023 with {section}.port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{section}.host: {host} is not an address of this machine"
    return f"{section}.host: cannot listen on {host}: {os.strerror(error.errno or errno.EIO)}"
