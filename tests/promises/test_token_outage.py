"""Okta is down, slow or limiting us: who has a token notices nothing, the others are told when to come again."""

import asyncio
import json
from email.utils import formatdate
from itertools import pairwise

import pytest
from clocks import DOWN, EPOCH, HandClock, Says, engine, gathered, scene, settle, token
from kit import CLIENT_ID, CLIENT_SECRET, GET, ask, raw_client, settings
from token_servers import closed_port

from proxy.app import App
from proxy.emulator import AuthorizationServer, EchoApi, faults
from proxy.emulator.answers import Answer
from proxy.errors import TokenUnavailableError


async def ready(app):
    """Return the status of `/readyz`."""
    async with raw_client(app.admin_url) as client:
        await client.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return (await client.response())[0]


async def test_down_at_the_start_and_then_up():
    """The listener is there at once, readiness says no, a request is told 503; when Okta is up all is well."""
    clock = HandClock()
    okta = AuthorizationServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, port=closed_port(), clock=clock.wall)
    url = f"http://127.0.0.1:{okta._listener._port}/oauth2/default/v1/token"
    async with (
        EchoApi(okta) as api,
        App(settings(api.base_url, url, oauth={"patience": 0.0}), environ={}, clock=clock) as app,
    ):
        await clock.asleep(1)
        assert await ready(app) == 503
        status, headers, body = await ask(app, GET)
        assert (status, json.loads(body)["code"]) == (503, "token_unavailable")
        assert "refused the connection" in json.loads(body)["detail"]
        assert 1 <= int(dict(headers)["Retry-After"]) <= 15
        for _ in range(30):
            await clock.advance(10, asleep=1)
        async with okta:
            await clock.advance(15, asleep=1)  # no longer than the cap of the backoff
            await clock.asleep(1)
            assert await ready(app) == 200
            assert (await ask(app, GET))[0] == 200
        assert api.requests.total == 1


async def test_a_request_waits_for_the_patience_and_no_longer():
    """While the first fetch is slow a request waits 10 s, then it is told to come again; the fetch goes on."""
    gate = asyncio.Event()
    async with scene(before=lambda okta: okta.fail(faults.Slow(gate))) as it:
        caller = asyncio.create_task(ask(it.app, GET))
        await it.clock.asleep(1)
        await it.clock.advance(9.9)
        assert not caller.done()
        await it.clock.advance(0.2)
        status, headers, body = await caller
        assert (status, json.loads(body)["code"]) == (503, "token_unavailable")
        fields = dict(headers)
        assert fields["Retry-After"] == "1"
        assert fields["Proxy-Status"] == "okta-proxy; error=proxy_internal_error"
        assert fields["Cache-Control"] == "no-store"
        gate.set()
        assert (await ask(it.app, GET))[0] == 200
        assert it.okta.token_requests.total == 1


@pytest.mark.parametrize("fault", [faults.CLOSE, faults.RESET, faults.HTML_500, faults.HTML_200, faults.RATE_LIMITED])
async def test_an_outage_at_the_refresh_is_not_noticed(fault):
    """With a third of its life left the token is used to its end: no client error, then 503, then recovery."""
    async with scene(lifetime=300, oauth={"patience": 0.0}) as it:
        await it.clock.asleep(1)
        assert (await ask(it.app, GET))[0] == 200
        it.okta.always(fault)
        for _ in range(28):
            await it.pass_time(10)
            assert (await ask(it.app, GET))[0] == 200
        assert it.okta.token_requests.total > 2
        it.okta.always(Answer(503, headers=(("Retry-After", "40"),), error="503"))
        await it.pass_time(60)
        status, headers, body = await ask(it.app, GET)
        assert (status, json.loads(body)["code"]) == (503, "token_unavailable")
        planned = it.app.tokens.next_try_at - it.clock.wall()
        assert int(dict(headers)["Retry-After"]) == max(1, -int(-planned // 1))
        assert 0 < planned <= 40
        it.okta.always(None)
        await it.pass_time(41)
        assert (await ask(it.app, GET))[0] == 200


async def test_a_fetch_that_hangs_delays_nobody_who_has_a_token():
    """Requests go through at once while a refresh hangs."""
    gate = asyncio.Event()
    async with scene(lifetime=300, before=lambda okta: okta.fail(faults.Slow(0.0), faults.Slow(gate))) as it:
        assert (await ask(it.app, GET))[0] == 200
        await it.clock.asleep(1)
        await it.clock.advance(226)
        await it.okta.requested(2)
        assert [(await ask(it.app, GET))[0] for _ in range(20)] == [200] * 20
        assert it.okta.issued == 1
        gate.set()


async def test_retry_after_is_the_real_schedule():
    """Each 503 says when the next token request is planned, rounded up."""
    async with engine(Says(503, headers={"retry-after": "120"})) as it:
        for waited, left in ((0, 120), (30.5, 90), (78.4, 12)):
            await it.clock.advance(waited)
            (result,) = await gathered(await it.ask())
            assert isinstance(result, TokenUnavailableError)
            assert dict(result.headers)["Retry-After"] == str(left)
        assert it.endpoint.count == 1


async def test_a_caller_waits_for_a_try_within_its_patience():
    """A failed try with the next one near is waited for."""
    async with engine(Says(503, headers={"retry-after": "9"}), token("one")) as it:
        (caller,) = await it.ask()
        await it.clock.advance(8.9)
        assert not caller.done()
        await it.clock.advance(0.2)
        assert caller.result().value == "one"


async def test_a_caller_is_told_at_once_when_the_next_try_is_too_far():
    """Nobody waits in vain: the next try beyond the patience is a 503 now."""
    async with engine(Says(503, headers={"retry-after": "11"})) as it:
        (caller,) = await it.ask()
        assert isinstance(caller.exception(), TokenUnavailableError)


async def test_a_waiting_request_pulls_the_next_try_forward_once_in_five_seconds():
    """With the backoff at a minute a caller's request causes a try now, further ones within 5 s do not."""
    async with engine(Says(500), chance=lambda: 0.999) as it:
        await it.clock.advance(400)
        before = it.endpoint.count
        for _ in range(40):
            await it.ask(5)
            await it.clock.advance(0.5)
        assert 4 <= it.endpoint.count - before <= 5
        gaps = [b - a for a, b in pairwise(it.times[before:])]
        assert min(gaps) >= 5.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "0"}, 1.0),
        ({"retry-after": "3600"}, 600.0),
        ({"retry-after": formatdate(EPOCH + 30, usegmt=True), "date": formatdate(EPOCH, usegmt=True)}, 30.0),
        ({"x-rate-limit-reset": str(int(EPOCH) + 20), "date": formatdate(EPOCH, usegmt=True)}, 21.0),
        ({"x-rate-limit-reset": str(int(EPOCH) + 20 - 900), "date": formatdate(EPOCH - 900, usegmt=True)}, 21.0),
        ({"x-rate-limit-reset": str(int(EPOCH) - 50), "date": formatdate(EPOCH, usegmt=True)}, 1.0),
    ],
)
async def test_a_time_that_okta_named_is_kept_to(headers, seconds):
    """Callers, a suspicion and a person cannot make it earlier; at the time it is tried."""
    async with engine(token("one", 50), Says(429, headers=headers), token("two")) as it:
        await it.clock.advance(25.5)
        assert it.endpoint.count == 2
        asked = it.clock.boot() - 0.5
        while it.clock.boot() < asked + seconds - 0.6:
            await it.ask(2)
            it.refresher.suspect(it.refresher._token)
            await it.refresher.refresh() if it.clock.boot() < asked + seconds - 1 else None
            await it.clock.advance(0.5)
        assert it.endpoint.count == 2
        await it.clock.advance(1.2)
        assert it.endpoint.count == 3
        assert it.endpoint.asked[2] - it.endpoint.asked[1] == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("headers", [{}, {"retry-after": "abc"}, {"retry-after": "-1"}, {"x-rate-limit-reset": "soon"}])
async def test_a_limit_without_a_time_is_backed_off_from(headers):
    """Garbage names no time: the usual backoff it is, and a caller may pull it forward."""
    async with engine(Says(429, headers=headers), token("one")) as it:
        (caller,) = await it.ask()
        assert caller.result().value == "one"
        assert it.endpoint.count == 2


@pytest.mark.parametrize("skew", [0.0, 3600.0, -3600.0])
async def test_oktas_rate_limit_is_waited_out(skew):
    """The emulated Okta's 429: the client hears the seconds of its reset, by Okta's clock, and then has its token."""
    async with scene(skew=skew, before=lambda okta: okta.fail(faults.RateLimited(reset_in=30))) as it:
        await it.clock.asleep(1)
        status, headers, body = await ask(it.app, GET)
        assert (status, json.loads(body)["code"]) == (503, "token_unavailable")
        assert dict(headers)["Retry-After"] in {"30", "31"}
        assert "E0000047" in json.loads(body)["detail"]
        await it.pass_time(29)
        assert it.okta.token_requests.total == 1
        await it.pass_time(2)
        assert (await ask(it.app, GET))[0] == 200
        assert it.okta.token_requests.total == 2


async def test_an_okta_that_flaps():
    """Every other call fails, for an hour of short tokens: no caller notices."""
    async with engine(lambda number: Says(502) if number % 2 else token(str(number), 30)) as it:
        for _ in range(3600):
            (caller,) = await it.ask()
            await settle()
            assert caller.result().value
            await it.clock.advance(1)
        assert it.endpoint.count < 3600 / 15 * 2.2


async def test_a_recovery_is_noticed_within_the_backoffs_cap():
    """After hours of an outage the first token is there within 15 s if nobody answered, without a caller."""
    async with engine(DOWN, chance=lambda: 0.999) as it:
        await it.clock.advance(3 * 3600)
        it.endpoint.script = [token("back")]
        await it.clock.advance(15)
        assert it.usable().value == "back"
