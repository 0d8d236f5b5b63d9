"""The emulator's small pure parts: rate limit, paths and documents, records, tokens, targets."""

import asyncio
from types import SimpleNamespace

import pytest

from proxy.emulator.documents import metadata
from proxy.emulator.faults import NAMED, Altered, Drop, Hang, RateLimited
from proxy.emulator.journal import Journal
from proxy.emulator.keys import _make_once
from proxy.emulator.listener import Listener, drop, split_target
from proxy.emulator.manner import OKTA, Endpoint
from proxy.emulator.mint import REMEMBERED, Mint
from proxy.emulator.ratelimit import Bucket, headers


def test_a_bucket_counts_down_and_starts_again_when_its_window_ends():
    """N requests pass, the next is refused until the second that `reset` names."""
    bucket = Bucket(2)
    assert bucket.take(1000.5) == (True, 2, 1, 1061)
    assert bucket.take(1001.0) == (True, 2, 0, 1061)
    assert bucket.take(1060.4) == (False, 2, 0, 1061)
    assert bucket.take(1061.0) == (True, 2, 1, 1121)


def test_a_bucket_without_a_limit_never_refuses():
    """It announces Okta's usual number, counts down to nothing, and lets everything pass."""
    bucket = Bucket(None)
    taken = [bucket.take(1000.0) for _ in range(1300)]
    assert all(allowance.allowed for allowance in taken)
    assert headers(taken[0]) == (
        ("x-rate-limit-limit", "1200"),
        ("x-rate-limit-remaining", "1199"),
        ("x-rate-limit-reset", "1060"),
    )
    assert taken[-1].remaining == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/oauth2/v1/token", Endpoint("token", None)),
        ("/oauth2/v1/keys", Endpoint("keys", None)),
        ("/oauth2/default/v1/token", Endpoint("token", "default")),
        ("/oauth2/a%20b/v1/keys", Endpoint("keys", "a b")),
        ("/oauth2/x/.well-known/openid-configuration", Endpoint("openid", "x")),
        ("/oauth2/x/.well-known/oauth-authorization-server", Endpoint("oauth", "x")),
        ("/.well-known/oauth-authorization-server/oauth2/x", Endpoint("oauth", "x")),
        ("/.well-known/openid-configuration", Endpoint("openid", None)),
        ("/.well-known/oauth-authorization-server", Endpoint("oauth", None)),
        ("//oauth2/default/v1/token", None),
        ("/oauth2/default/v1/token/", None),
        ("/oauth2/default/v1/authorize", None),
        ("/.well-known/openid-configuration/oauth2/x", None),
        ("/", None),
    ],
)
def test_a_path_means_one_endpoint(path, expected):
    """Okta's paths are known exactly; a doubled or a trailing slash is another path."""
    assert OKTA.endpoint(path) == expected


def test_the_metadata_points_at_the_servers_own_endpoints():
    """The org's endpoints are under /oauth2/v1, a custom server's under its issuer; OpenID's fields are extra."""
    org = metadata("http://o", None, ("a",), openid=False)
    custom = metadata("http://o", "default", ("a",), openid=True)
    assert (org["issuer"], org["token_endpoint"]) == ("http://o", "http://o/oauth2/v1/token")
    assert custom["issuer"] == OKTA.issuer("http://o", "default") == "http://o/oauth2/default"
    assert custom["token_endpoint"] == "http://o/oauth2/default/v1/token"
    assert custom["jwks_uri"] == "http://o/oauth2/default/v1/keys"
    assert custom["scopes_supported"] == ["a"]
    assert set(custom) - set(org) == {
        "id_token_signing_alg_values_supported",
        "userinfo_endpoint",
        "claims_supported",
    }


async def test_a_journal_keeps_the_last_records_and_counts_all():
    """Old records go, the total stays, and replacing one that is gone does nothing."""
    journal = Journal(2)
    records = [object() for _ in range(3)]
    waiting = asyncio.create_task(journal.reached(3))
    for record in records:
        assert not waiting.done()
        journal.arrive(record)
        await asyncio.sleep(0)
    await waiting
    journal.replace(records[0], "never")
    journal.replace(records[1], "second")
    assert journal == ["second", records[2]]
    assert journal.total == 3


async def test_a_mint_forgets_expired_tokens_and_revokes_the_others():
    """A token is live until it is revoked; expired ones are dropped as new ones are made."""
    mint = Mint()
    with pytest.raises(RuntimeError, match="not been started"):
        assert mint.key
    await mint.open()

    def jti(now, **changed):
        common = {"issuer": "i", "audience": "a", "client_id": "c", "scopes": ("s",), "lifetime": 10.0}
        return mint.key.claims(mint.token(now=now, **(common | changed)))["jti"]

    first = jti(100.0)
    assert mint.is_live(first)
    second = jti(110.0)
    assert not mint.is_live(first)
    assert mint.is_live(second)
    assert not mint.is_live(jti(110.0, revoked=True))
    mint.revoke_all()
    assert not mint.is_live(second)
    assert repr(mint) == "<Mint [3 issued, 0 live]>"


async def test_a_mint_knows_what_its_opaque_tokens_say():
    """A token that is no JWT has claims for its mint only, until long after its end."""
    mint = Mint()
    await mint.open()

    def token(now):
        return mint.token(
            issuer="i", audience="a", client_id="c", scopes=("s",), lifetime=10.0, now=now, opaque=True, thumbprint="t"
        )

    first = token(100.0)
    assert "." not in first
    assert first != token(100.0)
    assert (mint.claims(first)["iss"], mint.claims(first)["cnf"]) == ("i", {"jkt": "t"})
    assert mint.is_live(mint.claims(first)["jti"])
    token(110.0 + REMEMBERED)
    assert mint.claims(first) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a?b?c", ("/a", "b?c")),
        ("/a?", ("/a", "")),
        ("//evil/a", ("//evil/a", "")),
        ("http://h:1/a?b", ("/a", "b")),
        ("http://h:1", ("/", "")),
        ("/http://h/a", ("/http://h/a", "")),
        ("*", ("*", "")),
    ],
)
def test_a_target_is_split_as_it_stands(target, expected):
    """Nothing is decoded; an absolute-form target loses its authority."""
    assert split_target(target) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_only_a_loopback_address_is_served(host):
    """The emulator's secrets are public, so it refuses to be reached from elsewhere."""

    async def handler(request):
        raise AssertionError(request)

    with pytest.raises(ValueError, match="no loopback address"):
        Listener(handler, host=host, port=0)


def test_every_ready_made_fault_has_a_name():
    """The table of faults has each kind, and all have different values."""
    assert {"hang", "close", "reset", "huge", "gzip", "html_503", "null", "rate_limited"} <= set(NAMED)
    assert len(set(NAMED.values())) == len(NAMED)
    for kind in (Altered, Drop, Hang, RateLimited):
        assert any(isinstance(fault, kind) for fault in NAMED.values())


async def test_two_threads_that_want_the_key_get_the_same():
    """Whoever comes second finds the first one's key."""
    first, second = await asyncio.gather(asyncio.to_thread(_make_once), asyncio.to_thread(_make_once))
    assert first is second


def test_dropping_a_client_that_is_gone_does_nothing():
    """A connection without a transport has ended already."""
    gone = SimpleNamespace(transport=None)
    drop(gone, "reset")
    assert vars(gone) == {"transport": None}
