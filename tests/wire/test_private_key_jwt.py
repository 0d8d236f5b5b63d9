"""`private_key_jwt` and `client_secret_jwt` against a token endpoint that checks every claim with another library."""

import json

import pytest
from clocks import HandClock
from private_keys import FORMS, KID, PASSPHRASE, jwk, make, pem, public_jwk
from strict_idp import StrictIdp
from token_servers import RawServer, endpoint, fetched

from proxy.config import Assertion, Secret
from proxy.tokens.answer import read_answer
from proxy.tokens.source import Token

KINDS = ("RSA", "P-256", "P-384", "P-521")
DEFAULTS = {"RSA": "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
SECRET = "a-client-secret-of-32-characters"


def with_key(path, url, **oauth):
    """Return our side with the key in *path*."""
    return endpoint(url, client_secret=None, private_key_file=str(path), **oauth)


async def token_of(side):
    """Fetch, and expect a token."""
    result = await fetched(side)
    token = read_answer(result.answer, result.secret)
    assert isinstance(token, Token), token
    return token


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_key_in_each_form(kind, form, tmp_path):
    """What is in the file signs assertions that another library verifies, with the algorithm of the key."""
    path, passphrase = tmp_path / "key", tmp_path / "passphrase"
    path.write_bytes(FORMS[form](make(kind)))
    passphrase.write_bytes(PASSPHRASE + b"\n")
    idp = StrictIdp(public_jwk(make(kind), kid=KID))
    async with RawServer(idp) as server:
        side = with_key(
            path, f"{server.url}/token?x=1", private_key_id=KID, private_key_passphrase_file=str(passphrase)
        )
        for _ in range(2):
            await token_of(side)
    assert idp.errors == []
    assert [header for header, _ in idp.assertions] == [{"alg": DEFAULTS[kind], "typ": "JWT", "kid": KID}] * 2


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [(kind, name) for kind, names in (("RSA", ("RS256", "RS384", "RS512", "PS256")),) for name in names],
)
async def test_each_algorithm_of_rsa(kind, algorithm):
    """`oauth.assertion.algorithm` decides, here with a key in the environment on one line."""
    idp = StrictIdp(public_jwk(make(kind)))
    async with RawServer(idp) as server:
        text = pem(make(kind)).decode().replace("\n", "\\n")
        side = endpoint(
            server.url + "/token",
            client_secret=None,
            private_key=Secret(text),
            assertion=Assertion(algorithm=algorithm),
        )
        await token_of(side)
    assert idp.errors == []
    assert idp.assertions[0][0] == {"alg": algorithm, "typ": "JWT"}


@pytest.mark.parametrize("algorithm", [None, "HS256", "HS384", "HS512"])
async def test_a_secret_that_signs(algorithm):
    """`client_secret_jwt` sends no secret, only what it signed."""
    idp = StrictIdp(secrets=(SECRET,))
    assertion = None if algorithm is None else Assertion(algorithm=algorithm)
    async with RawServer(idp) as server:
        side = endpoint(
            server.url + "/token", client_secret=Secret(SECRET), auth_method="client_secret_jwt", assertion=assertion
        )
        await token_of(side)
    assert idp.errors == []
    assert idp.assertions[0][0] == {"alg": algorithm or "HS256", "typ": "JWT"}
    assert SECRET.encode() not in server.requests[0].body


async def test_every_attempt_has_an_assertion_of_its_own():
    """The same key, five fetches: five ids, and no more than five minutes to live."""
    clock = HandClock()
    idp = StrictIdp(public_jwk(make("P-256")), clock=clock.wall)
    async with RawServer(idp) as server:
        side = endpoint(
            server.url + "/token", client_secret=None, private_key=Secret(json.dumps(jwk(make("P-256")))), clock=clock
        )
        for _ in range(5):
            await token_of(side)
    claims = [content for _, content in idp.assertions]
    assert len({content["jti"] for content in claims}) == 5
    assert {(content["iat"], content["exp"]) for content in claims} == {(int(clock.wall()), int(clock.wall()) + 300)}
