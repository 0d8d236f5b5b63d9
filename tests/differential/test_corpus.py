"""Each payload of the corpus through the whole proxy: what must pass arrives as it is, and nothing else does."""

from collections.abc import Sequence

import pytest
from corpus import FAMILIES
from payloads import Payload
from recording import Course, course
from verdicts import faults


async def judged(proxy: Course, payload: Payload, pieces: Sequence[bytes] = ()) -> list[str]:
    """Return what is wrong with what becomes of *payload*."""
    return faults(payload, await proxy.run(payload, pieces), proxy.host)


@pytest.mark.parametrize("family", FAMILIES)
async def test_what_becomes_of_each(family: str):
    """One meaning for whoever reads it, with our Host and our token; or our refusal, and nothing of it upstream."""
    async with course() as proxy:
        found = [fault for payload in FAMILIES[family].values() for fault in await judged(proxy, payload)]
        assert found == [], "\n".join(found)


@pytest.mark.parametrize("family", ["framing", "chunks", "lines", "connections"])
async def test_in_pieces(family: str):
    """How the bytes are spread over segments changes nothing."""
    async with course() as proxy:
        found = []
        for payload in FAMILIES[family].values():
            # A byte in its place is a byte in its place.
            if not payload.together and not payload.name.startswith("byte "):
                size = max(3, len(payload.data) // 24)
                pieces = [payload.data[at : at + size] for at in range(0, len(payload.data), size)]
                found += await judged(proxy, payload, pieces)
        assert found == [], "\n".join(found)


async def test_at_every_boundary():
    """A request in two segments is the same request, wherever the second one begins."""
    async with course() as proxy:
        found = []
        for family, name in IN_TWO:
            payload = FAMILIES[family][name]
            for at in range(1, len(payload.data)):
                # On an upstream connection that is there, so that the first part goes out before the second one comes.
                await proxy.run(GOOD)
                found += await judged(proxy, payload, [payload.data[:at], payload.data[at:]])
        assert found == [], "\n".join(found)


GOOD = FAMILIES["framing"]["no length"]
IN_TWO = [
    ("framing", "length '3'"),
    ("framing", "coding 'chunked'"),
    ("framing", "length and coding 'chunked'"),
    ("chunks", "a chunk that is a request"),
    ("chunks", "trailers 'Authorization: Basic x'"),
    ("chunks", "chunk size '3;a=\"b;c\"'"),
    ("chunks", "chunk size '3\\n'"),
    ("chunks", "chunks' end '0\\n\\n'"),
    ("chunks", "chunks' end '0x0\\r\\n\\r\\n'"),
    ("chunks", "trailers 'X : y'"),
    ("lines", "last line 'X: a\\nb'"),
    ("lines", "last line 'X: y\\r\\n z'"),
    ("connections", "chunks and expect '100-continue'"),
]
