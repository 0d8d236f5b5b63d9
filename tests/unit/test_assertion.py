"""What stands in a client assertion (RFC 7523 3)."""

import pytest

from proxy.tokens.assertion import LIFETIME, audience, claims, header

URL, ISSUER = "https://a.example/oauth2/default/v1/token", "https://a.example/oauth2/default"


def test_the_claims_are_the_clients():
    """`iss` and `sub` are the client's id; it lives five minutes from the second it is made."""
    content = dict(claims("0oa1", URL, 1_800_000_000.9))
    assert len(content.pop("jti")) == 32
    assert content == {"iss": "0oa1", "sub": "0oa1", "aud": URL, "iat": 1_800_000_000, "exp": 1_800_000_300}
    assert LIFETIME == 300


def test_no_two_are_alike():
    """Okta takes an id once."""
    assert len({claims("0oa1", URL, 1.0)["jti"] for _ in range(1000)}) == 1000


def test_entra_is_told_when_it_begins():
    """`nbf` stands beside a certificate's digest only: Okta's documentation does not know it."""
    assert claims("0oa1", URL, 7.0, not_before=True)["nbf"] == 7
    assert "nbf" not in claims("0oa1", URL, 7.0)


@pytest.mark.parametrize(
    ("rule", "issuer", "expected"),
    [
        ("token_url", ISSUER, URL),
        ("issuer", ISSUER, ISSUER),
        ("issuer", "https://a.auth0.com/", "https://a.auth0.com/"),
        ("issuer", None, URL),
        ("https://b.example/", ISSUER, "https://b.example/"),
    ],
)
def test_the_audience_is_what_the_server_wants(rule, issuer, expected):
    """The URL that is called to the letter, the issuer with its slash, or what is written."""
    assert audience(rule, URL, issuer) == expected


def test_the_header_has_what_is_known():
    """No `kid` is made up."""
    assert header("ES256", "JWT") == {"alg": "ES256", "typ": "JWT"}
    assert header("PS256", "a+jwt", "k", "d") == {"alg": "PS256", "typ": "a+jwt", "kid": "k", "x5t#S256": "d"}
