"""Entra ID's manner: one resource's `/.default`, certificates for keys, AADSTS numbers for errors."""

from collections.abc import Mapping

from proxy.emulator.manner import Layout, Manner

TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
"""The one tenant that there is."""

_TEXTS: Mapping[str, tuple[int, str, str]] = {
    "no_such_server": (400, "invalid_request", "AADSTS90002: Tenant '{}' not found."),
    "missing_client_id": (
        400,
        "invalid_request",
        "AADSTS900144: The request body must contain the following parameter: 'client_id'.",
    ),
    "missing_scope": (
        400,
        "invalid_request",
        "AADSTS900144: The request body must contain the following parameter: 'scope'.",
    ),
    "token_request_missing_grant_type": (
        400,
        "invalid_request",
        "AADSTS900144: The request body must contain the following parameter: 'grant_type'.",
    ),
    "unsupported_grant_type": (
        400,
        "unsupported_grant_type",
        "AADSTS70003: The app requested an unsupported grant type '{}'.",
    ),
    "invalid_client_id": (
        400,
        "unauthorized_client",
        f"AADSTS700016: Application with identifier '{{}}' was not found in the directory '{TENANT}'.",
    ),
    "missing_client_credentials": (
        401,
        "invalid_client",
        (
            "AADSTS7000216: 'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' "
            "grant type."
        ),
    ),
    "invalid_client": (
        401,
        "invalid_client",
        (
            "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client "
            "secret value, not the client secret ID, for a secret added to the app."
        ),
    ),
    "client_assertion_invalid_kid": (
        401,
        "invalid_client",
        (
            "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on "
            "application. [Reason - The key was not found.]"
        ),
    ),
    "client_assertion_missing_key": (
        401,
        "invalid_client",
        (
            "AADSTS5002723: Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor "
            "keyId specified in token header."
        ),
    ),
    "client_assertion_invalid_signature": (
        401,
        "invalid_client",
        "AADSTS700027: Client assertion failed signature validation.",
    ),
    "client_assertion_invalid_audience": (
        401,
        "invalid_client",
        "AADSTS700023: Client assertion audience claim does not match Realm issuer.",
    ),
    "client_assertion_invalid_issuer": (
        401,
        "invalid_client",
        "AADSTS700021: Client assertion application identifier doesn't match 'client_id' parameter.",
    ),
    "client_assertion_exp": (
        401,
        "invalid_client",
        "AADSTS700024: Client assertion is not within its valid time range.",
    ),
    "client_assertion_issued_at_in_future": (
        401,
        "invalid_client",
        "AADSTS700024: Client assertion is not within its valid time range.",
    ),
    "no_matching_scope": (
        400,
        "invalid_scope",
        (
            "AADSTS1002012: The provided value for scope {} is not valid. Client credential flows must have a scope "
            "value with /.default suffixed to the resource identifier (application ID URI)."
        ),
    ),
    "two_resources": (
        400,
        "invalid_scope",
        (
            "AADSTS28000: Provided value for the input parameter scope is not valid because it contains more than one "
            "resource. Scope {} is not valid."
        ),
    ),
    "unknown_audience": (
        400,
        "invalid_resource",
        f"AADSTS500011: The resource principal named {{}} was not found in the tenant named {TENANT}.",
    ),
}

ENTRA = Manner(
    name="entra",
    layouts=(
        Layout(
            issuer="/{server}/v2.0",
            token="/{server}/oauth2/v2.0/token",  # noqa: S106
            keys="/{server}/discovery/v2.0/keys",
            openid=("/{server}/v2.0/.well-known/openid-configuration",),
        ),
    ),
    servers=(TENANT,),
    methods=("client_secret_post", "client_secret_basic", "private_key_jwt"),
    algorithms=("PS256", "RS256"),
    longest=86400.0,
    skew=300.0,
    key_header="x5t#S256",
    dpop=False,
    required=("client_id", "scope"),
    scopes="resource",
    shape="entra",
    texts=_TEXTS,
    fields={"ext_expires_in": 3599},
    lifetime=3599.0,
)
