"""A fetch that is cancelled at any moment leaves nothing behind, and the next one is as good as any."""

import asyncio
import json

import pytest
from private_keys import jwk, make, pem, public_jwk
from strict_idp import StrictIdp
from token_servers import RawServer, endpoint, fetched

from proxy.config import Secret
from proxy.tokens import authentication
from proxy.tokens.answer import read_answer
from proxy.tokens.source import Token


def side_of(url, kind="RSA", **oauth):
    """Return our side with a key and DPoP: it waits in all the places that there are."""
    key = Secret(pem(make(kind)).decode())
    return endpoint(f"{url}/token", client_secret=None, private_key=key, dpop=True, **oauth)


async def works(side):
    """Expect the next fetch to bring a token."""
    result = await fetched(side)
    assert isinstance(read_answer(result.answer, result.secret), Token)


async def cancelled(task):
    """Cancel *task*, and expect it to end by that."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_at_any_turn_of_the_loop():
    """Between reading, signing, connecting, the challenge and the second request: one turn later each time."""
    idp = StrictIdp(public_jwk(make("RSA")), dpop=True)
    async with RawServer(idp) as server:
        for turns in range(150):
            idp.nonce = f"nonce-{turns}"
            side = side_of(server.url)
            task = asyncio.create_task(side.fetch())
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                break
            await cancelled(task)
            if turns % 10 == 0:
                await works(side)
        await works(side)
    sent = [claims["jti"] for _, claims in idp.assertions]
    assert len(set(sent)) == len(sent)


async def test_while_it_signs(monkeypatch):
    """The thread goes on to its end, and what it signed is never sent."""
    loop = asyncio.get_running_loop()
    reached, goes_on = asyncio.Event(), asyncio.Event()
    original = authentication._signature

    def slow(credential):
        loop.call_soon_threadsafe(reached.set)
        asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result()
        return original(credential)

    monkeypatch.setattr(authentication, "_signature", slow)
    idp = StrictIdp(public_jwk(make("RSA")), dpop=True)
    async with RawServer(idp) as server:
        side = side_of(server.url)
        task = asyncio.create_task(side.fetch())
        await reached.wait()
        await cancelled(task)
        assert server.connections == 0
        goes_on.set()
        await works(side)
    assert len(idp.assertions) == 1


@pytest.mark.parametrize("after", [0, 1])
async def test_while_it_waits_for_an_answer(after):
    """The first one, or the one after a nonce, which is kept."""
    reached = asyncio.Event()

    async def hang(*_):
        reached.set()
        await asyncio.Event().wait()

    idp = StrictIdp(public_jwk(make("RSA")), dpop=True, nonce="kept")
    async with RawServer(*[idp] * after, hang, idp) as server:
        side = side_of(server.url)
        task = asyncio.create_task(side.fetch())
        await reached.wait()
        await cancelled(task)
        await works(side)
    assert len(idp.errors) == 1
    assert [claims.get("nonce") for _, claims in idp.proofs][-1] == "kept"


async def test_between_two_keys(tmp_path):
    """What was refused stays refused: the next fetch begins with the other key."""
    path = tmp_path / "keys.json"
    keys = [jwk(make("P-256", number), kid=str(number)) for number in range(2)]
    path.write_text(json.dumps({"keys": keys}))
    reached = asyncio.Event()

    async def hang(*_):
        reached.set()
        await asyncio.Event().wait()

    idp = StrictIdp(public_jwk(make("P-256", 1), kid="1"))
    async with RawServer(idp, hang, idp) as server:
        side = endpoint(f"{server.url}/token", client_secret=None, private_key_file=str(path))
        task = asyncio.create_task(side.fetch())
        await reached.wait()
        await cancelled(task)
        await works(side)
    assert [header["kid"] for header, _ in idp.assertions] == ["0", "1"]
