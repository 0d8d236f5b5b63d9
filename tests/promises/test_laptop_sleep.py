"""Clocks that jump and timers that are late: a token is expired when either clock says so, and nothing storms."""

import asyncio

import pytest
from clocks import DOWN, engine, gathered, scene, settle, token
from kit import GET, ask

from proxy.tokens.schedule import NAP

HOUR = 3600.0


def numbered(number):
    """Return an hour's token with the number of its request."""
    return token(str(number))


async def test_after_eight_hours_of_sleep_the_next_request_refreshes_first():
    """Timers slept too: the first caller after the lid opened waits for a new token and never gets the old one."""
    async with engine(numbered) as it:
        await it.clock.suspend(8 * HOUR)
        assert it.refresher.usable() is None
        assert it.endpoint.count == 1
        (caller,) = await it.ask()
        assert caller.result().value == "1"
        assert it.endpoint.count == 2


async def test_after_a_sleep_the_whole_proxy_goes_on():
    """Requests before and after eight hours of sleep are answered 200 by an API that verifies each token."""
    async with scene() as it:
        assert (await ask(it.app, GET))[0] == 200
        await it.clock.asleep(1)
        for night in range(2, 5):
            await it.clock.suspend(8 * HOUR)
            assert [(await ask(it.app, GET))[0] for _ in range(3)] == [200] * 3
            assert it.okta.token_requests.total == night
            await it.clock.asleep(1)


async def test_after_a_sleep_the_token_is_refreshed_without_a_caller():
    """At the latest when a nap ends, 15 s of running later, however late the timers are."""
    async with engine(numbered) as it:
        await it.clock.suspend(8 * HOUR)
        await it.clock.advance(NAP)
        assert it.endpoint.count == 2
        assert it.usable().value == "1"


async def test_a_short_sleep_beyond_the_refresh_keeps_the_token_in_use():
    """Refresh was due during the sleep and the token still lives: callers do not wait, and the refresh comes soon."""
    async with engine(numbered) as it:
        await it.clock.suspend(2800)
        (caller,) = await it.ask()
        assert caller.result().value == "0"
        await it.clock.advance(NAP)
        assert it.usable().value == "1"


async def test_a_401_after_a_sleep_does_not_wait_for_a_late_timer():
    """When a refresh is overdue and a token is suspected, it is fetched now and not at the end of the nap."""
    async with engine(numbered) as it:
        await it.clock.suspend(2800)
        it.refresher.suspect(it.usable())
        await settle()
        assert it.usable().value == "1"


@pytest.mark.parametrize("since_the_fetch", [0.5, 600.0])
async def test_the_wall_clock_jumps_ahead(since_the_fetch):
    """The token is expired by the wall: the next caller waits for a new one, also just after the start (NTP)."""
    async with engine(DOWN, numbered) as it:
        (early,) = await it.ask()  # pulls the second try forward, and so may not pull again at once
        assert early.result().value == "1"
        await it.clock.advance(since_the_fetch)
        await it.clock.set_wall(8 * HOUR)
        assert it.refresher.usable() is None
        (caller,) = await it.ask()
        await it.clock.advance(1)
        assert caller.result().value == "2"
        assert it.endpoint.count == 3


async def test_the_wall_clock_jumps_ahead_and_nobody_asks():
    """The loop notices within a nap, and the new token lives by the new time."""
    async with engine(numbered) as it:
        await it.clock.advance(100)
        await it.clock.set_wall(8 * HOUR)
        await it.clock.advance(NAP)
        assert it.usable().value == "1"
        await it.clock.advance(HOUR * 0.72)
        assert it.endpoint.count == 2


async def test_the_wall_clock_is_set_back():
    """An hour back: the token is still served, nothing is fetched before its time, and then once."""
    async with engine(numbered) as it:
        first = it.usable()
        await it.clock.advance(60)
        await it.clock.set_wall(-HOUR)
        for _ in range(int(0.72 * HOUR / 10)):
            await it.clock.advance(10)
            if it.clock.boot() - it.born < 0.725 * HOUR:
                assert it.usable() is first
                assert it.endpoint.count == 1
        await it.clock.advance(60)
        assert it.endpoint.count == 2


async def test_a_token_is_not_kept_longer_because_the_wall_was_set_back():
    """The boot clock, which no one sets, still says when it ends."""
    async with engine(token("one", 600), DOWN) as it:
        await it.clock.set_wall(-8 * HOUR)
        await it.clock.advance(589)
        assert it.usable().value == "one"
        await it.clock.advance(2)
        assert it.refresher.usable() is None


async def test_a_clock_that_is_set_to_and_fro_makes_no_storm():
    """Forty jumps of hours in forty minutes cause a fetch for each that ends a token, and not more."""
    async with engine(numbered) as it:
        for number in range(40):
            await it.clock.set_wall(-5 * HOUR if number % 2 else 5 * HOUR)
            await it.ask()
            await it.clock.advance(60)
        assert it.endpoint.count <= 41


async def test_a_jump_while_a_token_is_on_its_way():
    """What the clock overtook on the way is a failed fetch, and the next one follows within a second."""
    gate = asyncio.Event()
    async with engine(token("0", gate=gate), token("1")) as it:
        (caller,) = await it.ask()
        await it.clock.set_wall(8 * HOUR)
        gate.set()
        await settle()
        await it.clock.advance(1)
        assert caller.result().value == "1"
        assert it.endpoint.count == 2


async def test_after_a_sleep_without_a_network():
    """Until it is back callers are told to come again; then a token is there within half a minute, by itself."""
    async with engine(numbered) as it:
        it.endpoint.script = [DOWN]
        await it.clock.suspend(8 * HOUR)
        callers = await it.ask(3)
        await it.clock.advance(120)
        assert all(isinstance(result, Exception) for result in await gathered(callers))
        it.endpoint.script = [token("back")]
        await it.clock.advance(30)
        assert it.usable().value == "back"


async def test_a_stopped_process_goes_on():
    """SIGSTOP for twenty minutes: clocks run, timers are late, and the token in use is a good one afterwards."""
    async with engine(lambda number: token(str(number), 300)) as it:
        await it.clock.advance(100)
        await it.clock.suspend(20 * 60)
        (caller,) = await it.ask()
        assert caller.result().value == "1"
        assert caller.result() is it.usable()


async def test_a_nap_ends_when_a_caller_needs_it():
    """The wait for the next fetch is left at once by a caller without a token, whatever the timers say."""
    async with engine(token("one", 100), token("two")) as it:
        await it.clock.suspend(95)
        before = it.clock.next_timer
        (caller,) = await it.ask()
        assert caller.result().value == "two"
        assert before > 1
