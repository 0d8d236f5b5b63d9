"""The upstream's 401: one refresh, one replay, never a storm, and else the original answer."""

import asyncio
from itertools import pairwise

import pytest
from clocks import DOWN, HandClock, Says, engine, refusal, scene, settle, token
from kit import GET, OK, RawUpstream, always, ask, raw_client

from proxy.emulator import faults

INVALID = b'WWW-Authenticate: Bearer error="invalid_token"\r\n'


def unauthorized(*fields):
    """Return a 401 with these header lines and words of the upstream's own."""
    body = b"the upstream's own words"
    return b"HTTP/1.1 401 Unauthorized\r\n%bContent-Length: %d\r\n\r\n%b" % (b"".join(fields), len(body), body)


def request(method, body=b""):
    """Return a request's bytes."""
    return b"%b /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (method, len(body), body)


@pytest.mark.parametrize("data", [GET, request(b"POST", b"x" * 60_000), request(b"DELETE"), request(b"PATCH", b"{}")])
async def test_a_revoked_token_is_replaced_and_the_request_sent_again(data):
    """The client sees a 200 and nothing else: one forced refresh, one replay, the body whole."""
    async with scene() as it:
        assert (await ask(it.app, GET))[0] == 200
        it.okta.revoke_all()
        status, _, _ = await ask(it.app, data)
        assert status == 200
        assert it.okta.token_requests.total == 2
        assert it.app.counters.replays == 1
        refused, replayed = it.api.requests[1:]
        assert (refused.status, replayed.status) == (401, 200)
        assert (refused.method, refused.target) == (replayed.method, replayed.target)
        assert replayed.body_sha256 == refused.body_sha256
        assert replayed.body_length == len(data.partition(b"\r\n\r\n")[2])
        assert replayed.values("Authorization") != refused.values("Authorization")


async def test_a_crowd_with_a_revoked_token_causes_one_refresh():
    """A hundred requests at once are all answered 200, by one more token."""
    async with scene() as it:
        assert (await ask(it.app, GET))[0] == 200
        it.okta.revoke_all()
        answers = await asyncio.gather(*[ask(it.app, GET) for _ in range(100)])
        assert [status for status, _, _ in answers] == [200] * 100
        assert it.okta.token_requests.total == 2


async def test_an_upstream_that_refuses_every_token_causes_two_refreshes():
    """Two hundred requests in a storm of 401s: the original answers, and at most two token requests in 30 s."""
    async with RawUpstream(always(unauthorized(INVALID))) as upstream, scene(upstream=upstream.url) as it:
        for _ in range(10):
            answers = await asyncio.gather(*[ask(it.app, GET) for _ in range(20)])
            assert {(status, body) for status, _, body in answers} == {(401, b"the upstream's own words")}
            assert all(("WWW-Authenticate", 'Bearer error="invalid_token"') in headers for _, headers, _ in answers)
            await it.pass_time(2.9)
        assert it.okta.token_requests.total == 3  # the first one, and two that were forced
        await it.pass_time(4)  # 30 s after the second
        await ask(it.app, GET)
        assert it.okta.token_requests.total == 4


async def test_the_second_answer_is_the_clients():
    """A replay that is refused too is not tried a third time: its answer goes to the client as it is."""
    answers = iter([unauthorized(INVALID), unauthorized(b"X-Second: yes\r\n", INVALID)])

    async def script(upstream, connection):
        while True:
            await upstream.request(connection)
            await connection.send(next(answers))

    async with RawUpstream(script) as upstream, scene(upstream=upstream.url) as it:
        status, headers, _ = await ask(it.app, GET)
        assert (status, dict(headers)["X-Second"]) == (401, "yes")
        assert len(upstream.heads) == 2
        assert upstream.heads[0] != upstream.heads[1]


REPLAYED = [
    (GET, b""),
    (GET, b'WWW-Authenticate: Basic realm="x"\r\n'),
    (request(b"OPTIONS"), b""),
    (request(b"POST", b"{}"), b"WWW-Authenticate: Bearer\r\n"),
    (request(b"POST", b"{}"), b'WWW-Authenticate: Bearer realm="x"\r\n'),
    (request(b"PUT", b"{}"), b'WWW-Authenticate: Basic realm="x", bearer error=invalid_token\r\n'),
    (request(b"POST", b"{}"), b'WWW-Authenticate: DPoP error="use_dpop_nonce"\r\n'),
    (request(b"POST", b"x" * 65_536), INVALID),
]


@pytest.mark.parametrize(("data", "challenge"), REPLAYED)
async def test_what_may_be_replayed_is(data, challenge):
    """A safe method always; another one when a Bearer or DPoP challenge says that nothing was done with it."""
    body = data.partition(b"\r\n\r\n")[2]
    bodies = []

    async def script(upstream, connection):
        while True:
            await upstream.request(connection)
            bodies.append(await connection.exactly(len(body)))
            await connection.send(unauthorized(challenge) if len(bodies) == 1 else OK)

    async with RawUpstream(script) as upstream, scene(upstream=upstream.url) as it:
        assert (await ask(it.app, data))[0] == 200
        assert bodies == [body, body]
        assert it.okta.token_requests.total == 2


NEVER_REPLAYED = [
    (GET, b'WWW-Authenticate: Bearer error="insufficient_scope"\r\n', 1),
    (request(b"POST", b"{}"), b"", 2),
    (request(b"POST", b"{}"), b'WWW-Authenticate: Bearer error="invalid_request"\r\n', 2),
    (request(b"POST", b"{}"), b'WWW-Authenticate: Basic realm="x"\r\n', 2),
    (request(b"POST", b"x" * 200_000), INVALID, 2),
]


@pytest.mark.parametrize(("data", "challenge", "requests"), NEVER_REPLAYED)
async def test_what_may_not_be_replayed_gets_the_original_401(data, challenge, requests):
    """A body that is too large, an unsafe method without a token's challenge, a scope that is missing."""

    async def script(upstream, connection):
        head = await upstream.request(connection)
        length = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b": 0")
        await connection.exactly(int(length.split(b":")[1]))
        await connection.send(unauthorized(challenge))

    async with RawUpstream(script) as upstream, scene(upstream=upstream.url) as it:
        status, headers, body = await ask(it.app, data)
        assert (status, body) == (401, b"the upstream's own words")
        assert len(upstream.heads) == 1
        assert "Proxy-Status" not in dict(headers)
        await it.okta.requested(requests)
        await it.clock.asleep(1)
        assert it.okta.token_requests.total == requests


async def test_a_403_is_not_the_tokens_fault():
    """Only a 401 is answered with a refresh."""
    forbidden = unauthorized(INVALID).replace(b"401 Unauthorized", b"403 Forbidden")
    async with RawUpstream(always(forbidden)) as upstream, scene(upstream=upstream.url) as it:
        assert (await ask(it.app, GET))[0] == 403
        assert it.okta.token_requests.total == 1


async def test_a_late_401_for_an_old_token_changes_nothing():
    """It arrives after a newer token is there: nothing is fetched, and the request is sent again with the newer one."""
    gates = {b"/slow": asyncio.Event()}
    seen = asyncio.Event()

    async def script(upstream, connection):
        while True:
            head = await upstream.request(connection)
            if b"GET /slow" in head and head.count(b"Bearer") and not gates[b"/slow"].is_set():
                seen.set()
                await gates[b"/slow"].wait()
                await connection.send(unauthorized(INVALID))
            else:
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with RawUpstream(script) as upstream, scene(upstream=upstream.url, lifetime=300) as it:
        slow = asyncio.create_task(ask(it.app, GET.replace(b"GET /", b"GET /slow")))
        await seen.wait()
        await it.clock.asleep(1)
        await it.pass_time(230)  # the scheduled refresh
        assert it.okta.token_requests.total == 2
        gates[b"/slow"].set()
        assert (await slow)[0] == 200
        await settle()
        assert it.okta.token_requests.total == 2
        first, second = (head for head in upstream.heads if b"/slow" in head)
        assert first.split(b"Bearer")[1] != second.split(b"Bearer")[1]


@pytest.mark.parametrize("fault", [faults.Refused("invalid_client_secret"), faults.HTML_500, faults.CLOSE])
async def test_without_a_newer_token_the_original_401_stands(fault):
    """When the forced refresh fails the client gets the upstream's answer, never an error about our token."""
    async with scene() as it:
        assert (await ask(it.app, GET))[0] == 200
        it.okta.revoke_all()
        it.okta.always(fault)
        status, headers, body = await ask(it.app, GET)
        assert status == 401
        assert b"invalid_token" in body
        assert "Proxy-Status" not in dict(headers)


async def test_a_replay_is_waited_for_no_longer_than_the_patience():
    """A refresh that is slow: after 10 s the client gets the original 401."""
    gate = asyncio.Event()
    async with scene() as it:
        assert (await ask(it.app, GET))[0] == 200
        it.okta.revoke_all()
        it.okta.fail(faults.Slow(gate))
        caller = asyncio.create_task(ask(it.app, GET))
        await it.okta.requested(2)
        await it.clock.asleep(1)
        await it.clock.advance(9.9)
        assert not caller.done()
        await it.clock.advance(0.2)
        assert (await caller)[0] == 401
        gate.set()


async def test_a_client_that_leaves_during_the_wait_disturbs_nobody():
    """The forced refresh goes on when the client whose 401 caused it hangs up."""
    gate = asyncio.Event()
    async with scene() as it:
        assert (await ask(it.app, GET))[0] == 200
        it.okta.revoke_all()
        it.okta.fail(faults.Slow(gate))
        async with raw_client(it.app) as client:
            await client.send(GET)
            await it.okta.requested(2)
            await it.clock.asleep(1)
            client.reset()
        gate.set()
        assert (await ask(it.app, GET))[0] == 200
        assert it.okta.token_requests.total == 2


# The refresher's side, on the virtual clock.


async def test_a_suspected_token_stays_in_use_until_there_is_a_newer_one():
    """Others get it while the forced refresh runs."""
    gate = asyncio.Event()
    async with engine(token("one"), token("two", gate=gate)) as it:
        one = it.usable()
        it.refresher.suspect(one)
        await settle()
        assert it.endpoint.running == 1
        assert it.usable() is one
        waiting = asyncio.create_task(it.refresher.successor(one))
        await settle()
        gate.set()
        assert (await waiting).value == "two"


async def test_a_report_for_another_token_changes_nothing():
    """Neither an older token nor one that never was current is suspected."""
    async with engine(lambda number: token(str(number))) as it:
        old = it.usable()
        await it.refresher.refresh()
        for stranger in (old, None):
            it.refresher.suspect(stranger)
        await it.clock.advance(60)
        assert it.endpoint.count == 2
        assert await it.refresher.successor(old) is it.usable()


async def play_refusals(seconds, life=3600.0, every=1.0):
    """Suspect the current token *every* second, as an upstream does that refuses everything; return the times."""
    clock = HandClock()
    async with engine(lambda number: token(str(number), life), clock=clock) as it:
        for _ in range(int(seconds / every)):
            current = it.refresher.usable()
            if current is not None:
                it.refresher.suspect(current)
            await clock.advance(every)
        return it.times


@pytest.mark.parametrize("life", [3600.0, 60.0])
async def test_the_gap_grows_to_five_minutes_while_fresh_tokens_are_refused_too(life):
    """Two at once, then after 30 s, 60 s and so on up to 300 s; scheduled refreshes do not start it anew."""
    times = await play_refusals(2400, life)
    if life == 3600.0:
        gaps = [b - a for a, b in pairwise(times)]
        assert gaps == pytest.approx([0, 1, 30, 60, 120, 240, 300, 300, 300, 300, 300, 300][: len(gaps)], abs=1.01)
        assert len(times) >= 11
    scheduled = 2400 / (life / 2) if life < 120 else 0
    assert len(times) <= scheduled + 14
    for start in times:
        assert len([moment for moment in times if start <= moment < start + 30]) <= 4


async def test_the_count_starts_anew_after_a_token_that_worked():
    """A token that nobody suspected ends the growth: the next revocation is answered at once."""
    async with engine(lambda number: token(str(number))) as it:
        for _ in range(900):
            it.refresher.suspect(it.usable())
            await it.clock.advance(1)
        await it.clock.advance(2 * 2610 + 100)
        before = it.endpoint.count
        it.refresher.suspect(it.usable())
        await settle()
        assert it.endpoint.count == before + 1
        it.refresher.suspect(it.usable())
        await settle()
        assert it.endpoint.count == before + 2


async def test_a_failure_between_does_not_start_the_count_anew():
    """Fresh tokens that are refused count also when a forced refresh failed and was retried."""
    async with engine(lambda number: Says(502) if number % 2 else token(str(number))) as it:
        for _ in range(1200):
            it.refresher.suspect(it.usable())
            await it.clock.advance(1)
        tokens = it.refresher.outcomes["ok"]
        assert tokens <= 10


@pytest.mark.parametrize("step", [Says(429, headers={"retry-after": "100"}), refusal("no_matching_policy")])
async def test_a_401_does_not_overrule_okta(step):
    """While Okta named a time or refuses, no refresh is forced, and nobody waits for one."""
    async with engine(token("one", 100), step) as it:
        await it.clock.advance(51)
        assert it.endpoint.count == 2
        one = it.usable()
        it.refresher.suspect(one)
        assert await it.refresher.successor(one) is None
        await it.clock.advance(30)
        assert it.endpoint.count == 2


async def test_no_successor_comes_when_no_refresh_may_be_forced():
    """Beyond two in 30 s the answer is None at once: requests do not queue behind refreshes."""
    async with engine(lambda number: token(str(number))) as it:
        for _ in range(2):
            it.refresher.suspect(it.usable())
            await settle()
        current = it.usable()
        it.refresher.suspect(current)
        assert await it.refresher.successor(current) is None
        assert it.endpoint.count == 3


async def test_no_successor_comes_from_a_failed_refresh():
    """A forced refresh that fails ends the wait; the retry that follows is not waited for."""
    async with engine(token("one"), DOWN) as it:
        one = it.usable()
        it.refresher.suspect(one)
        assert await it.refresher.successor(one) is None


async def test_suspicions_during_a_fetch_cause_no_second_one():
    """A hundred 401s while the forced refresh runs are answered by it."""
    gate = asyncio.Event()
    async with engine(token("one"), token("two", gate=gate)) as it:
        one = it.usable()
        for _ in range(100):
            it.refresher.suspect(one)
            await settle()
        gate.set()
        await settle()
        await it.clock.advance(60)
        assert it.endpoint.count == 2
