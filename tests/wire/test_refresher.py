"""The refresher on a scripted endpoint and a hand-moved clock: when it fetches, what it publishes, what it says."""

import asyncio
from itertools import pairwise

import pytest
from clocks import DOWN, HandClock, Says, engine, gathered, refusal, settle, token

from proxy.errors import TokenUnavailableError
from proxy.tokens.failure import Failure
from proxy.tokens.refresher import Refresher


@pytest.mark.parametrize(("chance", "after"), [(0.0, 2520.0), (0.5, 2610.0), (0.9999, 2699.9)])
async def test_a_token_is_refreshed_ahead(chance, after):
    """An hour's token is fetched anew between 70 and 75 % of its life, with nobody asking."""
    async with engine(token("one"), token("two"), chance=lambda: chance) as it:
        assert it.usable().value == "one"
        await it.clock.advance(after - 1)
        assert it.endpoint.count == 1
        await it.clock.advance(2)
        assert it.times == pytest.approx([0.0, after], abs=0.2)
        assert it.usable().value == "two"


async def test_short_tokens_are_refreshed_at_half_their_life():
    """A token that lives 6 s is fetched anew every 3 s."""
    async with engine(lambda number: token(str(number), 6)) as it:
        await it.clock.advance(12.5)
        assert it.times == pytest.approx([0, 3, 6, 9, 12], abs=0.01)


async def test_a_life_counts_from_the_sending():
    """Half a minute on the way is half a minute less to live, and the refresh comes so much earlier."""
    async with engine(token("one", 300, takes=6.0), token("two")) as it:
        await it.clock.advance(6)
        first = it.usable()
        assert first.expires_boot == pytest.approx(it.born + 300)
        await it.clock.advance(300 * 0.725 - 6 - 0.5)
        assert it.endpoint.count == 1
        await it.clock.advance(1)
        assert it.endpoint.count == 2


async def test_a_day_is_the_longest_life():
    """A token that claims to live a year is fetched anew within the day."""
    async with engine(token("one", 365 * 86_400), token("two")) as it:
        await it.clock.advance(0.75 * 86_400)
        assert it.usable().value == "two"


async def test_no_nap_is_longer_than_15_seconds():
    """However far the next fetch is, the clocks are asked again every 15 s."""
    async with engine(token("one")) as it:
        for _ in range(200):
            assert 0 < it.clock.next_timer <= 15.0
            await it.clock.advance(7.3)
        assert it.endpoint.count == 1


async def test_a_usable_token_is_given_without_waiting():
    """`usable` and `token` answer from what is there: nothing is awaited while a fetch hangs."""
    gate = asyncio.Event()
    async with engine(token("one", 100), token("two", 100, gate=gate)) as it:
        await it.clock.advance(51)
        assert it.endpoint.running == 1
        current = it.usable()
        caller = it.refresher.token()
        with pytest.raises(StopIteration) as returned:
            caller.send(None)
        assert returned.value.value is current
        gate.set()
        await settle()
        assert it.usable().value == "two"


async def test_the_last_seconds_of_a_token_are_not_given_out():
    """A token is given until a tenth of its life is left, and not one moment longer."""
    async with engine(token("one", 50), DOWN) as it:
        await it.clock.advance(44.9)
        assert it.usable().value == "one"
        await it.clock.advance(0.2)
        assert it.refresher.usable() is None


@pytest.mark.parametrize("life", [1.01, 1.5, 2, 3])
async def test_the_shortest_lives_make_no_hot_loop(life):
    """Tokens that run out at once are fetched once a second at most."""
    async with engine(lambda number: token(str(number), life)) as it:
        await it.clock.advance(60)
        assert 20 <= it.endpoint.count <= 61
        assert min(b - a for a, b in pairwise(it.times)) >= 0.999


async def test_callers_of_the_shortest_lives_make_no_hot_loop():
    """Twenty calls a second for tokens that are useless at once: one fetch a second, and a pull now and then."""
    async with engine(lambda number: token(str(number), 1.01)) as it:
        for _ in range(400):
            await it.ask()
            await it.clock.advance(0.05)
        assert it.endpoint.count <= 20 + 20 / 5 + 1
        await it.clock.advance(1)


async def test_a_token_that_had_run_out_when_it_arrived_is_a_failure():
    """It is never given out, has a name, and the next try waits as after any failure."""
    async with engine(lambda number: token(str(number), 5, takes=7.0)) as it:
        await it.clock.advance(7.01)
        assert it.refresher.usable() is None
        failure = it.refresher.failure
        assert failure is not None
        assert failure.outcome == "failed"
        assert "run out when it arrived" in failure.detail
        await it.clock.advance(600)
        assert it.endpoint.count < 30


@pytest.mark.parametrize(("failure", "ceiling"), [(DOWN, 15.0), (Says(500), 60.0), (Says(429), 60.0)])
async def test_retries_go_on_for_ever_with_growing_gaps(failure, ceiling):
    """Full jitter: half of 1, 2, 4 and so on with a chance of one half, until the ceiling; hours later too."""
    async with engine(failure) as it:
        await it.clock.advance(4 * 3600)
        gaps = [b - a for a, b in pairwise(it.times)]
        assert gaps[:4] == pytest.approx([0.5, 1.0, 2.0, 4.0], abs=0.01)
        assert gaps[-1] == pytest.approx(ceiling / 2, abs=0.01)
        assert max(gaps) <= ceiling
        assert len(gaps) > 4 * 3600 / ceiling


async def test_a_success_ends_the_backoff():
    """After a token has come the next failure is waited for as the first one is."""
    async with engine(*[DOWN] * 8, token("one", 100), DOWN) as it:
        await it.clock.advance(120)
        succeeded = 8
        gaps = [b - a for a, b in pairwise(it.times[succeeded + 1 :])]
        assert gaps[:3] == pytest.approx([0.5, 1.0, 2.0], abs=0.01)


async def test_a_failed_refresh_keeps_the_token():
    """While refreshing fails in every way the token that is there is given out, the same object, to its last use."""
    failures = [DOWN, Says(500), refusal("invalid_client_secret"), RuntimeError("our bug"), Says(200, b"<html>")]
    async with engine(token("one", 1000), *failures, DOWN) as it:
        first = it.usable()
        for _ in range(980):
            await it.clock.advance(1)
            assert it.refresher.usable() is first
        assert it.endpoint.count > 6
        await it.clock.advance(11)
        assert it.refresher.usable() is None


async def test_a_bug_of_ours_does_not_end_the_loop():
    """An exception from the endpoint is a failure with a traceback in the log, and the next try succeeds."""
    async with engine(RuntimeError("boom"), token("one")) as it:
        assert it.refresher.failure is not None
        assert "internal error" in it.refresher.failure.detail
        assert "boom" not in it.refresher.failure.detail
        assert it.logged("token_fetch_crashed")
        await it.clock.advance(1)
        assert it.usable().value == "one"


async def test_one_fetch_at_a_time():
    """Callers, suspicions, an operator and the schedule together never have two requests under way."""
    async with engine(lambda number: token(str(number), 20, takes=1.5)) as it:
        for step in range(400):
            callers = await it.ask(3)
            current = it.refresher.usable()
            if current is not None:
                it.refresher.suspect(current)
            if step % 50 == 0:
                callers.append(asyncio.create_task(it.refresher.refresh()))
            await it.clock.advance(0.7)
            for caller in callers:
                caller.cancel()
            await gathered(callers)
        assert it.endpoint.most_at_once == 1
        assert it.endpoint.cancelled == 0


async def test_the_first_result_can_be_waited_for():
    """For a start-up that wants to say how it went: a token, a failure, or the time that was given."""
    gate = asyncio.Event()
    async with engine(token("one", gate=gate)) as it:
        hasty = asyncio.create_task(it.refresher.first_result(2))
        patient = asyncio.create_task(it.refresher.first_result(20))
        await it.clock.advance(3)
        assert (hasty.done(), patient.done()) == (True, False)
        gate.set()
        await settle()
        assert patient.done()
        await it.refresher.first_result(20)
    async with engine(DOWN) as it:
        await it.refresher.first_result(20)


async def test_a_person_may_ask_for_a_refresh():
    """`refresh` fetches now and returns the new token; a second one while it runs gets the same."""
    gate = asyncio.Event()
    async with engine(token("one"), token("two", gate=gate), token("three")) as it:
        asked = [asyncio.create_task(it.refresher.refresh()) for _ in range(3)]
        await settle()
        assert it.endpoint.running == 1
        gate.set()
        results = await gathered(asked)
        assert {result.value for result in results} == {"two"}
        assert it.endpoint.count == 2


async def test_a_person_is_told_why_a_refresh_failed():
    """`refresh` returns the failure, and the token that was there stays."""
    async with engine(token("one"), DOWN) as it:
        assert await it.refresher.refresh() is DOWN
        assert it.usable().value == "one"


async def test_a_person_cannot_overrule_a_named_time():
    """While Okta told us to wait, `refresh` sends nothing and says how long it lasts."""
    async with engine(token("one", 100), Says(429, headers={"retry-after": "120"})) as it:
        await it.clock.advance(51)
        assert it.endpoint.count == 2
        result = await it.refresher.refresh()
        assert isinstance(result, Failure)
        assert result.outcome == "limited"
        assert "119 s" in result.message
        assert it.endpoint.count == 2


async def test_operators_see_the_state():
    """Expiry, the last success, the last failure, the next try and the counts, in wall-clock seconds."""
    async with engine(DOWN, token("one", 600), Says(500)) as it:
        refresher, wall = it.refresher, it.clock.wall()
        assert (refresher.expires_at, refresher.refreshed_at, refresher.failed_at) == (None, None, wall)
        assert refresher.failure is DOWN
        assert refresher.next_try_at - wall == pytest.approx(0.5, abs=0.01)
        await it.clock.advance(1)
        assert refresher.failure is None
        assert refresher.refreshed_at - wall == pytest.approx(0.5, abs=0.01)
        assert refresher.expires_at - wall == pytest.approx(600.5, abs=0.01)
        assert refresher.next_try_at - wall == pytest.approx(0.5 + 0.725 * 600, abs=0.01)
        await it.clock.advance(0.725 * 600 - 0.4)
        assert refresher.failed_at - wall == pytest.approx(0.5 + 0.725 * 600, abs=0.01)
        assert dict(refresher.outcomes) == {"ok": 1, "unreachable": 1, "failed": 1}


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (DOWN, "unreachable"),
        (Says(500), "failed"),
        (Says(429), "limited"),
        (refusal("invalid_client_secret"), "refused"),
    ],
)
async def test_each_outcome_is_counted_by_its_name(step, outcome):
    """The names are few and fixed: a metric has one label for each."""
    async with engine(step) as it:
        assert dict(it.refresher.outcomes) == {outcome: 1}


async def test_the_repr_tells_the_state_and_no_secret():
    """Whether there is a usable token and whether one is being fetched."""
    gate = asyncio.Event()
    async with engine(token("tell-nobody", gate=gate)) as it:
        assert repr(it.refresher) == "<Refresher no usable token, fetching>"
        gate.set()
        await settle()
        assert repr(it.refresher) == "<Refresher <Token Bearer *** lives 3600 s>, idle>"


async def test_a_refresh_is_logged_with_oktas_request_id():
    """`token_refreshed` has the lifetime, the next refresh and the id, and not the token."""
    async with engine(token("tell-nobody", headers={"x-okta-request-id": "req-1"})) as it:
        (entry,) = it.logged("token_refreshed")
        assert entry["log_level"] == "info"
        assert (entry["lifetime"], entry["next_refresh_in"], entry["okta_request_id"]) == (3600, 2610, "req-1")
        assert "tell-nobody" not in str(it.log)


@pytest.mark.parametrize(
    ("step", "level"),
    [(Says(503, headers={"x-okta-request-id": "req-1"}), "warning"), (refusal("no_matching_policy"), "error")],
)
async def test_a_failure_is_logged_by_who_can_mend_it(step, level):
    """`warning` for what heals by itself, `error` for what needs a person; with the reason and the remedy."""
    async with engine(step) as it:
        (entry,) = it.logged("token_refresh_failed")
        assert entry["log_level"] == level
        assert entry["reason"].startswith("The token endpoint answered")
        assert entry["usable_token"] is False
        if level == "warning":
            assert entry["okta_request_id"] == "req-1"
        else:
            assert "Access Policies" in entry["remedy"]


async def test_the_same_failure_is_not_logged_with_each_try():
    """Once, and again after ten minutes; another failure is logged at once."""
    async with engine(*[DOWN] * 30, Says(500)) as it:
        await it.clock.advance(200)
        assert len(it.logged("token_refresh_failed")) == 1
        it.endpoint.script = [Says(500), DOWN]
        await it.clock.advance(40)
        assert [entry["outcome"] for entry in it.logged("token_refresh_failed")] == [
            "unreachable",
            "failed",
            "unreachable",
        ]
        await it.clock.advance(620)
        assert len(it.logged("token_refresh_failed")) == 4


async def test_a_missing_lifetime_is_logged_once():
    """The assumed life of 300 s is said with the first token and not again."""
    body = b'{"token_type":"Bearer","access_token":"x"}'
    async with engine(Says(200, body)) as it:
        await it.clock.advance(1000)
        assert it.endpoint.count >= 4
        (entry,) = it.logged("token_lifetime_unknown")
        assert (entry["log_level"], entry["assumed_seconds"]) == ("warning", 300)


async def test_a_caller_without_patience_is_answered_at_once():
    """With `oauth.patience: 0` a request without a token fails now, and the fetch goes on."""
    gate = asyncio.Event()
    async with engine(token("one", gate=gate), patience=0.0) as it:
        with pytest.raises(TokenUnavailableError):
            await it.refresher.token()
        gate.set()
        await settle()
        assert (await it.refresher.token()).value == "one"


async def test_the_loop_ends_only_when_it_is_cancelled():
    """Cancelling ends it at once, also in the middle of a fetch, and leaves nothing running."""
    async with engine(token("one", gate=asyncio.Event())) as it:
        assert it.endpoint.running == 1
    assert it.endpoint.running == 0
    assert it.endpoint.cancelled == 1


async def test_two_refreshers_do_not_move_in_step():
    """Without a chance of its own a refresher takes a random one: a fleet does not ask in the same second."""
    clock = HandClock()
    delays = set()
    for _ in range(5):
        async with engine(token("one"), clock=clock) as it:
            refresher = Refresher(it.refresher._settings, it.endpoint, clock)
            running = asyncio.create_task(refresher.run())
            await settle()
            delays.add(refresher.next_try_at)
            running.cancel()
            await asyncio.wait({running})
    assert len(delays) > 1
