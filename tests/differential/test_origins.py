"""What the proxy forwards of the corpus is read by every other server as it was meant."""

import asyncio
import contextlib

import pytest
from canonical import requests_in
from corpus import FAMILIES
from parsers import PARSERS, Reading
from payloads import Payload
from programs import PROGRAMS, REQUIRED, Read, needs
from recording import course

END = b"GET /end HTTP/1.1\r\nHost: localhost\r\nAuthorization: end\r\nConnection: close\r\n\r\n"
"""Comes behind what was forwarded, on its connection: who was out of step takes it for something else."""
AT_ONCE = 8


async def collected() -> dict[bytes, Payload]:
    """Return all that the upstream got for each payload on one of its connections."""
    found: dict[bytes, Payload] = {}
    async with course() as proxy:
        for family in FAMILIES.values():
            for payload in family.values():
                # What is forwarded and should not be, or is not canonical, is for test_corpus to tell.
                if not payload.refused:
                    outcome = await proxy.run(payload)
                    found.update({} if outcome.broken else dict.fromkeys(outcome.pieces, payload))
    return found


@pytest.fixture(scope="module")
def forwarded() -> dict[bytes, Payload]:
    """Record what is forwarded of the corpus, once for the module."""
    return asyncio.run(collected())


def disagreement(data: bytes, payload: Payload, reading: Reading) -> str | None:
    """Return how an origin read *data* otherwise than it was meant, None if it did not."""
    whole, rest = requests_in(data)
    meant = [request.seen for request in whole]
    if reading.requests == meant and (rest or not reading.refused):
        # What is cut may be refused or waited for, but never be more than that.
        return None
    if payload.odd and reading.refused and reading.requests == meant[: len(reading.requests)]:
        return None
    refused = ", and then refused it" if reading.refused else ""
    return f"{payload.name}: {data!r} was read as {[seen.short for seen in reading.requests]}{refused}"


async def disagreements(read: Read, forwarded: dict[bytes, Payload]) -> list[str]:
    """Return where an origin reads something else than was meant."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask(data: bytes, payload: Payload) -> str | None:
        is_cut = requests_in(data)[1] != b""
        data = data if is_cut else data + END
        async with slots:
            return disagreement(data, payload, await read(data))

    return [found for found in await asyncio.gather(*[ask(*each) for each in forwarded.items()]) if found is not None]


def report(found: list[str]) -> str:
    """Return what to show of them."""
    return f"{len(found)} disagreements\n" + "\n".join(each[:600] for each in found)


@pytest.mark.parametrize("origin", PARSERS)
async def test_parsers_read_what_was_meant(origin: str, forwarded: dict[bytes, Payload]):
    """As many requests, with their methods, targets, hosts, credentials and bodies, and what follows in its place."""
    found = await disagreements(PARSERS[origin], forwarded)
    assert found == [], report(found)


@pytest.mark.parametrize("origin", PROGRAMS)
async def test_servers_read_what_was_meant(origin: str, forwarded: dict[bytes, Payload]):
    """The same of servers that run by themselves: proxies tell through what they forward, Node tells what it read."""
    async with PROGRAMS[origin]() as read:
        found = await disagreements(read, forwarded)
    assert found == [], report(found)


@pytest.mark.parametrize("origin", [*PARSERS, *PROGRAMS])
async def test_an_origin_that_disagrees_is_found_out(origin: str):
    """A body that is shorter for it, or a request that is one more, does not go unnoticed."""
    async with contextlib.AsyncExitStack() as stack:
        read = PARSERS[origin] if origin in PARSERS else await stack.enter_async_context(PROGRAMS[origin]())
        for data, agrees in OTHERWISE.items():
            assert (disagreement(MEANT + END, ONE, await read(data + END)) is None) == agrees


def test_a_program_that_is_missing(monkeypatch: pytest.MonkeyPatch):
    """It is a skip with its reason, and a failure where the environment asks for it."""
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed"):
        needs("no-such-server")
    monkeypatch.setenv(REQUIRED, "nginx,no-such-server")
    with pytest.raises(pytest.fail.Exception, match=REQUIRED):
        needs("no-such-server")


MEANT = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
ONE = Payload("one", MEANT, ())
OTHERWISE = {
    MEANT: True,
    MEANT.replace(b"3", b"2")[:-1]: False,
    MEANT.replace(b"3", b"0")[:-3] + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n": False,
    MEANT.replace(b"POST", b"PUT"): False,
    MEANT.replace(b"Content", b"Authorization: x\r\nContent"): False,
}
