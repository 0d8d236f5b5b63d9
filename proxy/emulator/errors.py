"""
Okta's OAuth errors by Okta's own names: status, `error` and `error_description`, word for word.

The names are the `internalErrorCode`s of the list that Okta publishes for machines; they are not on the wire. Only
what a token request with client credentials, or an API call with its token, can meet is here. What another server
says in the place of each is in `proxy.emulator.providers`.
"""

from typing import NamedTuple


class OAuthError(NamedTuple):
    """What Okta's token endpoint refuses with, as RFC 6749 section 5.2 shapes it."""

    name: str
    status: int
    error: str
    description: str


class RefusalError(Exception):
    """A request is refused, with the error that Okta calls `name`; `values` stand for what its text leaves open."""

    def __init__(self, name: str, *values: str) -> None:
        super().__init__(name)
        self.name = name
        self.values = values


def oauth_error(name: str, *values: str) -> OAuthError:
    """Return the error that Okta calls *name*, with *values* in its text; `KeyError` for a name that is not here."""
    status, error, text = _TABLE[name]
    return OAuthError(name, status, error, text.format(*(values or _EXAMPLES.get(name, ()))))


def names() -> tuple[str, ...]:
    """Return the name of every error of the token endpoint that `oauth_error` knows."""
    return _NAMES


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
        "client_assertion_invalid_issuer": "The issuer claim for client_assertion is not a valid client_id.",
        "client_assertion_invalid_subject": "The subject claim for client_assertion is not a valid client_id.",
        "client_assertion_invalid_no_secret": (
            "The issuer and subject claim for client_assertion is invalid because the client does not have a client "
            "secret."
        ),
        "client_assertion_expiration_required": (
            "The client_assertion must contain the 'exp' claim as seconds since epoch."
        ),
        "client_assertion_invalid_jwt": "The parsing of the client_assertion failed.",
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
    (400, "client_credentials_self_scope_requested"): {
        "client_credentials_self_scope_requested": (
            "The 'client_credentials' grant type may not request .self scopes."
        ),
    },
    (400, "consent_required"): {
        "no_org_scopes_granted": "You are not allowed any of the requested scopes.",
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
        "invalid_dpop_proof_multiple_headers_not_allowed": "Multiple DPoP proof JWT headers are not allowed.",
        "invalid_dpop_proof_invalid_type": "'typ' must be 'dpop+jwt' in the DPoP proof JWT.",
        "invalid_dpop_proof_invalid_signature_algorithm": "The DPoP proof JWT signature algorithm is invalid.",
        "invalid_dpop_proof_invalid_jwt": "The DPoP proof JWT cannot be parsed.",
        "invalid_dpop_proof_invalid_signature": "The DPoP proof JWT signature is invalid.",
        "invalid_dpop_proof_invalid_htm": "'htm' claim in the DPoP proof JWT is invalid.",
        "invalid_dpop_proof_invalid_htu": "'htu' claim in the DPoP proof JWT is invalid.",
        "invalid_dpop_proof_invalid_iat": "'iat' claim in the DPoP proof JWT is invalid.",
        "invalid_dpop_proof_jwt_issued_in_future": "The DPoP proof JWT is issued in the future.",
        "invalid_dpop_proof_jwt_too_old": "The DPoP proof JWT is issued more than five minutes in the past.",
        "invalid_dpop_proof_invalid_jti": "'jti' claim in the DPoP proof JWT is invalid.",
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

_API_TEXTS = {
    (400, "invalid_request"): {
        "dpop_proof_required_for_token": "The resource request requires a DPoP proof.",
        "dpop_authentication_scheme_required": (
            "The resource request must use the DPoP authentication scheme when using a DPoP bound token."
        ),
    },
    (400, "invalid_dpop_proof"): {
        "dpop_proof_invalid_ath": "'ath' claim in the DPoP proof does not match the presented access_token.",
        "invalid_access_token_dpop_binding": "The access_token is not bound to the provided DPoP proof.",
    },
    (401, "invalid_token"): {
        "access_token_not_dpop_bound": "The presented access_token is not DPoP bound.",
    },
}
"""What only a call of an API meets."""

_NAMES = tuple(name for texts in _TEXTS.values() for name in texts)

_TABLE = {
    name: (*kind, text)
    for table in (_TEXTS, _API_TEXTS)
    for kind, texts in table.items()
    for name, text in texts.items()
}

_EXAMPLES = {
    "token_request_missing_grant_type": ("client_credentials",),
    "scope_denied": ("api.read",),
    "unauthorized_client": ("client_credentials",),
    "unsupported_grant_type": ("client_credentials",),
    "system_claim_evaluation_failure": ("sub",),
}
"""What stands for `{}`, which Okta fills in."""
