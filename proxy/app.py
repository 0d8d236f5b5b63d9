"""
The application: the only place where the wings meet.

It owns the listeners, the refresher's task and the drain. Everything is started in `__aenter__` and ended in
`__aexit__`, in the reverse order.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import structlog

from proxy import __version__
from proxy.admin.overview import DURATION_BUCKETS, Histogram, Overview, TokenView
from proxy.admin.server import AdminServer
from proxy.binding import BACKLOG, bind, port_of
from proxy.config import Settings
from proxy.config.outbound import with_outbound_proxy
from proxy.errors import StartError
from proxy.forwarding import guard
from proxy.forwarding.connection import IDLE_GRACE
from proxy.forwarding.counters import Buckets, Counters
from proxy.forwarding.listener import ProxyServer, ReverseProxy
from proxy.tokens.clock import Clock, SystemClock
from proxy.tokens.endpoint import TokenEndpoint
from proxy.tokens.refresher import Refresher
from proxy.tokens.source import Token, TokenSource


class App:
    """
    A running proxy: `async with App(settings) as app: await app.run()`.

    *environ* is asked for the outbound proxies (`HTTPS_PROXY`, `NO_PROXY`). Raises `StartError` on entering.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        tokens: TokenSource | None = None,
    ) -> None:
        """*tokens* stands in for the token source that *settings* describe, which then only operators see."""
        environ = os.environ if environ is None else environ
        self.settings = with_outbound_proxy(settings, environ)
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger("app")
        endpoint = TokenEndpoint(settings.oauth, self._clock, environ)
        self.tokens = Refresher(settings.oauth, endpoint, self._clock)
        self._source: TokenSource = tokens or self.tokens
        self.counters = Counters(DURATION_BUCKETS)
        self._started_at = time.time()
        self._stop = asyncio.Event()
        self._draining = False
        self._servers: list[asyncio.Server] = []
        self._admin: AdminServer | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self.url = ""
        """Where clients on this machine reach the proxy."""
        self.listening = ""
        """The address that it listens on, as it was configured."""
        self.admin_url = ""
        """Where operators reach it, empty without an admin listener."""

    async def __aenter__(self) -> Self:
        settings = self.settings
        sockets = bind(settings.listen.host, settings.listen.port, "listen")
        try:
            admin_sockets = self._bind_admin(settings, port_of(sockets))
        except StartError:
            close_all(sockets)
            raise
        authority = address_of(settings.listen.host, port_of(sockets))
        self.url = f"http://{authority}"
        self.listening = shown(settings.listen.host, port_of(sockets))
        self._proxy = ReverseProxy(
            settings,
            self._source,
            guard.for_listener(settings),
            self.counters,
            authority=authority,
            boot=self._clock.boot,
        )
        self._server = ProxyServer(self._proxy)
        await self._listen(sockets)
        if admin_sockets:
            self.admin_url = f"http://{address_of(settings.admin.host, port_of(admin_sockets))}"
            self._admin = AdminServer(
                self.overview,
                guard=guard.for_admin(settings).check,
                refresh=self._refresh,
                quit=self.stop,
                allow_remote=settings.admin.allow_remote,
            )
            await self._admin.start(admin_sockets)
        if self._source is self.tokens:
            self._refreshing = asyncio.create_task(self.tokens.run(), name="refresher")
        self._log.info(
            "started",
            version=__version__,
            listen=self.listening,
            upstream=str(settings.upstream.url),
            admin=shown(settings.admin.host, port_of(admin_sockets)) if admin_sockets else None,
        )
        return self

    async def _listen(self, sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(await loop.create_server(self._server, sock=sock, backlog=BACKLOG))

    def _bind_admin(self, settings: Settings, listen_port: int) -> list[socket.socket]:
        admin = settings.admin
        if not admin.enabled:
            return []
        port = admin.port
        if port is None:
            port = 0 if settings.listen.port == 0 else listen_port + 1
        return bind(admin.host, port, "admin")

    async def run(self) -> None:
        """
        Serve until `stop`, then drain. Raises `StartError` if the refresher ends by itself.

        Without a refresher the token would run out silently, so the process has to go down with it.
        """
        stopped = asyncio.create_task(self._stop.wait())
        refreshing = self._refreshing
        tasks = {stopped} if refreshing is None else {stopped, refreshing}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if not self._stop.is_set():
            died = refreshing is not None and not refreshing.cancelled()
            self._log.error("refresher_died", exc_info=refreshing.exception() if refreshing and died else None)
            raise StartError("the token refresher ended by itself; see the log")
        await self.drain()

    def stop(self) -> None:
        """Begin the drain; nothing more happens if it has begun."""
        self._stop.set()

    async def drain(self) -> None:
        """
        Say no at `/readyz`, take no new connections, finish what runs, and cut it visibly at `lifecycle.drain`.

        Connections that exist are served with `Connection: close`; idle ones are closed after a moment.
        """
        self._draining = True
        self._log.info("stopping", in_flight=self.counters.in_flight, drain=self.settings.lifecycle.drain)
        for server in self._servers:
            server.close()
        self._proxy.begin_drain()
        for connection in self._server.clients:
            connection.end_soon()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._until(began + min(IDLE_GRACE, self.settings.lifecycle.drain))
        for connection in self._server.clients:
            connection.end_if_idle()
        await self._until(began + self.settings.lifecycle.drain)
        self._proxy.cutting = True
        cut = self._server.clients
        for connection in cut:
            connection.cut_now()
        self._log.info("stopped", cut=len(cut), after=round(loop.time() - began, 3))

    async def _until(self, deadline: float) -> None:
        """Wait until no connection is left, or *deadline* on the loop's clock."""
        try:
            async with asyncio.timeout_at(deadline):
                while self._server.clients:
                    self._proxy.connection_ended.clear()
                    await self._proxy.connection_ended.wait()
        except TimeoutError:
            return

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})
        for connection in self._server.clients:
            connection.cut_now()
        await self._server.join()
        self._proxy.close()
        if self._admin is not None:
            await self._admin.stop()

    async def _refresh(self) -> str:
        if self._refreshing is None:
            return "failed"
        result = await self.tokens.refresh()
        return "ok" if isinstance(result, Token) else result.outcome

    def overview(self) -> Overview:
        """Collect what operators see."""
        tokens = self.tokens
        failure = tokens.failure
        code = None if failure is None else "token_refused" if failure.outcome == "refused" else "token_unavailable"
        counters = self.counters
        return Overview(
            version=__version__,
            started_at=self._started_at,
            now=self._clock.wall(),
            listen=self.listening,
            upstream=str(self.settings.upstream.url),
            draining=self._draining,
            token=TokenView(
                usable=tokens.usable() is not None,
                expires_at=tokens.expires_at,
                refreshed_at=tokens.refreshed_at,
                next_try_at=tokens.next_try_at,
                failed_at=tokens.failed_at,
                error=None if failure is None else failure.detail,
                error_code=code,
                refreshes=dict(tokens.outcomes),
                credential=tokens.credential,
            ),
            requests=dict(counters.requests),
            durations=_histogram(counters.durations),
            token_waits=_histogram(counters.token_waits),
            in_flight=counters.in_flight,
            replays=counters.replays,
            upstream_connections=self._proxy.pool.counts(),
        )


def _histogram(buckets: Buckets) -> Histogram:
    return Histogram(tuple(buckets.counts), buckets.total)


def address_of(host: str, port: int) -> str:
    """Return what a caller on this machine types to reach a listener on *host* and *port*."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"{guard.bracketed(shown)}:{port}"


def shown(host: str, port: int) -> str:
    """Return the URL of a listener with the host as it was configured: who set `0.0.0.0` looks for that."""
    return f"http://{guard.bracketed(host)}:{port}"


def close_all(sockets: list[socket.socket]) -> None:
    """Close sockets that nobody listens on yet."""
    for sock in sockets:
        sock.close()
