"""
The JWT with which a client proves who it is: `client_secret_jwt` and `private_key_jwt` (RFC 7523 2.2 and 3). Pure.

Each sending needs one of its own. Okta takes an assertion once, also one that it answered with `use_dpop_nonce`, and
allows no tolerance on `exp` (okta-sdk-python#382).
"""

import secrets
from collections.abc import Mapping

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME = 300
"""Seconds: what Auth0 takes at most (Okta an hour), and as much as clocks may differ."""


def header(algorithm: str, typ: str, kid: str | None = None, digest: str | None = None) -> Mapping[str, str]:
    """
    Return the header; *digest* is `x5t#S256`.

    Without a known *kid* there is none: a guess (a thumbprint) is refused where no `kid` would do, which is wherever
    the app has one key.
    """
    names = {"alg": algorithm, "typ": typ, "kid": kid, "x5t#S256": digest}
    return {name: value for name, value in names.items() if value is not None}


def claims(client_id: str, audience: str, now: float, *, not_before: bool = False) -> Mapping[str, object]:
    """
    Return the claims of a new assertion; *now* is the server's time.

    *not_before* adds `nbf`, which Entra ID names among its claims and Okta does not.
    """
    issued = int(now)
    content: dict[str, object] = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": secrets.token_urlsafe(24),
        "iat": issued,
        "exp": issued + LIFETIME,
    }
    return content | {"nbf": issued} if not_before else content


def audience(rule: str, token_url: str, issuer: str | None) -> str:
    """
    Return the `aud` that `oauth.assertion.audience` means: the URL that is called, the issuer, or what stands there.

    Okta wants the URL, to the letter; RFC 10070 wants the issuer and nothing else.
    """
    if rule == "token_url":
        return token_url
    return issuer or token_url if rule == "issuer" else rule
