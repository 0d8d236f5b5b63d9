"""
Whether a token request gets a token: pure decisions on what arrived, each refusal in Okta's words.

The order of the checks is the one of the functions in `decide`; Okta documents none, so a request with two mistakes
may be refused for the other one there.
"""

import base64
import hmac
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from proxy.config import Secret
from proxy.emulator.errors import OAuthError, RefusalError, oauth_error

GRANT = "client_credentials"

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

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

_OPENID_SCOPES = frozenset({"openid", "profile", "email", "address", "phone", "offline_access", "device_sso"})

_CREDENTIALS = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A token request as it arrived. The secret is in it, so it has no `repr` of its content."""

    authorization: tuple[str, ...] = ()
    """The values of all `Authorization` headers."""
    dpop: bool = False
    query: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<Call {self.method}>"

    def value(self, name: str) -> str:
        """Return the form parameter *name*, `""` if it is absent: an empty one counts as absent (RFC 6749 3.2)."""
        return dict(self.form).get(name, "")

    @property
    def method(self) -> str:
        """How the client authenticates: a method's name as in RFC 7591, `none`, or `several`."""
        found = [
            name
            for name, there in (
                ("client_secret_basic", bool(self.authorization)),
                ("client_secret_post", bool(self.value("client_secret"))),
                ("client_assertion", bool(self.value("client_assertion"))),
            )
            if there
        ]
        if found == ["client_secret_basic"] and self.value("client_id"):
            # Okta refuses even a `client_id` beside the header that has it already.
            return "several"
        return found[0] if len(found) == 1 else "several" if found else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the org is set up: the one client there is, and what its authorization server gives it."""

    client_id: str
    secrets: tuple[Secret, ...]
    scopes: tuple[str, ...]
    default_scopes: tuple[str, ...] = ()
    policy: bool = True
    """Whether an access policy with a rule for this client exists."""
    dpop_required: bool = False
    org: bool = False
    """Whether this is the org's own authorization server."""


class Grant(NamedTuple):
    """A token is due, for *scopes*."""

    scopes: tuple[str, ...]


def parse_form(body: bytes) -> tuple[tuple[str, str], ...] | None:
    """Return the parameters of an `application/x-www-form-urlencoded` body, None if it is no UTF-8."""
    try:
        return tuple(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        return None


def decide(call: Call, rules: Rules) -> Grant | OAuthError:
    """Return what the token request gets."""
    try:
        _check_form(call)
        _check_client(call, rules)
        _check_grant_type(call)
        _check_dpop(call, rules)
        scopes = _scopes(call, rules)
    except RefusalError as refusal:
        return refusal.error
    if not rules.policy:
        return oauth_error("no_matching_policy")
    return Grant(scopes)


def _refuse(name: str, *values: str) -> RefusalError:
    return RefusalError(oauth_error(name, *values))


def _check_form(call: Call) -> None:
    if any(name in _CREDENTIALS for name, _ in call.query):
        raise _refuse("client_credentials_in_query")
    if any(count > 1 for count in Counter(name for name, _ in call.form).values()):
        raise _refuse("duplicate_oauth_params")


def _check_client(call: Call, rules: Rules) -> None:
    method = call.method
    if method == "several":
        raise _refuse("multiple_client_credentials")
    if method == "client_assertion":
        _refuse_assertion(call)
    if method == "client_secret_basic":
        client_id, secret = _basic(call.authorization)
    else:
        client_id, secret = call.value("client_id"), call.value("client_secret")
    if not client_id:
        raise _refuse("missing_client_credentials")
    if client_id != rules.client_id:
        raise _refuse("invalid_client_id")
    if not secret:
        raise _refuse("invalid_client")
    if not _is_one_of(secret, rules.secrets):
        raise _refuse("invalid_client_secret")
    if rules.org:
        raise _refuse("unsupported_auth_method_client_creds")


def _refuse_assertion(call: Call) -> None:
    """The client has secrets and no keys, and that is what Okta says then."""
    if call.value("client_assertion_type") != ASSERTION_TYPE:
        raise _refuse("client_assertion_type_invalid")
    raise _refuse("client_assertion_jwks_not_configured")


def _basic(authorization: tuple[str, ...]) -> tuple[str, str]:
    """Return the id and the secret of a Basic header; both are form-encoded inside (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = authorization[0].partition(" ")
    try:
        plain = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        plain = ""
    client_id, colon, secret = plain.partition(":")
    if len(authorization) > 1 or scheme.lower() != "basic" or not colon:
        raise _refuse("invalid_basic_auth_creds")
    return unquote_plus(client_id), unquote_plus(secret)


def _is_one_of(secret: str, accepted: tuple[Secret, ...]) -> bool:
    """Compare in a time that tells nothing about the accepted ones."""
    matches = [hmac.compare_digest(secret.encode(), known.reveal().encode()) for known in accepted]
    return any(matches)


def _check_grant_type(call: Call) -> None:
    grant_type = call.value("grant_type")
    if not grant_type:
        raise _refuse("token_request_missing_grant_type")
    if grant_type in _OTHER_GRANTS:
        raise _refuse("unauthorized_client")
    if grant_type != GRANT:
        raise _refuse("unsupported_grant_type")


def _check_dpop(call: Call, rules: Rules) -> None:
    if call.dpop:
        # Proofs are not verified here, and a token that only looks bound would be worse than none.
        raise _refuse("invalid_dpop_proof")
    if rules.dpop_required:
        raise _refuse("invalid_dpop_proof_missing_header")


def _scopes(call: Call, rules: Rules) -> tuple[str, ...]:
    """Return the scopes asked for, each once and in their order, else the defaults."""
    asked = tuple(dict.fromkeys(call.value("scope").split()))
    if not asked:
        if not rules.default_scopes:
            raise _refuse("no_default_scopes")
        return rules.default_scopes
    if _OPENID_SCOPES.intersection(asked):
        raise _refuse("openid_not_allowed_client_creds")
    if not set(asked) <= {*rules.scopes, *rules.default_scopes}:
        raise _refuse("no_matching_scope")
    return asked
