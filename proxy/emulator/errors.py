"""
Okta's OAuth errors by Okta's own names: status, `error` and `error_description`, word for word.

The names are the `internalErrorCode`s of the list that Okta publishes for machines; they are not on the wire. Only
what a token request with client credentials can meet is here.
"""

from typing import NamedTuple


class OAuthError(NamedTuple):
    """What Okta's token endpoint refuses with, as RFC 6749 section 5.2 shapes it."""

    name: str
    status: int
    error: str
    description: str


class RefusalError(Exception):
    """A token request is refused with `error`."""

    def __init__(self, error: OAuthError) -> None:
        super().__init__(error.name)
        self.error = error


def oauth_error(name: str, *values: str) -> OAuthError:
    """Return the error that Okta calls *name*, with *values* in its text; `KeyError` for a name that is not here."""
    status, error, text = _TABLE[name]
    return OAuthError(name, status, error, text.format(*(values or _EXAMPLES.get(name, ()))))


def names() -> tuple[str, ...]:
    """Return every name that `oauth_error` knows."""
    return tuple(_TABLE)


_TEXTS = {
    (401, "invalid_client"): {
        "invalid_client": "Client authentication failed. Either the client or the client credentials are invalid.",
        "missing_client_credentials": "No client credentials found.",
        "invalid_basic_auth_creds": "Found Authentication header but was not valid client credentials.",
        "invalid_client_id": "Invalid value for 'client_id' parameter.",
        "invalid_client_secret": "The client secret supplied for a confidential client is invalid.",
        "unsupported_auth_method_client_creds": (
            "Client Credentials requests to the Org Authorization Server must use the private_key_jwt "
            "token_endpoint_auth_method."
        ),
        "invalid_application_type_client_credentials": (
            "Only clients with 'application_type' of 'service' may use the client_credentials 'grant_type' with "
            "the Org Authorization Server."
        ),
        "client_assertion_invalid_audience": (
            "The audience claim for client_assertion must be the endpoint invoked for the request."
        ),
        "client_assertion_expired_token": "The client_assertion token is expired.",
        "client_assertion_expires_too_far_in_future": (
            "The client_assertion token has an expiration too far into the future."
        ),
        "client_assertion_issued_at_in_future": "The client_assertion token must be issued before the current time.",
        "client_assertion_already_used": "The client_assertion token has already been used.",
        "client_assertion_invalid_signature": "The client_assertion signature is invalid.",
        "client_assertion_invalid_kid": "The client_assertion JWT kid is invalid.",
        "client_assertion_invalid_signature_algorithm": "The client_assertion JWT signature algorithm is invalid.",
        "client_assertion_invalid_secret_length": "The client secret is too short to verify a JWT HMAC.",
        "client_assertion_jwks_not_configured": (
            "The client does not have a JWKSet configured, but the client_assertion requires one."
        ),
        "jwks_uri_error": "Error retrieving the client JWKSet from jwks_uri.",
    },
    (400, "invalid_request"): {
        "invalid_request": "Invalid request",
        "client_assertion_type_invalid": "The client_assertion_type is invalid.",
        "client_credentials_in_query": "Client credentials cannot be supplied via query parameters.",
        "duplicate_oauth_params": "The request contained multiple parameters with the same name.",
        "token_request_missing_grant_type": "The token request must specify a 'grant_type'. Valid values: [{}]",
    },
    (401, "invalid_request"): {
        "multiple_client_credentials": (
            "Cannot supply multiple client credentials. Use one of the following: credentials in the "
            "Authorization header, credentials in the post body, or a client_assertion in the post body."
        ),
    },
    (401, "access_denied"): {
        "no_matching_policy": "Policy evaluation failed for this request, please check the policy configurations.",
    },
    (400, "access_denied"): {
        "no_scope_allowed": "Policy evaluation succeeded, but all the requested scopes were rejected.",
        "scope_denied": "Some of the requested scopes were denied by the policy. Denied scopes: [{}].",
    },
    (403, "access_denied"): {
        "disallowed_network_zone": "The request is made from outside the client's permitted network zones.",
    },
    (400, "invalid_scope"): {
        "invalid_scope": (
            "The requested scope is invalid, unknown, malformed, or exceeds the scope granted by the resource owner."
        ),
        "missing_scopes": "No scopes were requested.",
        "openid_not_allowed_client_creds": "Cannot request 'openid' scopes using client credentials.",
        "no_default_scopes": (
            "The authorization server resource does not have any configured default scopes, 'scope' must be provided."
        ),
        "no_matching_scope": "One or more scopes are not configured for the authorization server resource.",
    },
    (400, "invalid_target"): {
        "invalid_target": "The token request contains an invalid target.",
    },
    (400, "unauthorized_client"): {
        "unauthorized_client": (
            "The client is not authorized to use the provided grant type. Configured grant types: [{}]."
        ),
        "org_authorization_server_only_client": "This client cannot use a custom authorization server.",
    },
    (400, "unsupported_grant_type"): {
        "unsupported_grant_type": (
            "The authorization grant type is not supported by the authorization server. Configured grant types: [{}]."
        ),
    },
    (400, "invalid_dpop_proof"): {
        "invalid_dpop_proof": "The DPoP proof JWT is invalid.",
        "invalid_dpop_proof_missing_header": "The DPoP proof JWT header is missing.",
        "invalid_dpop_proof_jwt_issued_in_future": "The DPoP proof JWT is issued in the future.",
        "invalid_dpop_proof_jwt_too_old": "The DPoP proof JWT is issued more than five minutes in the past.",
        "dpop_proof_already_used": "The DPoP proof JWT has already been used.",
    },
    (400, "use_dpop_nonce"): {
        "use_dpop_nonce": "Authorization server requires nonce in DPoP proof.",
    },
    (400, "temporarily_unavailable"): {
        "temporarily_unavailable": (
            "The authorization server is currently unable to handle the request due to a temporary overloading "
            "or maintenance of the server."
        ),
    },
    (500, "server_error"): {
        "server_error": (
            "The authorization server encountered an unexpected condition that prevented it from fulfilling the "
            "request."
        ),
        "access_token_not_generated": "Failed to create the access_token.",
    },
    (403, "server_error"): {
        "feature_not_enabled": "The requested feature is not enabled in this environment.",
    },
    (400, "server_error"): {
        "system_claim_evaluation_failure": "The '{}' system claim could not be evaluated.",
    },
}

_TABLE = {name: (*kind, text) for kind, texts in _TEXTS.items() for name, text in texts.items()}

_EXAMPLES = {
    "token_request_missing_grant_type": ("client_credentials",),
    "scope_denied": ("api.read",),
    "unauthorized_client": ("client_credentials",),
    "unsupported_grant_type": ("client_credentials",),
    "system_claim_evaluation_failure": ("sub",),
}
"""What stands for `{}`, which Okta fills in."""
