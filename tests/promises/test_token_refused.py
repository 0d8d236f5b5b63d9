"""What only a person can mend is said at once, with Okta's error and the remedy; and it heals without a restart."""

import asyncio
import json

import pytest
from clocks import DOWN, Says, engine, gathered, refusal, scene, settle, token
from kit import CLIENT_SECRET, GET, ask

from proxy.config import Secret
from proxy.emulator import faults
from proxy.emulator.answers import api_error
from proxy.errors import TokenRefusedError

WRONG = "not-the-secret-0815"


def make(**attributes):
    """Return what changes these attributes of the emulated Okta before the start."""

    def change(okta):
        for name, value in attributes.items():
            setattr(okta, name, value)

    return change


REFUSALS = {
    "wrong secret": ({"oauth": {"client_secret": Secret(WRONG)}}, "invalid_client", "oauth.client_secret"),
    "unknown client": ({"oauth": {"client_id": "0oa1unknown"}}, "invalid_client", "oauth.client_id"),
    "unknown scope": ({"oauth": {"scopes": ("api.reed",)}}, "invalid_scope", "oauth.scopes"),
    "no scope": ({"oauth": {"scopes": ()}}, "invalid_scope", "oauth.scopes"),
    "openid": ({"oauth": {"scopes": ("openid",)}}, "invalid_scope", "Remove openid"),
    "no policy": ({"before": make(policy=False)}, "access_denied", "Access Policies"),
    "DPoP": ({"before": make(dpop_required=True)}, "invalid_dpop_proof", "Untick"),
    "other server": (
        {"before": lambda okta: okta.always(api_error(404, "E0000007", "Not found: aus1 (AuthorizationServer)"))},
        "E0000007",
        "oauth.issuer",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_told_at_once(case):
    """502 `token_refused` without any wait: Okta's error, the remedy with its key or place, never a secret."""
    options, error, remedy = REFUSALS[case]
    async with scene(**options) as it:
        status, headers, body = await ask(it.app, GET)
        document = json.loads(body)
        assert (status, document["status"], document["code"]) == (502, 502, "token_refused")
        assert error in document["detail"]
        assert remedy in document["detail"]
        fields = dict(headers)
        assert fields["Content-Type"] == "application/problem+json"
        assert fields["Proxy-Status"] == "okta-proxy; error=proxy_configuration_error"
        assert "Retry-After" not in fields
        shown = f"{headers} {body!r} {it.app.tokens!r} {it.app.overview()!r}"
        assert CLIENT_SECRET not in shown
        assert WRONG not in shown
        assert it.api.requests == []
        for _ in range(5):
            assert (await ask(it.app, GET))[0] == 502
        assert it.okta.token_requests.total == 1


async def test_the_usual_refusal_in_full():
    """What a person reads who mistyped the secret."""
    async with scene(oauth={"client_secret": Secret(WRONG)}) as it:
        _, _, body = await ask(it.app, GET)
        assert json.loads(body)["detail"] == (
            "The token endpoint answered 401, invalid_client: "
            "The client secret supplied for a confidential client is invalid. "
            "Likely cause: the client secret is wrong. "
            "Copy it again into oauth.client_secret or its file; is it active? "
            "(Okta: Applications > Applications > your app > General > Client Credentials)."
        )


async def test_a_corrected_secret_file_heals_within_a_second(tmp_path):
    """No restart: the file is looked at each second while Okta refuses."""
    path = tmp_path / "secret"
    path.write_text(WRONG)
    async with scene(oauth={"client_secret": None, "client_secret_file": str(path)}) as it:
        assert (await ask(it.app, GET))[0] == 502
        await it.pass_time(5)
        assert it.okta.token_requests.total == 1
        path.write_text(CLIENT_SECRET + "\n")
        await it.pass_time(1)
        assert (await ask(it.app, GET))[0] == 200
        assert it.okta.token_requests.total == 2


async def test_a_secret_file_that_comes_later(tmp_path):
    """A missing file is a refusal that names the key; when it is there all is well within a second."""
    path = tmp_path / "secret"
    async with scene(oauth={"client_secret": None, "client_secret_file": str(path)}) as it:
        status, _, body = await ask(it.app, GET)
        assert (status, json.loads(body)["code"]) == (502, "token_refused")
        assert "oauth.client_secret_file cannot be read: No such file or directory" in json.loads(body)["detail"]
        assert str(tmp_path) not in body.decode()
        path.write_text(CLIENT_SECRET)
        await it.pass_time(1)
        assert (await ask(it.app, GET))[0] == 200


async def test_a_secret_file_that_goes_keeps_the_token(tmp_path):
    """An unreadable file is no client's business while the token lives, and the log says so once."""
    path = tmp_path / "secret"
    path.write_text(CLIENT_SECRET)
    async with scene(lifetime=300, oauth={"client_secret": None, "client_secret_file": str(path)}) as it:
        assert (await ask(it.app, GET))[0] == 200
        path.write_text("\n")
        await it.pass_time(280)
        assert it.app.tokens.failure.message == "oauth.client_secret_file is empty."
        assert (await ask(it.app, GET))[0] == 200
        await it.pass_time(20)
        assert (await ask(it.app, GET))[0] == 502
        path.write_text(CLIENT_SECRET)
        await it.pass_time(1)
        assert (await ask(it.app, GET))[0] == 200


async def test_a_rotated_secret_is_used_with_the_next_refresh(tmp_path):
    """The old one is withdrawn and the file has the new one: no request fails."""
    path = tmp_path / "secret"
    path.write_text(CLIENT_SECRET)
    async with scene(lifetime=300, oauth={"client_secret": None, "client_secret_file": str(path)}) as it:
        assert (await ask(it.app, GET))[0] == 200
        it.okta.accept("the-next-secret")
        path.write_text("the-next-secret")
        for _ in range(40):
            await it.pass_time(10)
            assert (await ask(it.app, GET))[0] == 200
        assert {request.status for request in it.okta.token_requests} == {200}


async def test_a_secret_that_was_changed_before_the_refusal_is_no_news(tmp_path):
    """Only a change after the refused request is a reason to try before the minute is over."""
    path = tmp_path / "secret"
    path.write_text("good")
    steps = token("one", 600), refusal("invalid_client_secret")
    async with engine(*steps, client_secret=None, client_secret_file=str(path)) as it:
        path.write_text("this one is wrong")
        await it.clock.advance(436)
        assert it.endpoint.count == 2
        await it.clock.advance(55)
        assert it.endpoint.count == 2


async def test_a_refusal_is_tried_again_each_minute():
    """Straight to 60 s, for ever: the console may have been put right."""
    async with engine(*[refusal("no_matching_policy")] * 5, token("one"), chance=lambda: 0.01) as it:
        await it.clock.advance(301)
        assert it.times == pytest.approx([0, 60, 120, 180, 240, 300], abs=0.01)
        assert it.usable().value == "one"


async def test_callers_cannot_hurry_a_refusal():
    """No request pulls the next try forward, and none waits."""
    async with engine(refusal("invalid_client_secret")) as it:
        for _ in range(59):
            (result,) = await gathered(await it.ask())
            assert isinstance(result, TokenRefusedError)
            await it.clock.advance(1)
        assert it.endpoint.count == 1


async def test_a_refusal_while_a_token_is_there_is_nobodys_business():
    """Callers are served to the token's last use, then they are told."""
    async with engine(token("one", 600), refusal("no_matching_policy")) as it:
        await it.clock.advance(589)
        (result,) = await gathered(await it.ask())
        assert result.value == "one"
        await it.clock.advance(2)
        (result,) = await gathered(await it.ask())
        assert isinstance(result, TokenRefusedError)
        assert "Access Policies" in result.detail


async def test_the_last_failure_decides_what_callers_are_told():
    """After a refusal an outage is told as one, and the other way round."""
    async with engine(refusal("invalid_client_id"), DOWN, chance=lambda: 0.999) as it:
        await it.clock.advance(60.5)
        (caller,) = await it.ask()
        assert not caller.done()  # the next try is near, and it waits for it
        it.endpoint.script = [refusal("invalid_client_id")]
        await it.clock.advance(5)
        assert isinstance(caller.exception(), TokenRefusedError)


async def test_a_clock_that_differs_is_no_refusal():
    """It heals when the clock is set: tried again soon, and the text says what to do."""
    async with engine(refusal("client_assertion_expired_token"), token("one")) as it:
        assert "NTP" in it.refresher.failure.detail
        (caller,) = await it.ask()
        await it.clock.advance(1)
        assert caller.result().value == "one"


async def test_a_refusal_during_a_forced_refresh_keeps_the_token_in_use():
    """A token that was suspected and cannot be replaced is still given out."""
    async with engine(token("one"), refusal("invalid_client_secret")) as it:
        one = it.usable()
        it.refresher.suspect(one)
        await settle()
        assert it.endpoint.count == 2
        assert it.usable() is one
        assert await it.refresher.successor(one) is None


async def test_a_secret_that_is_replaced_during_the_fetch(tmp_path):
    """The refusal was for the old one: the new one is tried at once."""
    path = tmp_path / "secret"
    path.write_text("old")
    gate = asyncio.Event()
    refused = Says(401, b'{"error":"invalid_client"}', gate=gate)
    async with engine(refused, token("one"), client_secret=None, client_secret_file=str(path)) as it:
        path.write_text("the new one")
        gate.set()
        await settle()
        assert it.usable().value == "one"


@pytest.mark.parametrize("name", ["invalid_client_secret", "no_matching_policy", "use_dpop_nonce"])
async def test_a_refusal_is_logged_once_as_an_error(name):
    """Not with each try, for it lasts until somebody acts."""
    async with engine(refusal(name)) as it:
        await it.clock.advance(590)
        (entry,) = it.logged("token_refresh_failed")
        assert (entry["log_level"], entry["outcome"]) == ("error", "refused")
        assert it.endpoint.count == 10


def test_the_faults_used_here_are_oktas():
    """The emulator refuses with each of the names in this file."""
    for name in ("invalid_client_secret", "no_matching_policy", "use_dpop_nonce", "invalid_client_id"):
        assert faults.Refused(name).name == name
