"""Pools for tests, and servers that speak TLS to them."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import trustme
from kit import url

from proxy.config import Upstream
from proxy.forwarding.deadlines import Deadlines
from proxy.forwarding.pool import Pool
from proxy.forwarding.upstream import UpstreamConnection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NONE = {"active": 0, "idle": 0, "connecting": 0, "waiting": 0}
"""The counts of a pool that has nothing."""


@contextlib.asynccontextmanager
async def pool_for(address: str, **settings: Any) -> AsyncIterator[Pool]:
    """Give a pool of connections to *address*; `boot` and `idle_timeout` are the pool's, the rest `upstream.*`."""
    deadlines = Deadlines(0.005)
    own = {name: settings.pop(name) for name in ("boot", "idle_timeout") if name in settings}
    pool = Pool(Upstream(url=url(address), **settings), deadlines, **own)
    try:
        yield pool
    finally:
        pool.close()
        deadlines.close()


async def exchange(connection: UpstreamConnection) -> bytes:
    """Send a request and return the body of the answer."""
    connection.begin("GET", GET)
    connection.finish_request()
    await connection.head()
    return await body(connection)


async def body(connection: UpstreamConnection) -> bytes:
    """Return the rest of the body."""
    data = connection.take()
    while not connection.complete:
        await connection.more(5)
        data += connection.take()
    return data


def serving(authority: trustme.CA, *names: str, **more: Any) -> ssl.SSLContext:
    """Return a server's context with a certificate for *names*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **more).configure_cert(context)
    return context


def asking(authority: trustme.CA, *names: str, clients: trustme.CA) -> ssl.SSLContext:
    """Return the context of a server that wants a client certificate of *clients*."""
    context = serving(authority, *names)
    context.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(context)
    return context
