"""
The corpus through another proxy before us, which keeps its connections to us for all its clients.

What it and we read differently would give one client the answer that is another's.
"""

import asyncio
import contextlib
from pathlib import Path

import pytest
from corpus import FAMILIES
from kit import proxied
from payloads import Payload
from programs import FRONTS, answers_of, dialled
from recording import SENTINEL, Recorder
from verdicts import request_faults

HANGS = 0.2
"""Seconds until the client half-closes: what is no whole request for the other proxy waits for more."""
AT_LAST = Payload("the last client", b"", ())


async def exchange(front: Path, data: bytes, *, ends: bool) -> list[bytes]:
    """Send *data* on a connection of its own; the requests that the upstream's answers tell of."""
    got = b""
    async with dialled(front) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(data)
            if ends:
                client.half_close()
            try:
                async with asyncio.timeout(HANGS):
                    got = await client.reader.read()
            except TimeoutError:
                client.half_close()
                got = await client.reader.read()
    return answers_of(got)


async def faults(front: Path, recorder: Recorder, payload: Payload, host: bytes) -> list[str]:
    """Return what is wrong with what becomes of *payload*."""
    recorder.start()
    told = await exchange(front, payload.data if payload.cut else payload.data + SENTINEL, ends=payload.cut)
    found = list(map(repr, recorder.broken))
    for request in recorder.forwarded:
        found += request_faults(request, host)
    named = [request.seen.method + b" " + request.seen.target for request in recorder.forwarded]
    if told != named:
        found.append(f"{named} went upstream, and the client was told of {told}")
    await recorder.pieces()
    return [f"{payload.name}, or what came before it: {fault}" for fault in found]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("front", FRONTS)
async def test_no_answer_is_anothers(front: str, family: str):
    """Each answer that a client gets is its own request's: every payload is also the next client of the one before."""
    recorder = Recorder()
    async with (
        proxied(recorder) as (app, upstream),
        FRONTS[front](f"127.0.0.1:{app.url.rpartition(':')[2].rstrip('/')}") as path,
    ):
        clients = [*FAMILIES[family].values(), AT_LAST]
        host = b"127.0.0.1:%d" % upstream.port
        found = [fault for each in clients for fault in await faults(path, recorder, each, host)]
    assert found == [], "\n".join(each[:600] for each in found)
