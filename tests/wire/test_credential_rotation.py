"""Several secrets or keys at a time, and new ones while the proxy runs: no fetch is lost."""

import asyncio
import contextlib
import json
from collections import Counter
from urllib.parse import parse_qs

import pytest
from clocks import HandClock, logs
from private_keys import jwk, make, pem, public_jwk
from strict_idp import StrictIdp
from token_servers import RawServer, endpoint, failed, fetched, response

from proxy.config import Secret
from proxy.tokens.answer import read_answer
from proxy.tokens.refresher import Refresher
from proxy.tokens.source import Token

OK = response(200, {"token_type": "Bearer", "access_token": "t", "expires_in": 3600})
TEXT = "The client secret supplied for a confidential client is invalid."


class Secrets:
    """A token endpoint with secrets that may change. An answer for `RawServer`."""

    def __init__(self, *accepted):
        self.accepted = set(accepted)
        self.tried = []
        self.wrong = response(401, {"error": "invalid_client", "error_description": TEXT})

    async def __call__(self, request, writer):
        secret = parse_qs(request.body.decode())["client_secret"][0]
        self.tried.append(secret)
        writer.write(OK if secret in self.accepted else self.wrong)


def with_file(url, path, **oauth):
    """Return our side with a secret file."""
    return endpoint(url, client_secret=None, client_secret_file=str(path), **oauth)


async def test_the_next_secret_is_tried_in_the_same_fetch(tmp_path):
    """The refused one is remembered, so that it is not asked for each time; operators see which one worked."""
    path, idp = tmp_path / "secret", Secrets("old")
    path.write_text("new\nold\n")
    async with RawServer(idp) as server:
        side = with_file(server.url, path)
        first, second = await fetched(side), await fetched(side)
    assert (first.answer.status, first.credential, first.refused) == (200, "2", ("1",))
    assert (second.answer.status, second.credential, second.refused) == (200, "2", ())
    assert idp.tried == ["new", "old", "old"]


async def test_a_rotation_from_its_beginning_to_its_end(tmp_path):
    """New secret made, written above the old one, old one withdrawn, its line removed: each fetch brings a token."""
    path, idp = tmp_path / "secret", Secrets("old")
    path.write_text("old\n")
    async with RawServer(idp) as server:
        side = with_file(server.url, path)
        worked = []
        for accepted, lines in (
            ({"old"}, "old\n"),
            ({"old", "new"}, "old\n"),
            ({"old", "new"}, "new\nold\n"),
            ({"new"}, "new\nold\n"),
            ({"new"}, "new\n"),
        ):
            idp.accepted = accepted
            path.write_text(lines)
            result = await fetched(side)
            assert result.answer.status == 200
            worked.append(idp.tried[-1])
    assert worked == ["old", "old", "new", "new", "new"]
    assert len(idp.tried) == 5


async def test_a_new_secret_that_does_not_work_yet(tmp_path):
    """It is tried first when it is new, and the old one carries on."""
    path, idp = tmp_path / "secret", Secrets("old")
    path.write_text("old\n")
    async with RawServer(idp) as server:
        side = with_file(server.url, path)
        await fetched(side)
        path.write_text("not-active-yet\nold\n")
        for _ in range(2):
            assert (await fetched(side)).answer.status == 200
    assert idp.tried == ["old", "not-active-yet", "old", "old"]


async def test_both_refused_are_tried_once_each(tmp_path):
    """The failure is the server's; the next fetch begins again."""
    path, idp = tmp_path / "secret", Secrets()
    path.write_text("one\ntwo\n")
    async with RawServer(idp) as server:
        side = with_file(server.url, path)
        result = await fetched(side)
    assert idp.tried == ["one", "two"]
    failure = read_answer(result.answer, result.secret)
    assert failure.outcome == "refused"
    assert (result.credential, result.refused) == ("2", ("1",))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_outage_is_no_reason_to_try_another(status, tmp_path):
    """Only `invalid_client` is about the secret."""
    path = tmp_path / "secret"
    path.write_text("one\ntwo\n")
    async with RawServer(response(status, {"error": "invalid_client"})) as server:
        await fetched(with_file(server.url, path))
    assert len(server.requests) == 1


async def test_the_old_secret_is_withdrawn_while_the_server_is_slow(tmp_path):
    """What was refused before the time was over is not tried first again."""
    path, idp = tmp_path / "secret", Secrets("two")
    path.write_text("one\ntwo\n")

    async def hang(request, writer):
        idp.tried.append(parse_qs(request.body.decode())["client_secret"][0])
        writer.transport.abort()

    async with RawServer(idp.wrong, hang, idp) as server:
        side = with_file(server.url, path)
        await failed(side)
        assert (await fetched(side)).answer.status == 200
    assert idp.tried == ["two", "two"]


async def token_of(side):
    """Fetch, and expect a token."""
    result = await fetched(side)
    token = read_answer(result.answer, result.secret)
    assert isinstance(token, Token), token
    return result


@contextlib.asynccontextmanager
async def refreshing(side, clock):
    """Run a refresher on an endpoint."""
    refresher = Refresher(side._settings, side, clock, chance=lambda: 0.5)
    running = asyncio.create_task(refresher.run())
    try:
        yield refresher
    finally:
        running.cancel()
        await asyncio.wait({running})


def key_set(*kids):
    """Return a JWK set of one key for each name."""
    return json.dumps({"keys": [jwk(make("P-256", number_of(kid)), kid=kid) for kid in kids]})


def registered(kid):
    """Return the public key of that name."""
    return public_jwk(make("P-256", number_of(kid)), kid=kid)


def number_of(kid):
    """Return which key has this name."""
    return ["a", "b", "c"].index(kid)


@pytest.mark.parametrize("dpop", [False, True])
async def test_a_key_rotation_in_the_middle(dpop, tmp_path):
    """Keys of a set take over from each other, with DPoP and a nonce too; the one that worked is named by its kid."""
    path = tmp_path / "keys.json"
    path.write_text(key_set("a"))
    idp = StrictIdp(registered("a"), dpop=dpop, nonce="n" if dpop else None)
    worked = []
    async with RawServer(idp) as server:
        side = endpoint(f"{server.url}/token", client_secret=None, private_key_file=str(path), dpop=dpop)
        for keys, kids in ((["a"], "a"), (["a", "b"], "ba"), (["a"], "ba"), (["c", "b"], "ba"), (["c"], "ca")):
            idp.keys = [registered(kid) for kid in keys]
            path.write_text(key_set(*kids))
            worked += [(await token_of(side)).credential for _ in range(2)]
    assert "".join(worked) == "aabbaabbcc"


async def test_a_kubernetes_volume_is_followed(tmp_path):
    """Its files are links through ..data, which is turned to another folder in one step."""
    for name, number in (("..1", 0), ("..2", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key.pem").write_bytes(pem(make("P-256", number)))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key.pem").symlink_to("..data/key.pem")
    idp = StrictIdp(public_jwk(make("P-256")))
    async with RawServer(idp) as server:
        side = endpoint(f"{server.url}/token", client_secret=None, private_key_file=str(tmp_path / "key.pem"))
        await token_of(side)
        idp.keys = [public_jwk(make("P-256", 1))]
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").replace(tmp_path / "..data")
        await token_of(side)
    assert idp.errors == []


async def test_a_key_file_that_is_damaged_while_the_proxy_runs(tmp_path):
    """The failure has the words of the start, and the next good file is used."""
    path = tmp_path / "key.pem"
    path.write_bytes(pem(make("P-256")))
    idp = StrictIdp(public_jwk(make("P-256")))
    async with RawServer(idp) as server:
        side = endpoint(f"{server.url}/token", client_secret=None, private_key_file=str(path))
        await token_of(side)
        for content, said in ((b"", "no private key"), (pem(make("P-256"))[:40], "damaged"), (b"{", "no private key")):
            path.write_bytes(content)
            failure = await failed(side)
            assert failure.outcome == "refused"
            assert said in failure.message
            assert failure.message.startswith("oauth.private_key_file holds ")
        path.unlink()
        failure = await failed(side)
        assert failure.message == "oauth.private_key_file cannot be read: No such file or directory."
        path.write_bytes(pem(make("P-256")))
        await token_of(side)


async def test_a_refusal_heals_within_a_second_of_a_new_key(tmp_path):
    """The refresher looks at the key's file each second while it is refused, and tells which key it is now."""
    path, clock = tmp_path / "key.json", HandClock()
    path.write_text(key_set("a"))
    idp = StrictIdp(registered("b"), clock=clock.wall)
    with logs() as log:
        async with RawServer(idp) as server:
            side = endpoint(f"{server.url}/token", client_secret=None, private_key_file=str(path), clock=clock)
            async with refreshing(side, clock) as refresher:
                await clock.asleep(1)
                assert refresher.failure.outcome == "refused"
                assert "oauth.private_key_id" in refresher.failure.remedy
                assert refresher.credential is None
                await clock.advance(5, asleep=1)
                assert len(server.requests) == 1
                path.write_text(key_set("b", "a"))
                await clock.advance(1, asleep=1)
                await clock.asleep(1)
                assert refresher.failure is None
                assert refresher.credential == "b"
                idp.keys = [registered("a")]
                await refresher.refresh()
                assert refresher.credential == "a"
    (entry,) = [entry for entry in log if entry["event"] == "credential_refused"]
    assert (entry["refused_id"], entry["tried_id"], entry["log_level"]) == ("b", "a", "warning")
    assert Counter(entry["event"] for entry in log)["token_refreshed"] == 2


async def test_nothing_of_what_was_tried_is_printed(tmp_path):
    """The endpoint and its results have a `repr` without secret, key or assertion."""
    path, idp = tmp_path / "secret", Secrets("tell-nobody-2")
    path.write_text("tell-nobody-1\ntell-nobody-2\n")
    async with RawServer(idp) as server:
        side = with_file(server.url, path)
        result = await fetched(side)
    assert (
        "tell-nobody"
        not in f"{side!r} {result!r} {side.__dict__!r} {side._client.__dict__!r} {side._rotation.__dict__!r}"
    )
    shown = endpoint(server.url, client_secret=None, private_key=Secret(pem(make("P-256")).decode()))
    assert "BEGIN" not in f"{shown!r} {shown.__dict__!r} {await shown._client.credentials(1)!r}"
