"""
The manners of other identity providers, as far as a client with client credentials can tell them from Okta.

From their documentation and from answers that people have quoted. What a product is not known to say in words of its
own is said in Okta's. The servers' ids are those of `docs/identity-providers.md`.
"""

from collections.abc import Mapping

from proxy.emulator.entra import ENTRA
from proxy.emulator.jose import SYMMETRIC
from proxy.emulator.manner import Layout, Manner

_RS = ("RS256", "RS384", "RS512")
_PS = ("PS256", "PS384", "PS512")
_ES = ("ES256", "ES384", "ES512")

REALM = "example"
"""Of Keycloak."""
POOL = "eu-west-1_Example1"
"""Of Cognito."""
ENVIRONMENT = "5ac6bf6a-1c1f-4d2b-9bbf-1b4c1cbf7ed6"
"""Of PingOne."""

AUTH0 = Manner(
    name="auth0",
    layouts=(
        Layout(
            issuer="/",
            token="/oauth/token",  # noqa: S106  # a path, as below
            keys="/.well-known/jwks.json",
            openid=("/.well-known/openid-configuration",),
            oauth=("/.well-known/oauth-authorization-server",),
        ),
    ),
    methods=("client_secret_post", "client_secret_basic", "private_key_jwt"),
    algorithms=("RS256", "RS384", "PS256"),
    audiences=("issuer",),
    longest=300.0,
    jti_required=True,
    required=("audience",),
    texts={
        "missing_audience": (403, "access_denied", "Non-global clients are not allowed access to APIv1"),
        "unknown_audience": (403, "access_denied", "Service not found: {}"),
        "no_matching_scope": (403, "access_denied", "Client has not been granted scopes: {}"),
        "invalid_client": (401, "access_denied", "Unauthorized"),
        "missing_client_credentials": (401, "access_denied", "Unauthorized"),
        "unauthorized_client": (403, "unauthorized_client", "Grant type '{}' not allowed for the client."),
        "unsupported_grant_type": (403, "unsupported_grant_type", "Unsupported grant type: {}"),
        "client_assertion_missing_jti": (401, "invalid_client", "The parsing of the client_assertion failed."),
    },
    fields={"scope": None},
    lifetime=86400.0,
)

_SIGNED_JWT = "Client authentication with signed JWT failed: Signature on JWT token failed validation"

KEYCLOAK = Manner(
    name="keycloak",
    layouts=(
        Layout(
            issuer="/realms/{server}",
            token="/realms/{server}/protocol/openid-connect/token",  # noqa: S106
            keys="/realms/{server}/protocol/openid-connect/certs",
            openid=("/realms/{server}/.well-known/openid-configuration",),
            oauth=("/.well-known/oauth-authorization-server/realms/{server}",),
        ),
    ),
    servers=(REALM,),
    algorithms=_RS + _PS + _ES + SYMMETRIC,
    audiences=("token_url", "issuer"),
    longest=float("inf"),
    skew=15.0,
    jti_required=True,
    proof_age=10.0,
    texts={
        "no_such_server": (404, "Realm does not exist", ""),
        "invalid_client": (401, "invalid_client", "Invalid client or Invalid client credentials"),
        "missing_client_credentials": (401, "invalid_client", "Invalid client or Invalid client credentials"),
        "invalid_client_secret": (401, "unauthorized_client", "Invalid client or Invalid client credentials"),
        "unauthorized_client": (401, "unauthorized_client", "Client not enabled to retrieve service account"),
        "unsupported_grant_type": (400, "unsupported_grant_type", "Unsupported grant_type"),
        "token_request_missing_grant_type": (400, "invalid_request", "Missing form parameter: grant_type"),
        "no_matching_scope": (400, "invalid_scope", "Invalid scopes: {}"),
        "client_assertion_invalid_kid": (400, "invalid_client", "Unable to load public key"),
        "client_assertion_jwks_not_configured": (400, "invalid_client", "Unable to load public key"),
        "client_assertion_invalid_signature": (400, "invalid_client", _SIGNED_JWT),
        "client_assertion_invalid_signature_algorithm": (400, "invalid_client", "Invalid signature algorithm"),
        "client_assertion_invalid_subject": (400, "invalid_client", "Token sub claim is required"),
        "client_assertion_invalid_audience": (400, "invalid_client", "Invalid token audience"),
        "client_assertion_expiration_required": (400, "invalid_client", "Token exp claim is required"),
        "client_assertion_expired_token": (400, "invalid_client", "Token is not active"),
        "client_assertion_issued_at_in_future": (400, "invalid_client", "Token was issued in the future"),
        "client_assertion_missing_jti": (400, "invalid_client", "Token jti claim is required"),
        "client_assertion_already_used": (400, "invalid_client", "Token reuse detected"),
        "invalid_dpop_proof_missing_header": (400, "invalid_dpop_proof", "DPoP proof is missing"),
        "invalid_dpop_proof_jwt": (400, "invalid_dpop_proof", "DPoP proof is not active"),
        "dpop_proof_already_used": (400, "invalid_dpop_proof", "DPoP proof has already been used"),
    },
    fields={"refresh_expires_in": 0, "not-before-policy": 0, "scope": None},
    lifetime=300.0,
)

COGNITO = Manner(
    name="cognito",
    layouts=(
        Layout(
            issuer=f"/{POOL}",
            token="/oauth2/token",  # noqa: S106
            keys=f"/{POOL}/.well-known/jwks.json",
            openid=(f"/{POOL}/.well-known/openid-configuration",),
        ),
    ),
    methods=("client_secret_basic", "client_secret_post"),
    dpop=False,
    shape="bare",
    texts={
        "invalid_client": (400, "invalid_client", ""),
        "missing_client_credentials": (400, "invalid_client", ""),
        "invalid_basic_auth_creds": (400, "invalid_client", ""),
    },
    fields={},
)

PINGONE = Manner(
    name="pingone",
    layouts=(
        Layout(
            issuer="/{server}/as",
            token="/{server}/as/token",  # noqa: S106
            keys="/{server}/as/jwks",
            openid=("/{server}/as/.well-known/openid-configuration",),
            oauth=("/.well-known/oauth-authorization-server/{server}/as",),
        ),
    ),
    servers=(ENVIRONMENT,),
    algorithms=_RS + SYMMETRIC,
    audiences=("token_url", "issuer"),
    dpop=False,
    texts={
        "invalid_client": (401, "invalid_client", "Request denied: Invalid client credentials"),
        "missing_client_credentials": (401, "invalid_client", "Request denied: Unsupported authentication method"),
    },
    fields={"scope": None},
)

PINGFEDERATE = Manner(
    name="pingfederate",
    layouts=(
        Layout(
            issuer="",
            token="/as/token.oauth2",  # noqa: S106
            keys="/pf/JWKS",
            openid=("/.well-known/openid-configuration",),
            oauth=("/.well-known/oauth-authorization-server",),
        ),
    ),
    methods=("client_secret_basic", "client_secret_post", "private_key_jwt"),
    algorithms=_RS + _PS + _ES,
    audiences=("token_url", "issuer"),
    texts={
        "invalid_client": (401, "invalid_client", "Invalid client or client credentials."),
        "missing_client_credentials": (401, "invalid_client", "Invalid client or client credentials."),
        "client_assertion": (401, "invalid_client", "Invalid client or client credentials."),
        "no_matching_scope": (
            400,
            "invalid_scope",
            "The requested scope(s) must be blank or a subset of the provided scopes.",
        ),
    },
    fields={},
)

MANNERS: Mapping[str, Manner] = {
    manner.name: manner for manner in (AUTH0, ENTRA, KEYCLOAK, COGNITO, PINGONE, PINGFEDERATE)
}
