"""
The doctor's own network calls: a name is resolved, a TLS handshake made. They bring facts and judge nothing.

No request is sent here. What carries a secret or a token goes through the code that the proxy uses itself.
"""

import asyncio
import base64
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

import aiohappyeyeballs

from proxy.cli.doctor.places import Place
from proxy.config import Url
from proxy.forwarding.pool import HAPPY_EYEBALLS_DELAY

TIMEOUT = 10.0
"""Seconds for each call."""

Lookup = Callable[..., list[Any]]
"""What `socket.getaddrinfo` is."""


class OutboundProxyError(Exception):
    """The outbound proxy did not give a tunnel; `status` is its answer, 0 if there was none of HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Handshake(NamedTuple):
    """A TLS handshake that was made: the protocol's version and the server's certificate (DER)."""

    version: str
    certificate: bytes


async def resolve(host: str, lookup: Lookup = socket.getaddrinfo, seconds: float = TIMEOUT) -> tuple[str, ...]:
    """
    Return the addresses of *host*, each once. Raises OSError, UnicodeError, TimeoutError.

    In a thread of its own that nobody waits for: the system's resolver can take minutes to give up.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[str, ...]] = loop.create_future()

    def settle(result: tuple[str, ...] | Exception) -> None:
        if done.done():
            return
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)

    def work() -> None:
        result: tuple[str, ...] | Exception
        try:
            found = lookup(host, None, type=socket.SOCK_STREAM)
            result = tuple(dict.fromkeys(str(address[0]) for *_, address in found))
        except (OSError, UnicodeError) as error:
            result = error
        # The loop may have ended in the meantime.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=work, daemon=True, name="resolver").start()
    async with asyncio.timeout(seconds):
        return await done


async def handshake(place: Place, context: ssl.SSLContext, seconds: float = TIMEOUT) -> Handshake:
    """
    Connect to *place*, through its outbound proxy if it has one, and make a TLS handshake.

    Raises SSLError, OSError, TimeoutError, `OutboundProxyError`.
    """
    async with asyncio.timeout(seconds):
        writer = await (_direct(place.url, context) if place.proxy is None else _through(place, place.proxy, context))
    try:
        secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return Handshake(secured.version() or "", secured.getpeercert(binary_form=True) or b"")
    finally:
        writer.transport.abort()


def unverified() -> ssl.SSLContext:
    """Return a context that takes every certificate: to look at one that was refused, and for nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _direct(url: Url, context: ssl.SSLContext) -> asyncio.StreamWriter:
    _, writer = await _open(url, context)
    return writer


async def _through(place: Place, proxy: Url, context: ssl.SSLContext) -> asyncio.StreamWriter:
    reader, writer = await _open(proxy, None)
    try:
        writer.write(connect_request(place))
        status = tunnel_status(await reader.readuntil(b"\r\n\r\n"))
        if not 200 <= status < 300:
            raise OutboundProxyError(status)  # noqa: TRY301
        await writer.start_tls(context, server_hostname=place.url.host)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.transport.abort()
        raise OutboundProxyError(0) from None
    except BaseException:
        writer.transport.abort()
        raise
    return writer


async def _open(url: Url, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as the proxy's pool does, so that several addresses that refuse are one refusal."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    sock = await aiohappyeyeballs.start_connection(
        found, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, interleave=1, loop=loop
    )
    try:
        return await asyncio.open_connection(sock=sock, ssl=context, server_hostname=url.host if context else None)
    except BaseException:
        sock.close()
        raise


def connect_request(place: Place) -> bytes:
    """Return the request that asks the outbound proxy for a tunnel (RFC 9110 9.3.6)."""
    host = f"[{place.url.host}]" if ":" in place.url.host else place.url.host
    authority = f"{host}:{place.url.port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if place.proxy_credentials:
        plain = unquote(place.proxy_credentials).encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(plain).decode()}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def tunnel_status(head: bytes) -> int:
    """Return the status of the outbound proxy's answer, 0 if that is not HTTP."""
    found = re.fullmatch(rb"HTTP/1\.[01] ([0-9]{3})(?: .*)?", head.split(b"\r\n", 1)[0])
    return int(found[1]) if found else 0
