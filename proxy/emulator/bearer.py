"""
What a resource server makes of the `Authorization` headers of a request: a valid token, or RFC 6750's refusal.

Pure but for the signature, which `Verifier` is asked for. There is no leeway on `exp`: a client that sends a token in
its last moment is to be found out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Verifier(Protocol):
    """The authorization server whose tokens are accepted."""

    @property
    def issuer(self) -> str:
        """The `iss` to accept."""
        ...

    @property
    def audience(self) -> str:
        """The `aud` to accept."""
        ...

    def claims(self, token: str) -> dict[str, object] | None:
        """Return the claims of a token whose signature is good."""
        ...

    def is_revoked(self, jti: object) -> bool:
        """Tell whether the token with this `jti` is not to be accepted any more."""
        ...


class Refusal(NamedTuple):
    """Why a request is not let in. `error` is None when it brought no token: RFC 6750 3.1 has no code then."""

    status: int
    error: str | None
    description: str

    def challenge(self, realm: str, scope: str) -> str:
        """Return the value of `WWW-Authenticate`."""
        parts = [f'realm="{realm}"']
        if self.error:
            parts += [f'error="{self.error}"', f'error_description="{self.description}"']
        if self.error == "insufficient_scope":
            parts.append(f'scope="{scope}"')
        return f"Bearer {', '.join(parts)}"


class Accepted(NamedTuple):
    """A token that is good now."""

    subject: str
    scopes: tuple[str, ...]
    expires_at: int
    """The UTC second from which it is not good any more."""


NO_TOKEN = Refusal(401, None, "The request has no access token.")
TWO_TOKENS = Refusal(400, "invalid_request", "More than one Authorization header.")
BAD_SIGNATURE = Refusal(401, "invalid_token", "The access token is invalid.")
WRONG_ISSUER = Refusal(401, "invalid_token", "The access token provided has an invalid issuer.")
WRONG_AUDIENCE = Refusal(401, "invalid_token", "The access token has an invalid audience.")
EXPIRED = Refusal(401, "invalid_token", "The token has expired.")
REVOKED = Refusal(401, "invalid_token", "The access token has been revoked.")
NO_SCOPE = Refusal(403, "insufficient_scope", "The access token provided does not contain the required scopes.")


def check(authorization: Sequence[str], okta: Verifier, *, scope: str, now: float) -> Accepted | Refusal:
    """Return what the token in the request's *authorization* headers grants, or why it is refused."""
    if len(authorization) > 1:
        return TWO_TOKENS
    scheme, _, token = (authorization[0] if authorization else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return NO_TOKEN
    claims = okta.claims(token.strip())
    if claims is None:
        return BAD_SIGNATURE
    return judge(claims, okta, scope=scope, now=now)


def judge(claims: Mapping[str, object], okta: Verifier, *, scope: str, now: float) -> Accepted | Refusal:
    """Return what the *claims* of a token with a good signature grant, or why it is refused."""
    expires_at = claims.get("exp")
    scopes = claims.get("scp")
    if claims.get("iss") != okta.issuer:
        return WRONG_ISSUER
    if claims.get("aud") != okta.audience:
        return WRONG_AUDIENCE
    if not isinstance(expires_at, int) or now >= expires_at:
        return EXPIRED
    if okta.is_revoked(claims.get("jti")):
        return REVOKED
    if not isinstance(scopes, list) or scope not in scopes:
        return NO_SCOPE
    return Accepted(str(claims.get("sub")), tuple(scopes), expires_at)


def digest(credentials: str) -> str:
    """
    Return what is shown in place of *credentials*, a token or a password: equal ones look equal, and that is all.

    64 bits of SHA-256: enough to tell tokens apart.
    """
    return f"sha256:{hashlib.sha256(credentials.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def hidden(authorization: str) -> str:
    """Return the value of an `Authorization` header with a digest for its credentials: `Bearer sha256:...`."""
    scheme, space, credentials = authorization.partition(" ")
    return f"{scheme} {digest(credentials.strip())}" if space else digest(authorization)
