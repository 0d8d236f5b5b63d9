"""
Client assertions (RFC 7523 3) in Okta's words: `private_key_jwt` and `client_secret_jwt`.

An assertion is used up when everything else about it is right, whatever becomes of the request then.
"""

from proxy.emulator.call import Call, Rules
from proxy.emulator.client import PublicKey
from proxy.emulator.errors import RefusalError
from proxy.emulator.jose import SYMMETRIC, Jwt, is_signed

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

SHORTEST_SECRET = 32
"""Characters of a secret that Okta takes for an HMAC."""


def check(call: Call, rules: Rules) -> None:
    """Raise `RefusalError` unless the assertion of *call* is the client's, for here, and new."""
    if call.value("client_assertion_type") != ASSERTION_TYPE:
        raise RefusalError("client_assertion_type_invalid")
    assertion = call.assertion
    if assertion is None:
        raise RefusalError("client_assertion_invalid_jwt")
    _check_client(call, assertion, rules)
    _check_signature(call.value("client_assertion"), assertion, rules)
    _check_audience(assertion, call.url, rules)
    expires = _check_time(assertion, rules)
    jti = assertion.text("jti")
    if rules.manner.jti_required and not jti:
        raise RefusalError("client_assertion_missing_jti")
    if jti and not rules.assertions.spend(jti, expires + rules.manner.skew, rules.now):
        raise RefusalError("client_assertion_already_used")


def _check_client(call: Call, assertion: Jwt, rules: Rules) -> None:
    if assertion.claims.get("iss") != rules.client.id:
        raise RefusalError("client_assertion_invalid_issuer")
    if assertion.claims.get("sub") != rules.client.id:
        raise RefusalError("client_assertion_invalid_subject")
    if call.value("client_id") not in {"", rules.client.id}:
        raise RefusalError("invalid_client_id", call.value("client_id"))


def _check_signature(text: str, assertion: Jwt, rules: Rules) -> None:
    algorithm = assertion.algorithm
    if algorithm not in rules.manner.algorithms:
        raise RefusalError("client_assertion_invalid_signature_algorithm")
    if algorithm in SYMMETRIC:
        signed = _is_signed_with_secret(text, algorithm, rules)
    else:
        signed = is_signed(text, _key(assertion, rules).key, algorithm)
    if not signed:
        raise RefusalError("client_assertion_invalid_signature")


def _is_signed_with_secret(text: str, algorithm: str, rules: Rules) -> bool:
    from joserfc.jwk import OctKey  # noqa: PLC0415  # only for this method

    secrets = [secret.reveal() for secret in rules.client.secrets]
    if not secrets:
        raise RefusalError("client_assertion_invalid_no_secret")
    long_enough = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
    if not long_enough:
        raise RefusalError("client_assertion_invalid_secret_length")
    return any(is_signed(text, OctKey.import_key(secret), algorithm) for secret in long_enough)


def _key(assertion: Jwt, rules: Rules) -> PublicKey:
    """Return the registered key that the assertion names; only one that is alone need not be named."""
    keys = rules.client.keys
    if not keys:
        raise RefusalError("client_assertion_jwks_not_configured")
    by_certificate = rules.manner.key_header == "x5t#S256"
    name = assertion.header.get(rules.manner.key_header)
    if name is None and by_certificate:
        raise RefusalError("client_assertion_missing_key")
    if name is None and len(keys) == 1:
        return keys[0]
    found = [key for key in keys if name is not None and name == (key.thumbprint if by_certificate else key.kid)]
    if not found:
        raise RefusalError("client_assertion_invalid_kid")
    return found[0]


def _check_audience(assertion: Jwt, url: str, rules: Rules) -> None:
    """To the letter, and one value: a list of several would serve several servers (RFC 10070)."""
    known = {"token_url": url, "issuer": rules.issuer}
    accepted = {known[name] for name in rules.manner.audiences}
    audience = assertion.claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if not isinstance(audience, str) or audience not in accepted:
        raise RefusalError("client_assertion_invalid_audience")


def _check_time(assertion: Jwt, rules: Rules) -> float:
    """Return the expiry. Okta has no tolerance on it (okta-sdk-python#382)."""
    now, skew = rules.now, rules.manner.skew
    expires, issued = assertion.number("exp"), assertion.number("iat")
    if expires is None:
        raise RefusalError("client_assertion_expiration_required")
    if expires + skew <= now:
        raise RefusalError("client_assertion_expired_token")
    if expires > now + rules.manner.longest + skew:
        raise RefusalError("client_assertion_expires_too_far_in_future")
    if any(moment is not None and moment > now + skew for moment in (issued, assertion.number("nbf"))):
        raise RefusalError("client_assertion_issued_at_in_future")
    return expires
