"""How an answer leaves: whole, by half, or not at all."""

import asyncio
from collections.abc import Iterable

from aiohttp import web

from proxy.emulator.answers import Answer
from proxy.emulator.faults import Drop, Hang
from proxy.emulator.listener import drop


def whole(answer: Answer, headers: Iterable[tuple[str, str]] = ()) -> web.Response:
    """Return *answer* as a response, with *headers* before its own."""
    response = web.Response(status=answer.status, body=answer.body)
    _add_headers(response, answer, headers)
    return response


async def half(
    request: web.BaseRequest, answer: Answer, headers: Iterable[tuple[str, str]], fault: Hang | Drop
) -> web.StreamResponse:
    """Send the head and half of the body that it promises; then *fault*."""
    response = web.StreamResponse(status=answer.status)
    _add_headers(response, answer, headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    await cut(request, fault)
    return response


async def cut(request: web.BaseRequest, fault: Hang | Drop) -> web.StreamResponse:
    """Send nothing (more). Returns a response only because a handler must; the connection is gone by then."""
    if isinstance(fault, Hang):
        # Cancelled when the client leaves or the server closes.
        await asyncio.Event().wait()
    else:
        drop(request, fault.how)
    return web.Response()


def _add_headers(response: web.StreamResponse, answer: Answer, headers: Iterable[tuple[str, str]]) -> None:
    for name, value in (*headers, *answer.headers):
        response.headers.add(name, value)
    if answer.body:
        response.headers["Content-Type"] = answer.content_type
