"""Every bad answer of a token endpoint: a failure with a name, tried again at leisure, and the old token stays."""

import asyncio
import contextlib
import json

import pytest
from clocks import HandClock, logs, oauth_settings
from kit import CLIENT_ID, CLIENT_SECRET

from proxy.emulator import AuthorizationServer, faults
from proxy.emulator.answers import Answer
from proxy.emulator.faults import Altered, Hang, RateLimited, Refused
from proxy.tokens.endpoint import TOTAL_TIMEOUT, TokenEndpoint
from proxy.tokens.refresher import Refresher

LIFE = 300.0


def ok(body, content_type="application/json"):
    """Return a 200 with *body*, as it is or as JSON."""
    return Answer(200, body if isinstance(body, bytes) else json.dumps(body).encode(), content_type)


# What is answered, how it is classed, and a word of its name.
BAD = {
    "html": (faults.HTML_200, "failed", "not a JSON object"),
    "empty": (faults.EMPTY_BODY, "failed", "not a JSON object"),
    "no content": (faults.NO_CONTENT, "failed", "answered 204"),
    "null": (faults.NULL, "failed", "not a JSON object"),
    "list": (faults.EMPTY_LIST, "failed", "not a JSON object"),
    "string": (faults.JSON_STRING, "failed", "not a JSON object"),
    "object": (faults.EMPTY_OBJECT, "failed", "access_token is missing"),
    "truncated": (faults.TRUNCATED_JSON, "failed", "not a JSON object"),
    "not utf-8": (faults.NOT_UTF8, "failed", "not a JSON object"),
    "utf-16": (ok('{"access_token":"x"}'.encode("utf-16"), "application/json; charset=utf-16"), "failed", "not a JSON"),
    "deep": (ok(b"[" * 50_000), "failed", "not a JSON object"),
    "10 MB": (Altered(padding=10_000_000), "failed", "larger than 64 KiB"),
    "gzip": (faults.GZIP, "failed", "not a JSON object"),
    "error in a 200": (faults.ERROR_WITH_200, "refused", "invalid_client"),
    "no token": (faults.NO_TOKEN, "failed", "access_token is missing"),
    "number as token": (Altered(access_token=7), "failed", "access_token is missing"),
    "empty token": (Altered(access_token=""), "failed", "access_token is missing"),
    "crlf in the token": (faults.ILLEGAL_TOKEN, "failed", "characters that a header cannot hold"),
    "blank in the token": (Altered(access_token="a b"), "failed", "characters that a header cannot hold"),
    "letters in the token": (Altered(access_token="caf\u00e9"), "failed", "characters that a header cannot hold"),
    "mac": (faults.TOKEN_TYPE_MAC, "failed", "token_type is neither"),
    "number as type": (Altered(token_type=7), "failed", "token_type is neither"),
    "zero": (faults.EXPIRES_IN_ZERO, "failed", "expires_in is not"),
    "negative": (Altered(expires_in=-1), "failed", "expires_in is not"),
    "nan": (ok(b'{"access_token":"x","expires_in":NaN}'), "failed", "expires_in is not"),
    "word as life": (Altered(expires_in="soon"), "failed", "expires_in is not"),
    "list as life": (Altered(expires_in=[3600]), "failed", "expires_in is not"),
    "redirect": (faults.REDIRECT, "failed", "answered 302"),
    "400": (Answer(400), "refused", "answered 400"),
    "401": (Answer(401, b"<html>", "text/html"), "refused", "answered 401"),
    "403": (Refused("disallowed_network_zone"), "refused", "access_denied"),
    "404": (Answer(404), "refused", "answered 404"),
    "408": (Answer(408), "failed", "answered 408"),
    "nonce": (Refused("use_dpop_nonce"), "refused", "use_dpop_nonce"),
    "dpop": (Refused("invalid_dpop_proof_missing_header"), "refused", "invalid_dpop_proof"),
    "maintenance": (Refused("temporarily_unavailable"), "failed", "temporarily_unavailable"),
    "server error": (Refused("server_error"), "failed", "server_error"),
    "500": (faults.HTML_500, "failed", "answered 500"),
    "502": (faults.HTML_502, "failed", "answered 502"),
    "503": (faults.HTML_503, "failed", "answered 503"),
    "504": (Answer(504), "failed", "answered 504"),
    "limited": (RateLimited(reset_in=3), "limited", "E0000047"),
    "limited at once": (faults.CONCURRENCY_LIMITED, "limited", "E0000047"),
    "limited, date": (RateLimited(reset_in=None, retry_after="Fri, 15 Jan 2027 08:00:05 GMT"), "limited", "E0000047"),
    "limited, garbage": (RateLimited(reset_in=None, retry_after="abc"), "limited", "E0000047"),
    "limited, negative": (RateLimited(reset_in=None, retry_after="-1"), "limited", "E0000047"),
    "limited, milliseconds": (RateLimited(reset="1800000000000"), "limited", "E0000047"),
    "hang": (faults.HANG, "unreachable", "did not answer in time"),
    "hang in the body": (faults.HANG_IN_BODY, "unreachable", "did not answer in time"),
    "close": (faults.CLOSE, "unreachable", "closed the connection"),
    "close in the body": (faults.CLOSE_IN_BODY, "failed", "not HTTP as it should be"),
    "reset": (faults.RESET, "unreachable", "the connection broke"),
    "reset in the body": (faults.RESET_IN_BODY, "", "token endpoint"),
}

GOOD = {
    "no life": (faults.NO_EXPIRES_IN, 300.0),
    "string as life": (faults.EXPIRES_IN_STRING, 3600.0),
    "float as life": (Altered(expires_in=3600.5), 3600.5),
    "long life": (Altered(expires_in=10**9), 86_400.0),
    "longest life": (Altered(expires_in=2**63), 86_400.0),
    "endless life": (ok(b'{"access_token":"x","expires_in":1e999}'), 86_400.0),
    "no type": (faults.NO_TOKEN_TYPE, 3600.0),
    "dpop type": (Altered(token_type="DPoP"), 3600.0),
    "20 KB": (Altered(access_token="x" * 20_000), 3600.0),
    "bom": (ok(b'\xef\xbb\xbf{"access_token":"x","expires_in":60}'), 60.0),
    "wrong content type": (ok({"access_token": "x", "expires_in": 60}, "text/plain; charset=nonsense"), 60.0),
}


@contextlib.asynccontextmanager
async def played(fault, lifetime=LIFE, *, begins=True):
    """A refresher on the real endpoint's code and the emulated Okta, which *begins* with *fault*."""
    clock = HandClock()
    async with AuthorizationServer(
        client_id=CLIENT_ID, client_secret=CLIENT_SECRET, lifetime=lifetime, clock=clock.wall
    ) as okta:
        okta.always(fault if begins else None)
        oauth = oauth_settings(token_url=okta.token_url, scopes=("api.read",))
        side = TokenEndpoint(oauth, clock, {}, total_timeout=0.2 if isinstance(fault, Hang) else TOTAL_TIMEOUT)
        with logs() as log:
            refresher = Refresher(oauth, side, clock, chance=lambda: 0.9)
            running = asyncio.create_task(refresher.run())
            await clock.asleep(1)
            try:
                yield clock, okta, refresher, log
                assert not running.done()
            finally:
                running.cancel()
                await asyncio.wait({running})
        assert not [entry for entry in log if entry["event"] == "token_fetch_crashed"]


def check(failure, outcome, named):
    """Assert that the failure is classed and named so, and may be shown."""
    assert failure is not None
    assert outcome in failure.outcome
    assert named in failure.message
    assert CLIENT_SECRET not in failure.detail
    assert failure.detail.isascii()
    assert failure.detail.isprintable()


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_answer_at_the_start(case):
    """It has its name, no token comes of it, tries stay few, and when it is over there is a token."""
    fault, outcome, named = BAD[case]
    async with played(fault) as (clock, okta, refresher, _):
        assert refresher.usable() is None
        check(refresher.failure, outcome, named)
        await clock.advance(5, asleep=1)
        await clock.asleep(1)
        assert okta.token_requests.total <= 4
        okta.always(None)
        await clock.advance(601 if outcome == "limited" else 61, asleep=1)
        await clock.asleep(1)
        assert refresher.usable() is not None
        assert refresher.failure is None


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_answer_at_the_refresh(case):
    """The token that is there is used on, the same one, and the failure has its name."""
    fault, outcome, named = BAD[case]
    async with played(fault, begins=False) as (clock, okta, refresher, log):
        token = refresher.usable()
        assert token is not None
        okta.always(fault)
        await clock.advance(LIFE * 0.76, asleep=1)
        await clock.asleep(1)
        assert okta.token_requests.total > 1
        assert refresher.usable() is token
        check(refresher.failure, outcome, named)
        assert token.value not in str(log)
        assert CLIENT_SECRET not in str(log)


@pytest.mark.parametrize("case", GOOD)
async def test_an_odd_answer_that_is_a_token(case):
    """What can be understood is: the life is bounded, the rest is taken as it is."""
    fault, life = GOOD[case]
    async with played(fault, 3600.0) as (_, okta, refresher, _):
        token = refresher.usable()
        assert token is not None
        assert token.lifetime == life
        assert okta.token_requests.total == 1


async def test_two_answers_in_a_row_are_two_tokens():
    """Each success is published, also when its value is the one of the last."""
    async with played(ok({"access_token": "same", "expires_in": 60})) as (clock, _, refresher, _):
        first = refresher.usable()
        await clock.advance(31, asleep=1)
        await clock.asleep(1)
        second = refresher.usable()
        assert first is not second
        assert first.value == second.value == "same"


def test_every_fault_of_the_emulator_is_played():
    """A fault that the emulator learns must come into the tables here."""
    played_here = [fault for fault, *_ in [*BAD.values(), *GOOD.values()]]
    elsewhere = [faults.REVOKED_TOKEN, faults.EXPIRED_TOKEN, faults.HUGE, faults.RATE_LIMITED]
    assert [name for name, fault in faults.NAMED.items() if fault not in played_here + elsewhere] == []
