"""
The routes of the echo API that do something else than echo: what is worth watching through a proxy.

`/stream?n=5&interval=1` (server-sent events), `/bytes/{n}` (byte i is i mod 256; `?chunked=1`), `/status/{code}`,
`/redirect?to=...&status=302`, `/headers?Name=value`, `/delay/{seconds}` (then echoes), `/cut/{n}` (breaks off after
half of the promised body; `?how=close`). A query that makes no sense is answered with 400 and the reason.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.emulator.listener import drop

Pace = asyncio.Semaphore | None

LONGEST = 3600.0
"""Seconds that `interval` and `/delay` may take at most."""

_BLOCK = bytes(range(256)) * 256

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_FRAMING = frozenset({"connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"})


class _Call(NamedTuple):
    request: web.BaseRequest
    value: str
    """What the path says behind the route's name."""
    pairs: tuple[tuple[str, str], ...]
    pace: Pace
    headers: Mapping[str, str]
    """Header fields of every answer."""

    def param(self, name: str, default: str) -> str:
        return dict(self.pairs).get(name, default)

    def number(self, name: str, default: str, most: float) -> float:
        number = float(self.param(name, default))
        if not 0 <= number <= most:
            raise ValueError(f"{name} is a number from 0 to {most:.0f}")
        return number


async def respond(
    request: web.BaseRequest, path: str, query: str, pace: Pace, headers: Mapping[str, str]
) -> web.StreamResponse | None:
    """
    Answer *request* if *path* is one of the routes; None leaves it to be echoed.

    A response that begins here has *headers*; one that does not is given them by the caller.
    """
    for pattern, route in _ROUTES:
        if found := re.fullmatch(pattern, path):
            pairs = tuple(parse_qsl(query, keep_blank_values=True))
            try:
                return await route(_Call(request, found[1] if found.groups() else "", pairs, pace, headers))
            except ValueError as error:
                return document({"error": "invalid_request", "error_description": str(error)}, status=400)
    return None


def document(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return *content* as a JSON response, one line for people who read it with curl."""
    body = json.dumps(content).encode() + b"\n"
    response = web.Response(status=status, body=body, headers=headers, content_type="application/json")
    response.headers["Server"] = "okta-proxy-echo"
    response.headers["Cache-Control"] = "no-store"
    return response


async def _start(call: _Call, content_type: str, length: int | None) -> web.StreamResponse:
    headers = {"Content-Type": content_type, "Server": "okta-proxy-echo", "Cache-Control": "no-store"}
    response = web.StreamResponse(headers={**headers, **call.headers})
    response.content_length = length
    await response.prepare(call.request)
    return response


async def _stream(call: _Call) -> web.StreamResponse:
    count, interval = int(call.number("n", "5", 1e6)), call.number("interval", "0", LONGEST)
    response = await _start(call, "text/event-stream", None)
    for number in range(0 if call.request.method == "HEAD" else count):
        if call.pace is not None:
            await call.pace.acquire()
        elif interval and number:
            await asyncio.sleep(interval)
        await response.write(f'id: {number}\ndata: {{"event": {number + 1}, "of": {count}}}\n\n'.encode())
    return response


async def _bytes(call: _Call) -> web.StreamResponse:
    left = int(call.value)
    response = await _start(call, "application/octet-stream", None if call.param("chunked", "") else left)
    while left and call.request.method != "HEAD":
        await response.write(_BLOCK[:left])
        left -= min(left, len(_BLOCK))
    return response


async def _status(call: _Call) -> web.StreamResponse:
    status = int(call.value)
    if status < 200:
        raise ValueError("status is a number from 200 to 999")
    if status in {204, 205, 304}:
        return web.Response(status=status)
    # A 401 without a challenge is no HTTP (RFC 9110 15.5.2).
    challenge = {"WWW-Authenticate": 'Bearer realm="status", error="invalid_token"'} if status == 401 else None
    return document({"status": status}, status=status, headers=challenge)


async def _redirect(call: _Call) -> web.StreamResponse:
    status = int(call.number("status", "302", 399))
    if status < 300:
        raise ValueError("status is a number from 300 to 399")
    return document({}, status=status, headers={"Location": _header_value(call.param("to", "/"))})


async def _headers(call: _Call) -> web.StreamResponse:
    response = document({})
    for name, value in call.pairs:
        if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING:
            raise ValueError("each parameter's name is a header's name, and none of the framing")
        response.headers.add(name, _header_value(value))
    return response


def _header_value(value: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError("a header's value has no control characters")
    return value


async def _delay(call: _Call) -> None:
    seconds = float(call.value)
    if seconds > LONGEST:
        raise ValueError(f"the delay is at most {LONGEST:.0f} seconds")
    await asyncio.sleep(seconds)


async def _cut(call: _Call) -> web.StreamResponse:
    length = int(call.value)
    response = await _start(call, "application/octet-stream", 2 * length)
    left = length
    while left:
        await response.write(_BLOCK[:left])
        left -= min(left, len(_BLOCK))
    drop(call.request, call.param("how", "reset"))
    return response


_ROUTES: tuple[tuple[str, Callable[[_Call], Awaitable[web.StreamResponse | None]]], ...] = (
    (r"/stream", _stream),
    (r"/bytes/([0-9]{1,15})", _bytes),
    (r"/status/([0-9]{3})", _status),
    (r"/redirect", _redirect),
    (r"/headers", _headers),
    (r"/delay/([0-9]{1,6}(?:\.[0-9]{1,3})?)", _delay),
    (r"/cut/([0-9]{1,15})", _cut),
)
