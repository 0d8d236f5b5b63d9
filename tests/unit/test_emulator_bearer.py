"""What the echo API makes of `Authorization` headers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.emulator import bearer
from proxy.emulator.bearer import Accepted, check, digest, hidden, judge
from proxy.emulator.keys import signing_key

GOOD = {"iss": "https://okta", "aud": "api://default", "exp": 1000, "jti": "AT.1", "scp": ["api.read"], "sub": "0oa1"}


class Okta:
    """Accepts the token `good` and has revoked `AT.2`."""

    issuer = "https://okta"
    audience = "api://default"

    def claims(self, token):
        return GOOD if token == "good" else None

    def is_revoked(self, jti):
        return jti != "AT.1"


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ((), bearer.NO_TOKEN),
        (("",), bearer.NO_TOKEN),
        (("Bearer",), bearer.NO_TOKEN),
        (("Bearer  ",), bearer.NO_TOKEN),
        (("Basic good",), bearer.NO_TOKEN),
        (("DPoP good",), bearer.NO_TOKEN),
        (("Bearer bad",), bearer.BAD_SIGNATURE),
        (("Bearer good", "Bearer good"), bearer.TWO_TOKENS),
        (("Bearer good",), Accepted("0oa1", ("api.read",), 1000)),
        (("bearer  good",), Accepted("0oa1", ("api.read",), 1000)),
    ],
)
def test_one_bearer_header_is_wanted(authorization, expected):
    """Exactly one Authorization header with the scheme Bearer, in any case, and a token with a good signature."""
    assert check(authorization, Okta(), scope="api.read", now=999.9) == expected


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
    assert judge(GOOD | changed, Okta(), scope="api.read", now=999.0) == expected


def test_a_token_expires_at_its_second():
    """There is no leeway: a token is good just before `exp` and refused at it."""
    assert isinstance(judge(GOOD, Okta(), scope="api.read", now=999.999), Accepted)
    assert judge(GOOD, Okta(), scope="api.read", now=1000.0) == bearer.EXPIRED


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (bearer.NO_TOKEN, 'Bearer realm="r"'),
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
