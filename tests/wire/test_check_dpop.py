"""`okta-proxy check` with DPoP: wanted and off, on and not wanted, nonces, and whether token or proof is refused."""

from functools import partial

import pytest
from doctor import emulated
from kit import RawUpstream, always

from proxy.emulator import faults

DPOP = {"OAUTH__DPOP": "true"}


@pytest.fixture
def world(capsys):
    """Give a context manager that starts the servers."""
    return partial(emulated, capsys)


def refusing(challenge, *headers, status=401):
    """Return an API that refuses everything with this challenge."""
    lines = [f"HTTP/1.1 {status} No", f"WWW-Authenticate: {challenge}", *headers, "Content-Length: 0"]
    return RawUpstream(always(("\r\n".join(lines) + "\r\n\r\n").encode()))


@pytest.mark.parametrize("nonce", [False, True])
async def test_a_bound_token_goes_with_its_proof(world, nonce):
    """Each sending has a proof of its own, the API's nonce is answered once, and everything passes."""
    async with world(dpop_required=True, api={"dpop_nonce": nonce}) as it:
        await it.check(**DPOP, UPSTREAM__URL=f"{it.api.base_url}/a%20b")
        requests = list(it.api.requests)
    assert it.code == 0, it.out
    assert it.said("PASS", "token").startswith("a DPoP token that lives for 3600 s")
    told = it.said("PASS", "upstream")
    assert told.endswith("it can be reached, and does not refuse the token and its proof")
    assert ("the second one: the first wanted a nonce" in told) is nonce
    assert [request.status for request in requests] == ([401, 200] if nonce else [200])
    proofs = [request.proof.claims["jti"] for request in requests]
    assert len(set(proofs)) == len(proofs)


async def test_wanted_and_off(world):
    """An app that demands proofs is told of with both ways out."""
    async with world(dpop_required=True) as it:
        await it.check()
    told = it.said("FAIL", "token")
    assert "the app demands DPoP" in told
    assert "Set oauth.dpop: true" in told
    assert "Untick" in told


async def test_wanted_and_off_at_another_server(world):
    """Keycloak's words for it are understood, and its users not sent to Okta's console."""
    async with world(dpop_required=True, manner="keycloak") as it:
        await it.check()
    told = it.said("FAIL", "token")
    assert "the app demands DPoP" in told
    assert "Okta" not in told


@pytest.mark.parametrize("settings", [{}, {"manner": "pingone"}])
async def test_on_and_a_bearer_token_came(world, settings):
    """A server that answers a proof with a bearer token fails, with the key to change."""
    async with world(**settings) as it:
        if not settings:
            it.okta.always(faults.NOT_SAID_TO_BE_BOUND)
        await it.check(**DPOP)
    assert it.code == 3
    assert "gave a bearer token, although oauth.dpop asks" in it.said("FAIL", "token")
    assert "Set oauth.dpop: false if the API takes bearer tokens" in it.said("FAIL", "token")


async def test_a_token_that_names_no_key(world):
    """It is seen in the claims, and the API's refusal is about the token."""
    async with world() as it:
        it.okta.always(faults.UNBOUND_TOKEN)
        await it.check(**DPOP)
    assert "names none (cnf.jkt)" in it.said("WARN", "claims")
    told = it.said("FAIL", "upstream")
    assert "the API does not take it" in told
    assert "the API misses the key in the token (cnf.jkt)" in told


async def test_a_token_of_another_key(world):
    """The API's own words about the binding are about the proof."""
    async with world() as it:
        it.okta.always(faults.FOREIGN_TOKEN)
        await it.check(**DPOP)
    told = it.said("FAIL", "upstream")
    assert "it refuses the proof (DPoP) that went with the token, and not the token" in told
    assert "bound to another key" in told


async def test_a_good_proof_does_not_hide_a_bad_token(world):
    """A revoked token is the token's 401, though a proof went with it."""
    async with world() as it:
        it.okta.always(faults.REVOKED_TOKEN)
        await it.check(**DPOP)
    told = it.said("FAIL", "upstream")
    assert "the token endpoint gave the token, and the API does not take it" in told
    assert "the token was revoked" in told


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("'htu' claim in the DPoP proof JWT is invalid.", "knows the address that was called by another name"),
        ("'htm' claim in the DPoP proof JWT is invalid.", "another method reached the API"),
        ("'ath' claim in the DPoP proof does not match", "for another token than the one that reached"),
        ("The DPoP proof JWT has already been used.", "has seen this proof before"),
        ("The DPoP proof JWT is issued in the future.", "the API's clock"),
        ("The DPoP proof JWT is issued more than five minutes in the past.", "the API's clock"),
        ("The DPoP proof JWT signature algorithm is invalid.", "signed with ES256"),
        ("no", "the API does not take the proof"),
    ],
)
async def test_why_a_proof_is_refused(world, text, cause):
    """The challenge's words tell what to look at."""
    challenge = f'DPoP algs="ES256", error="invalid_dpop_proof", error_description="{text}"'
    async with world() as it, refusing(challenge) as api:
        await it.check(**DPOP, UPSTREAM__URL=api.url)
    told = it.said("FAIL", "upstream")
    assert "it refuses the proof (DPoP)" in told
    assert cause in told.partition("Likely cause: ")[2]


async def test_a_nonce_is_asked_for_again_and_again(world):
    """There are two requests and no third."""
    async with world() as it, refusing('DPoP error="use_dpop_nonce"', "DPoP-Nonce: n1") as api:
        await it.check(**DPOP, UPSTREAM__URL=api.url)
        assert len(api.heads) == 2
    assert "asks for a nonce again" in it.said("FAIL", "upstream")


@pytest.mark.parametrize("head", ["200 OK", '401 No\r\nWWW-Authenticate: DPoP error="invalid_token"'])
async def test_a_nonce_that_nobody_asked_for_is_no_reason_to_repeat(world, head):
    """Servers give nonces with every answer (RFC 9449 8.2)."""
    answer = f"HTTP/1.1 {head}\r\nDPoP-Nonce: n1\r\nContent-Length: 0\r\n\r\n".encode()
    async with world() as it, RawUpstream(always(answer)) as api:
        await it.check(**DPOP, UPSTREAM__URL=api.url)
        assert len(api.heads) == 1


async def test_a_nonce_is_asked_for_and_not_given(world):
    """There is one request, for there is nothing to send it again with."""
    async with world() as it, refusing('DPoP error="use_dpop_nonce"') as api:
        await it.check(**DPOP, UPSTREAM__URL=api.url)
        assert len(api.heads) == 1
    assert "gives none (DPoP-Nonce)" in it.said("FAIL", "upstream")


@pytest.mark.parametrize(
    ("keys", "challenge", "cause", "remedy"),
    [
        ({}, 'DPoP algs="ES256"', "wants a DPoP-bound token, and oauth.dpop is off", "Set oauth.dpop: true"),
        (DPOP, 'Bearer error="invalid_token"', "the API takes bearer tokens", "Set oauth.dpop: false"),
        (
            DPOP,
            'DPoP error="invalid_request", error_description="The resource request requires a DPoP proof."',
            "the proof did not reach the API",
            "drop the DPoP header field",
        ),
    ],
)
async def test_an_api_of_the_other_kind(world, keys, challenge, cause, remedy):
    """An API that wants what is not sent, or what does not arrive, is known by its challenge."""
    async with world() as it, refusing(challenge) as api:
        await it.check(**keys, UPSTREAM__URL=api.url)
    told = it.said("FAIL", "upstream")
    assert cause in told
    assert remedy in told
