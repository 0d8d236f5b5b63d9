"""
What a resource server makes of the credentials of a request: a valid token, or RFC 6750's or RFC 9449's refusal.

Pure but for the signature, which `Verifier` is asked for, and for the proofs that are used up. There is no leeway on
`exp`: a client that sends a token in its last moment is to be found out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

from proxy.emulator import proofs
from proxy.emulator.errors import RefusalError, oauth_error
from proxy.emulator.jose import ASYMMETRIC

Scheme = Literal["Bearer", "DPoP"]


class Verifier(Protocol):
    """The authorization server whose tokens are accepted."""

    def claims(self, token: str) -> Mapping[str, object] | None:
        """Return the claims of a token whose signature is good."""
        ...

    def is_revoked(self, jti: object) -> bool:
        """Tell whether the token with this `jti` is not to be accepted any more."""
        ...


class Wanted(NamedTuple):
    """What a token must say."""

    issuer: str
    audience: str
    scope: str
    now: float


class Refusal(NamedTuple):
    """Why a request is not let in. `error` is None when it brought no token: RFC 6750 3.1 has no code then."""

    status: int
    error: str | None
    description: str
    scheme: Scheme = "Bearer"
    """What the challenge is for."""

    def challenge(self, realm: str, scope: str) -> str:
        """Return the value of `WWW-Authenticate`."""
        parts = [f'algs="{" ".join(ASYMMETRIC)}"'] if self.scheme == "DPoP" else []
        parts.append(f'realm="{realm}"')
        if self.error:
            parts += [f'error="{self.error}"', f'error_description="{self.description}"']
        if self.error == "insufficient_scope":
            parts.append(f'scope="{scope}"')
        return f"{self.scheme} {', '.join(parts)}"


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
NONCE = Refusal(401, "use_dpop_nonce", "Resource server requires nonce in DPoP proof.", "DPoP")
"""RFC 9449 section 9. Okta's own APIs do not ask for one."""


def check(
    authorization: Sequence[str],
    proof_headers: Sequence[str],
    okta: Verifier,
    wanted: Wanted,
    expected: proofs.Expected,
) -> Accepted | Refusal:
    """
    Return what the token in the request's *authorization* headers grants, or why it is refused.

    *proof_headers* are the request's `DPoP` headers, *expected* says what a proof must be for.
    """
    if len(authorization) > 1:
        return TWO_TOKENS
    named, _, token = (authorization[0] if authorization else "").partition(" ")
    token = token.strip()
    scheme: Scheme = "DPoP" if named.lower() == "dpop" else "Bearer"
    if named.lower() not in {"bearer", "dpop"} or not token:
        return NO_TOKEN
    claims = okta.claims(token)
    if claims is None:
        return BAD_SIGNATURE._replace(scheme=scheme)
    verdict = judge(claims, okta, wanted)
    if isinstance(verdict, Refusal):
        return verdict._replace(scheme=scheme)
    return _binding(claims, scheme, proof_headers, replace(expected, token=token)) or verdict


def judge(claims: Mapping[str, object], okta: Verifier, wanted: Wanted) -> Accepted | Refusal:
    """Return what the *claims* of a token with a good signature grant, or why it is refused."""
    expires_at = claims.get("exp")
    scopes = claims.get("scp")
    if claims.get("iss") != wanted.issuer:
        return WRONG_ISSUER
    if claims.get("aud") != wanted.audience:
        return WRONG_AUDIENCE
    if not isinstance(expires_at, int) or wanted.now >= expires_at:
        return EXPIRED
    if okta.is_revoked(claims.get("jti")):
        return REVOKED
    if not isinstance(scopes, list) or wanted.scope not in scopes:
        return NO_SCOPE
    return Accepted(str(claims.get("sub")), tuple(scopes), expires_at)


def _binding(
    claims: Mapping[str, object], scheme: Scheme, proof_headers: Sequence[str], expected: proofs.Expected
) -> Refusal | None:
    """Return why the token is refused together with these proofs (RFC 9449 7), None if it is not."""
    confirmation = claims.get("cnf")
    bound_to = confirmation.get("jkt") if isinstance(confirmation, Mapping) else None
    if scheme == "Bearer":
        return _refused("dpop_authentication_scheme_required") if bound_to else None
    if not bound_to:
        return _refused("access_token_not_dpop_bound")
    if not proof_headers:
        return _refused("dpop_proof_required_for_token")
    try:
        thumbprint = proofs.check(proof_headers, expected)
    except RefusalError as refusal:
        return NONCE if refusal.name == "use_dpop_nonce" else _refused(refusal.name)
    return None if thumbprint == bound_to else _refused("invalid_access_token_dpop_binding")


def _refused(name: str) -> Refusal:
    error = oauth_error(name)
    return Refusal(error.status, error.error, error.description, "DPoP")


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
