"""
The admin listener: what operators, kubelet and Prometheus may see, and the two things that operators may do.

Every request passes `admission` before anything else is looked at. The overview is collected only for a request that
shows it; what no route needs until it is asked for (prometheus-client) is imported then.
"""

import json
import re
import socket
import uuid
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response

from proxy.admin.access import GuardCheck, admission, is_loopback, routing, split_target
from proxy.admin.listener import Listener, answer, problem_answer
from proxy.admin.overview import Overview
from proxy.admin.status import not_ready, status
from proxy.errors import (
    InternalError,
    ProxyError,
    TokenRefusedError,
    TokenUnavailableError,
    VersionNotSupportedError,
)

GRACE = 1.0
"""Seconds that `stop` gives to answers on their way; aiohttp waits for so long twice."""

_HOST = re.compile(rb"[A-Za-z0-9.\-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")

_log = structlog.get_logger()


class NotReadyError(ProxyError):
    """What `/readyz` answers when requests should go elsewhere; `detail` says why."""

    status = 503
    code = "not_ready"


class AdminServer:
    """
    Serves the admin routes on sockets that are bound already.

    *overview* collects what is shown. *guard* makes the Host and browser checks on a request's raw header lines; it
    must accept a request without a Host line (HTTP/1.0). *refresh* forces a token request and returns how it ended,
    in a word; whether it failed is read from the overview's `token.error`. *quit* starts the drain and returns.
    With *allow_remote* other machines get GET `/livez`, `/readyz` and `/metrics`, whatever their Host line says.
    """

    def __init__(
        self,
        overview: Callable[[], Overview],
        *,
        guard: GuardCheck,
        refresh: Callable[[], Awaitable[str]],
        quit: Callable[[], None],  # noqa: A002  the route's word
        allow_remote: bool,
    ) -> None:
        self._overview = overview
        self._guard = guard
        self._refresh = refresh
        self._quit = quit
        self._allow_remote = allow_remote
        self._listener: Listener | None = None
        self._routes: dict[str, Callable[[BaseRequest], Awaitable[Response]]] = {
            "/": self._page,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status,
            "/refresh": self._refresh_now,
            "/quitquitquit": self._quit_now,
        }

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on *sockets*, bound and the caller's no more; they are closed by `stop`."""
        self._listener = Listener(self._handle)
        await self._listener.open(sockets)

    async def stop(self) -> None:
        """Close the sockets and every connection; answers on their way get `GRACE` seconds. May be called twice."""
        if self._listener is not None:
            await self._listener.close(GRACE)
            self._listener = None

    async def _handle(self, request: BaseRequest) -> Response:
        """Answer *request*, whatever happens."""
        request_id = uuid.uuid4().hex
        try:
            return await self._answer(request)
        except ProxyError as error:
            return problem_answer(error, request_id)
        except Exception:  # noqa: BLE001  the client gets an answer and the log a traceback, whatever broke
            _log.exception("internal_error", request_id=request_id, listener="admin")
            return problem_answer(InternalError("A bug in okta-proxy; its log has more."), request_id)

    async def _answer(self, request: BaseRequest) -> Response:
        # aiohttp serves any version, and answers in the one that it was asked in (and `version` remembers being read).
        if request._message.version not in (HttpVersion10, HttpVersion11):  # noqa: SLF001
            request._version = HttpVersion11  # noqa: SLF001
            raise VersionNotSupportedError("The admin listener speaks HTTP/1.1 and HTTP/1.0.")
        denied = admission(
            request.method,
            request.raw_path,
            request.raw_headers,
            local=is_loopback(request.get_extra_info("peername")),
            allow_remote=self._allow_remote,
            guard=self._guard,
        )
        path = split_target(request.raw_path)[1]
        if error := denied or routing(request.method, path):
            raise error
        return await self._routes[path](request)

    async def _livez(self, _: BaseRequest) -> Response:
        return _text("ok")

    async def _readyz(self, _: BaseRequest) -> Response:
        reason = not_ready(self._overview())
        if reason is not None:
            raise NotReadyError(reason)
        return _text("ok")

    async def _metrics(self, _: BaseRequest) -> Response:
        from proxy.admin import metrics  # noqa: PLC0415  the first scrape pays for prometheus-client, not the start

        return answer(200, [("Content-Type", metrics.CONTENT_TYPE)], metrics.exposition(self._overview()))

    async def _status(self, _: BaseRequest) -> Response:
        body = json.dumps(status(self._overview()), indent=2) + "\n"
        return answer(200, [("Content-Type", "application/json")], body.encode())

    async def _page(self, request: BaseRequest) -> Response:
        from proxy.admin import page  # noqa: PLC0415  the first look pays for the page, not the start

        return answer(200, page.HEADERS, page.page(self._overview(), _address(request)).encode())

    async def _refresh_now(self, _: BaseRequest) -> Response:
        outcome = await self._refresh()
        overview = self._overview()
        token = overview.token
        if token.error is None:
            return _text(outcome)
        if token.error_code == "token_refused":
            raise TokenRefusedError(token.error)
        raise TokenUnavailableError(token.error, retry_after=(token.next_try_at or overview.now) - overview.now)

    async def _quit_now(self, _: BaseRequest) -> Response:
        self._quit()
        return _text("draining")


def _text(line: str) -> Response:
    return answer(200, [("Content-Type", "text/plain; charset=utf-8")], f"{line}\n".encode())


def _address(request: BaseRequest) -> str:
    """Return the URL that the operator reached us at: a published port differs from the one that is bound."""
    for name, value in request.raw_headers:
        if name.lower() == b"host" and _HOST.fullmatch(value):
            return f"http://{value.decode('ascii')}"
    host, port = request.get_extra_info("sockname", ("localhost", 0))[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
