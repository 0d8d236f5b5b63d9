"""No caller ever gets an expired token, and none fails, however short the tokens live."""

import asyncio
import random
import time

import aiohttp
import pytest
from clocks import DOWN, Says, engine, gathered, settle, token
from kit import CLIENT_ID, CLIENT_SECRET, settings

from proxy.app import App
from proxy.emulator import AuthorizationServer, EchoApi

MINUTES = 20
LIFE = 6.0


async def play(script, *, minutes=MINUTES, every=0.1, seed=1):
    """Let a caller ask *every* tenth of a second for so many minutes; return the engine and what the callers got."""
    chance = random.Random(seed)  # noqa: S311  # repeatable
    async with engine(script, chance=chance.random) as it:
        got, callers = [], []

        async def call():
            given = await it.refresher.token()
            got.append((it.clock.boot(), it.clock.wall(), given))

        for _ in range(int(minutes * 60 / every)):
            callers.append(asyncio.create_task(call()))
            await it.clock.advance(every)
        await it.clock.advance(10)
        failures = [result for result in await gathered(callers) if result is not None]
        return it, got, failures


def assert_all_fresh(got):
    """Assert that each token was usable by both clocks when it was given out."""
    for boot, wall, given in got:
        assert boot < given.unusable_boot
        assert wall < given.unusable_wall


@pytest.mark.parametrize("takes", [0.0, 0.3, 1.9])
async def test_twenty_minutes_of_traffic_on_tokens_of_six_seconds(takes):
    """Ten calls a second: none fails, none gets a token in its last second, and each token is fetched once."""
    it, got, failures = await play(lambda number: token(str(number), LIFE, takes=takes))
    assert failures == []
    assert len(got) == MINUTES * 600
    assert_all_fresh(got)
    # One each three seconds, and never two at a time.
    assert MINUTES * 60 / 3.5 < it.endpoint.count <= MINUTES * 60 / 3 + 5
    assert it.endpoint.most_at_once == 1


async def test_twenty_minutes_with_an_endpoint_that_fails_now_and_then():
    """One fetch in four fails, up to three in a row: still no caller does, for there is time to try again."""
    chance = random.Random(7)  # noqa: S311  # repeatable
    failures_of_all_kinds = [DOWN, Says(500), Says(502, b"<html>"), Says(200, b"{"), RuntimeError("our bug")]
    in_a_row = 0

    def script(number):
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if in_a_row < 3 and chance.random() < 0.25 else 0
        return chance.choice(failures_of_all_kinds) if in_a_row else token(str(number), LIFE, takes=0.2)

    it, got, failures = await play(script)
    assert failures == []
    assert_all_fresh(got)
    assert it.endpoint.count < MINUTES * 60 / 3 * 2.5
    assert sum(it.refresher.outcomes.values()) - it.refresher.outcomes["ok"] > 50


async def test_twenty_minutes_while_the_clocks_are_set_about():
    """The wall clock jumps to and fro every minute, the machine sleeps now and then: nobody gets an expired token."""
    chance = random.Random(3)  # noqa: S311  # repeatable
    async with engine(lambda number: token(str(number), LIFE, takes=0.2), chance=chance.random) as it:
        got, callers = [], []

        async def call():
            given = await it.refresher.token()
            got.append((it.clock.boot(), it.clock.wall(), given))

        for step in range(MINUTES * 60):
            callers.append(asyncio.create_task(call()))
            if step % 60 == 30:
                await it.clock.set_wall(chance.choice([-3600, -30, -2, 2, 30, 3600, 8 * 3600]))
            if step % 100 == 50 and not it.endpoint.running:  # who waits meanwhile has waited beyond the patience
                await it.clock.suspend(chance.choice([3, 60, 8 * 3600]))
            await it.clock.advance(1)
        await it.clock.advance(10)
        assert [result for result in await gathered(callers) if result is not None] == []
        assert len(got) == MINUTES * 60
        assert_all_fresh(got)
        assert it.endpoint.count < MINUTES * 60 / 3 * 1.3


async def test_a_token_is_replaced_while_callers_hold_the_old_one():
    """A request keeps the token that it was given; a refresh changes what the next one gets and nothing else."""
    async with engine(lambda number: token(str(number), 100)) as it:
        held = it.usable()
        await it.clock.advance(51)
        assert it.usable() is not held
        assert (held.value, held.scheme) == ("0", "Bearer")
        await settle()
        assert it.usable().value == "1"


async def test_twenty_real_seconds_on_tokens_of_six_seconds():
    """The whole proxy at twenty requests a second, and an API that verifies each token without leeway: no failure."""
    seconds, rate = 20, 20
    async with (
        AuthorizationServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, lifetime=LIFE) as okta,
        EchoApi(okta) as api,
        App(settings(api.base_url, okta.token_url), environ={}) as app,
        aiohttp.ClientSession() as client,
    ):

        async def call(number):
            async with client.get(f"{app.url}/{number}") as response:
                await response.read()
                return response.status

        started = time.monotonic()
        calls = []
        for number in range(seconds * rate):
            calls.append(asyncio.create_task(call(number)))
            await asyncio.sleep(started + (number + 1) / rate - time.monotonic())
        statuses = await asyncio.gather(*calls)
        assert statuses == [200] * (seconds * rate)
        assert app.counters.replays == 0
        # One each three seconds: the first, and six to eight more.
        assert 6 <= okta.token_requests.total <= 9
        used = {value for request in api.requests for value in request.values("Authorization")}
        assert len(used) >= 6
