"""
Whether a token request gets a token: pure decisions on what arrived, each refusal in the server's words.

The order of the checks is the one of the functions in `decide`; Okta documents none, so a request with two mistakes
may be refused for the other one there.
"""

from collections import Counter
from urllib.parse import parse_qsl

from proxy.emulator import authentication, proofs, scopes
from proxy.emulator.assertions import ASSERTION_TYPE
from proxy.emulator.call import Call, Grant, Rules
from proxy.emulator.errors import OAuthError, RefusalError

__all__ = ["ASSERTION_TYPE", "GRANT", "Call", "Grant", "Rules", "decide", "parse_form"]

GRANT = "client_credentials"

_OTHER_GRANTS = frozenset(
    {
        "authorization_code",
        "implicit",
        "password",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    }
)
"""Grants that Okta has and a service app for machines has not."""

_CREDENTIALS = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})


def parse_form(body: bytes) -> tuple[tuple[str, str], ...] | None:
    """Return the parameters of an `application/x-www-form-urlencoded` body, None if it is no UTF-8."""
    try:
        return tuple(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        return None


def decide(call: Call, rules: Rules) -> Grant | OAuthError:
    """Return what the token request gets. What may be used once is used up by it."""
    try:
        return _decide(call, rules)
    except RefusalError as refusal:
        return rules.manner.error(refusal.name, *refusal.values)


def _decide(call: Call, rules: Rules) -> Grant:
    _check_form(call, rules)
    authentication.check(call, rules)
    _check_grant_type(call, rules)
    thumbprint = _bound_to(call, rules)
    if "audience" in rules.manner.required and call.value("audience") != rules.audience:
        raise RefusalError("unknown_audience", call.value("audience"))
    granted = scopes.granted(tuple(dict.fromkeys(call.value("scope").split())), rules)
    if not rules.policy and not rules.org:
        raise RefusalError("no_matching_policy")
    return Grant(granted, thumbprint)


def _check_form(call: Call, rules: Rules) -> None:
    if any(name in _CREDENTIALS for name, _ in call.query):
        raise RefusalError("client_credentials_in_query")
    if any(count > 1 for count in Counter(name for name, _ in call.form).values()):
        raise RefusalError("duplicate_oauth_params")
    for name in rules.manner.required:
        in_header = name == "client_id" and call.authorization
        if not call.value(name) and not in_header:
            raise RefusalError(f"missing_{name}")


def _check_grant_type(call: Call, rules: Rules) -> None:
    grant_type = call.value("grant_type")
    # Okta names the grants that it has, the others the one that they have not.
    named = () if rules.manner.is_okta else (grant_type,)
    if not grant_type:
        raise RefusalError("token_request_missing_grant_type")
    if grant_type in _OTHER_GRANTS:
        raise RefusalError("unauthorized_client", *named)
    if grant_type != GRANT:
        raise RefusalError("unsupported_grant_type", *named)


def _bound_to(call: Call, rules: Rules) -> str | None:
    """Return the thumbprint of the key that the token is bound to, None for a Bearer token."""
    manner = rules.manner
    if not manner.dpop or (not call.proofs and not rules.dpop_required):
        return None
    expected = proofs.Expected(
        method="POST",
        urls=(call.url,),
        now=rules.now,
        spent=rules.proofs,
        nonces=rules.nonces,
        age=manner.proof_age,
        skew=manner.skew,
    )
    return proofs.check(call.proofs, expected)
