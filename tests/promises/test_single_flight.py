"""One fetch at a time, whoever asks: callers without a token share one token request and its result."""

import asyncio
import json

from clocks import DOWN, Says, engine, gathered, refusal, scene, settle, token
from kit import GET, ask, raw_client

from proxy.emulator import faults
from proxy.emulator.answers import Answer
from proxy.errors import TokenRefusedError

CROWD = 1000


def held_back(gate, then=None):
    """The first token request waits for *gate*."""
    return lambda okta: okta.fail(faults.Slow(gate, then))


async def test_a_thousand_first_callers_cause_one_token_request():
    """A thousand requests before the first token wait for the same fetch, and each gets its answer."""
    gate = asyncio.Event()
    async with scene(before=held_back(gate)) as it:
        callers = [asyncio.create_task(ask(it.app, GET)) for _ in range(CROWD)]
        await it.clock.asleep(CROWD)
        gate.set()
        answers = await asyncio.gather(*callers)
        assert [status for status, _, _ in answers] == [200] * CROWD
        assert (it.okta.token_requests.total, it.okta.issued) == (1, 1)
        used = {value for request in it.api.requests for value in request.values("Authorization")}
        assert len(used) == 1


async def test_a_refusal_is_shared():
    """A thousand waiting callers are told of the one refusal, and nobody asks again."""
    gate = asyncio.Event()
    async with scene(before=held_back(gate, faults.Refused("invalid_client_secret"))) as it:
        callers = [asyncio.create_task(ask(it.app, GET)) for _ in range(CROWD)]
        await it.clock.asleep(CROWD)
        gate.set()
        answers = await asyncio.gather(*callers)
        assert {(status, json.loads(body)["code"]) for status, _, body in answers} == {(502, "token_refused")}
        assert it.okta.token_requests.total == 1
        assert it.api.requests == []


async def test_a_failure_with_a_named_time_is_shared():
    """When Okta tells the one request to wait, all waiting callers hear it at once."""
    gate = asyncio.Event()
    busy = Answer(503, headers=(("Retry-After", "60"),), error="503")
    async with scene(before=held_back(gate, busy)) as it:
        callers = [asyncio.create_task(ask(it.app, GET)) for _ in range(50)]
        await it.clock.asleep(50)
        gate.set()
        answers = await asyncio.gather(*callers)
        assert {(status, json.loads(body)["code"]) for status, _, body in answers} == {(503, "token_unavailable")}
        assert {dict(headers)["Retry-After"] for _, headers, _ in answers} == {"60"}
        assert it.okta.token_requests.total == 1


async def test_a_client_that_leaves_does_not_cancel_the_fetch():
    """Half of the waiting clients hang up; the others get their answers from the same token request."""
    gate = asyncio.Event()
    async with scene(before=held_back(gate)) as it:
        staying = [asyncio.create_task(ask(it.app, GET)) for _ in range(5)]
        await it.clock.asleep(5)
        for _ in range(5):
            async with raw_client(it.app) as client:
                await client.send(GET)
                await it.clock.asleep(6)
                client.reset()  # an end alone may be half of a connection whose other half still listens
            await it.clock.awake(5)  # the proxy has noticed that the client left
        gate.set()
        assert [status for status, _, _ in await asyncio.gather(*staying)] == [200] * 5
        assert it.okta.token_requests.total == 1


async def test_a_cancelled_caller_disturbs_nobody():
    """The first of many callers is cancelled in the middle of the fetch: it goes on, and the others get its token."""
    gate = asyncio.Event()
    async with engine(token("one", gate=gate)) as it:
        callers = await it.ask(100)
        for caller in callers[:50]:
            caller.cancel()
        await settle()
        assert (it.endpoint.running, it.endpoint.cancelled) == (1, 0)
        gate.set()
        results = await gathered(callers)
        assert all(isinstance(result, asyncio.CancelledError) for result in results[:50])
        assert {id(result) for result in results[50:]} == {id(it.usable())}
        assert it.endpoint.count == 1


async def test_all_callers_may_leave():
    """With nobody waiting any more the token is still fetched, for whoever comes next."""
    gate = asyncio.Event()
    async with engine(token("one", gate=gate)) as it:
        callers = await it.ask(10)
        for caller in callers:
            caller.cancel()
        await gathered(callers)
        gate.set()
        await settle()
        assert it.usable().value == "one"


async def test_callers_of_an_expired_token_share_a_fetch_too():
    """Not only at the start: a thousand callers after an outage cause one request."""
    gate = asyncio.Event()
    async with engine(token("one", 100), DOWN) as it:
        await it.clock.advance(120)
        it.endpoint.script = [token("two", gate=gate)]
        before = it.endpoint.count
        callers = await it.ask(CROWD)
        gate.set()
        assert {result.value for result in await gathered(callers)} == {"two"}
        assert it.endpoint.count == before + 1


async def test_waiters_do_not_each_retry():
    """A fetch that fails for a thousand waiting callers is followed by one more, not by a thousand."""
    gate = asyncio.Event()
    async with engine(Says(500, gate=gate), DOWN, token("one")) as it:
        callers = await it.ask(CROWD)
        gate.set()
        await settle()
        assert it.endpoint.count == 2
        await it.clock.advance(3)
        assert {result.value for result in await gathered(callers)} == {"one"}
        assert it.endpoint.count == 3


async def test_a_refused_crowd_asks_no_more():
    """Callers that come after a refusal are answered from it, without a request of their own."""
    async with engine(refusal("invalid_client_id")) as it:
        for _ in range(10):
            results = await gathered(await it.ask(100))
            assert all(isinstance(result, TokenRefusedError) for result in results)
        assert it.endpoint.count == 1
