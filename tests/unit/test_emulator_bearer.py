"""What the echo API makes of `Authorization` headers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signed import ec, proof

from proxy.emulator import bearer
from proxy.emulator.bearer import Accepted, Refusal, Wanted, check, digest, hidden, judge
from proxy.emulator.freshness import Nonces, Spent
from proxy.emulator.keys import signing_key
from proxy.emulator.proofs import Expected, ath

GOOD = {"iss": "https://okta", "aud": "api://default", "exp": 1000, "jti": "AT.1", "scp": ["api.read"], "sub": "0oa1"}


BOUND = GOOD | {"cnf": {"jkt": ec().thumbprint()}}
URL = "https://api/things"


class Okta:
    """Accepts the tokens `good` and `bound`, which is bound to the key `ec`, and has revoked `AT.2`."""

    def claims(self, token):
        return {"good": GOOD, "bound": BOUND}.get(token)

    def is_revoked(self, jti):
        return jti != "AT.1"


def wanted(now=999.9):
    """What a token must say at *now*."""
    return Wanted("https://okta", "api://default", "api.read", now)


def proofs_for(**changed):
    """What a proof must be for at the second 900."""
    return Expected(**({"method": "GET", "urls": (URL,), "now": 900.0, "spent": Spent()} | changed))


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ((), bearer.NO_TOKEN),
        (("",), bearer.NO_TOKEN),
        (("Bearer",), bearer.NO_TOKEN),
        (("Bearer  ",), bearer.NO_TOKEN),
        (("Basic good",), bearer.NO_TOKEN),
        (("DPoP",), bearer.NO_TOKEN),
        (("Bearer bad",), bearer.BAD_SIGNATURE),
        (("Bearer good", "Bearer good"), bearer.TWO_TOKENS),
        (("Bearer good",), Accepted("0oa1", ("api.read",), 1000)),
        (("bearer  good",), Accepted("0oa1", ("api.read",), 1000)),
    ],
)
def test_one_bearer_header_is_wanted(authorization, expected):
    """Exactly one Authorization header with the scheme Bearer, in any case, and a token with a good signature."""
    assert check(authorization, (), Okta(), wanted(), proofs_for()) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"iss": "https://okta/"}, bearer.WRONG_ISSUER),
        ({"aud": "api://other"}, bearer.WRONG_AUDIENCE),
        ({"aud": None}, bearer.WRONG_AUDIENCE),
        ({"exp": 999}, bearer.EXPIRED),
        ({"exp": "1000"}, bearer.EXPIRED),
        ({"jti": "AT.2"}, bearer.REVOKED),
        ({"scp": ["api.write"]}, bearer.NO_SCOPE),
        ({"scp": "api.read"}, bearer.NO_SCOPE),
    ],
)
def test_each_claim_is_checked(changed, expected):
    """Issuer, audience, expiry, revocation and scope each refuse for themselves."""
    assert judge(GOOD | changed, Okta(), wanted(999.0)) == expected


def test_a_token_expires_at_its_second():
    """There is no leeway: a token is good just before `exp` and refused at it."""
    assert isinstance(judge(GOOD, Okta(), wanted(999.999)), Accepted)
    assert judge(GOOD, Okta(), wanted(1000.0)) == bearer.EXPIRED


def shown(token="bound", *, key=None, **said):
    """A good proof for a request with *token*, but for what is said otherwise."""
    return proof(key or ec(), "GET", URL, now=900, **({"ath": ath(token)} | said))


@pytest.mark.parametrize(
    ("authorization", "proofs", "status", "error", "description"),
    [
        (
            "Bearer bound",
            (shown(),),
            400,
            "invalid_request",
            "The resource request must use the DPoP authentication scheme when using a DPoP bound token.",
        ),
        ("DPoP good", (shown("good"),), 401, "invalid_token", "The presented access_token is not DPoP bound."),
        ("DPoP bound", (), 400, "invalid_request", "The resource request requires a DPoP proof."),
        (
            "DPoP bound",
            (shown(), shown()),
            400,
            "invalid_dpop_proof",
            "Multiple DPoP proof JWT headers are not allowed.",
        ),
        (
            "DPoP bound",
            (shown("other"),),
            400,
            "invalid_dpop_proof",
            "'ath' claim in the DPoP proof does not match the presented access_token.",
        ),
        (
            "DPoP bound",
            (shown(key=ec("thief")),),
            400,
            "invalid_dpop_proof",
            "The access_token is not bound to the provided DPoP proof.",
        ),
        (
            "DPoP bound",
            (shown(htu="https://api/other"),),
            400,
            "invalid_dpop_proof",
            "'htu' claim in the DPoP proof JWT is invalid.",
        ),
        ("DPoP bad", (shown("bad"),), 401, "invalid_token", "The access token is invalid."),
    ],
)
def test_a_bound_token_wants_its_proof(authorization, proofs, status, error, description):
    """Each way to use a bound token without its key is refused in Okta's words, with a challenge for DPoP."""
    refusal = check((authorization,), proofs, Okta(), wanted(), proofs_for())
    assert refusal == Refusal(status, error, description, "DPoP")


def test_a_bound_token_with_its_proof_is_let_in_once():
    """The scheme is `DPoP` in any case; the same proof again is a replay."""
    spent, sent = proofs_for(), shown()
    granted = Accepted("0oa1", ("api.read",), 1000)
    assert check(("dPoP bound",), (sent,), Okta(), wanted(), spent) == granted
    again = check(("DPoP bound",), (sent,), Okta(), wanted(), spent)
    assert again == Refusal(400, "invalid_dpop_proof", "The DPoP proof JWT has already been used.", "DPoP")


def test_an_api_may_want_a_nonce():
    """Without one of its nonces the answer is 401 with `use_dpop_nonce` (RFC 9449 9)."""
    nonces = Nonces()
    by = proofs_for(nonces=nonces)
    assert check(("DPoP bound",), (shown(),), Okta(), wanted(), by) == bearer.NONCE
    assert check(("DPoP bound",), (shown(nonce="made up"),), Okta(), wanted(), by) == bearer.NONCE
    good = shown(nonce=nonces.current(900.0))
    assert isinstance(check(("DPoP bound",), (good,), Okta(), wanted(), by), Accepted)


def test_an_expired_token_is_refused_before_its_proof():
    """What is wrong with the token is said under the scheme that it came with."""
    refusal = check(("DPoP bound",), (), Okta(), wanted(1000.0), proofs_for())
    assert refusal == bearer.EXPIRED._replace(scheme="DPoP")


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (bearer.NO_TOKEN, 'Bearer realm="r"'),
        (
            bearer.NONCE,
            (
                'DPoP algs="RS256 RS384 RS512 ES256 ES384 ES512", realm="r", error="use_dpop_nonce", '
                'error_description="Resource server requires nonce in DPoP proof."'
            ),
        ),
        (
            bearer.EXPIRED,
            'Bearer realm="r", error="invalid_token", error_description="The token has expired."',
        ),
        (
            bearer.NO_SCOPE,
            (
                'Bearer realm="r", error="insufficient_scope", error_description="The access token provided does not '
                'contain the required scopes.", scope="api.read"'
            ),
        ),
    ],
)
def test_a_challenge_is_rfc_6750s(refusal, expected):
    """No error code without a token, and the scope that is missing if it is the scope."""
    assert refusal.challenge("r", "api.read") == expected


def test_credentials_are_shown_as_a_digest():
    """Equal credentials look equal, the scheme stays, and what has no scheme is hidden whole."""
    assert hidden("Bearer abc") == f"Bearer {digest('abc')}" == hidden("Bearer  abc ")
    assert hidden("abc") == digest("abc") == "sha256:ba7816bf8f01cfea"
    assert digest("abd") != digest("abc")


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True)))
def test_garbage_is_no_token(token):
    """Whatever does not carry the key's signature has no claims, and raises nothing."""
    assert asyncio.run(signing_key()).claims(token) is None


@pytest.mark.parametrize(
    "token", ["eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "eyJraWQiOiJ4IiwiYWxnIjoiUlMyNTYifQ.e30.AA"]
)
def test_another_algorithm_or_key_is_no_token(token):
    """`none`, an HMAC and an unknown `kid` are refused."""
    assert asyncio.run(signing_key()).claims(token) is None


def test_a_changed_token_is_no_token():
    """A token whose claims were changed has lost its signature; the key's name is no secret, its numbers are."""

    async def signed():
        key = await signing_key()
        return key, key.sign({"sub": "a"}), key.sign({"sub": "b"})

    key, first, second = asyncio.run(signed())
    header, claims, _ = first.split(".")
    assert key.claims(first) == {"sub": "a"}
    assert key.claims(f"{header}.{claims}.{second.split('.')[2]}") is None
    assert repr(key) == f"<SigningKey {key.kid}>"
    assert set(key.jwks()["keys"][0]) == {"n", "e", "kid", "use", "alg", "kty"}
