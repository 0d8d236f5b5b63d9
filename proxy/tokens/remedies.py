"""
What a token endpoint's refusal means and where it is mended: tables, first match wins.

Okta is known by its words, those of its machine-readable error list, whatever its address is: only they lead to pages
of its Admin Console. Whatever else is said gets the remedy of its OAuth error (RFC 6749 5.2), which names no product's
pages.
"""

from typing import NamedTuple

from proxy.tokens.failure import is_about_clocks


class Remedy(NamedTuple):
    """The `cause` in a few words and what to `do` about it."""

    cause: str
    do: str


class _Rule(NamedTuple):
    error: str
    text: str
    """Stands in the description; for Okta's rules it is what nobody else says."""
    cause: str
    do: str


_APP = "Okta: Applications > Applications > your app > General"
_SERVER = "Okta: Security > API > Authorization Servers > your server"

_SECRETS = f"{_APP} > Client Credentials"
_KEYS = f"{_SECRETS} > Public Keys"
_REQUIRE = '"Require Demonstrating Proof of Possession (DPoP) header in token requests"'

_DEMANDS = "the app demands DPoP"
_NOT_TAKEN = "the server does not take the proof that was sent"
_NO_CLIENT = "no such client"
_WRONG_SECRET = "the client secret is wrong"  # noqa: S105  # a cause, not a secret
_WRONG_CREDENTIALS = "the client id or its secret or key is wrong"
_WRONG_AUDIENCE = "the assertion is for another address than this server expects"
_WRONG_KEY = "what signed is not what is registered for the app"
_NO_SCOPE = "no scope was asked for"
_UNKNOWN_SCOPE = "a scope is unknown to the authorization server"
_NO_GRANT = "the app may not use the grant Client Credentials"

NO_DPOP = "Set oauth.dpop: false if the API takes bearer tokens; else have the server require DPoP of this client."

_OKTAS = (
    _Rule(
        "invalid_dpop_proof",
        "DPoP proof JWT header is missing",
        _DEMANDS,
        f"Set oauth.dpop: true if the API takes bound tokens. Untick {_REQUIRE} if it takes bearer tokens only "
        f"({_APP}).",
    ),
    _Rule(
        "invalid_dpop_proof",
        "'htu' claim in the DPoP proof JWT",
        "the server knows its token endpoint by another address",
        f"Write the host in oauth.issuer that the Issuer URI has, a custom domain's too ({_SERVER} > Settings).",
    ),
    _Rule(
        "invalid_dpop_proof",
        "DPoP proof JWT signature algorithm",
        "the server takes no proofs that are signed with ES256",
        "Set oauth.dpop: false; its metadata names what it takes (dpop_signing_alg_values_supported).",
    ),
    _Rule(
        "invalid_dpop_proof",
        "DPoP proof JWT",
        _NOT_TAKEN,
        "Does something on the way (oauth.proxy) change the DPoP header field? Else set oauth.dpop: false and "
        f"untick {_REQUIRE} ({_APP}).",
    ),
    _Rule(
        "invalid_client",
        "Invalid value for 'client_id'",
        _NO_CLIENT,
        f"Compare oauth.client_id with the Client ID ({_APP}), and oauth.issuer with the org it lives in.",
    ),
    _Rule(
        "invalid_client",
        "must use the private_key_jwt",
        "Okta's org authorization server takes no client secrets",
        f"Register a key ({_KEYS}) and set oauth.private_key_file, or set oauth.issuer to a custom authorization "
        "server, {org}/oauth2/{id}.",
    ),
    _Rule(
        "invalid_client",
        "must use either private_key_jwt or client_secret_basic",
        "Okta's org authorization server does not take the secret in this way",
        "Set oauth.auth_method: client_secret_basic, or oauth.private_key_file.",
    ),
    _Rule(
        "invalid_client",
        "claim for client_assertion is not a valid client_id",
        _NO_CLIENT,
        f"Compare oauth.client_id with the Client ID ({_APP}).",
    ),
    _Rule(
        "invalid_client",
        "audience claim for client_assertion",
        _WRONG_AUDIENCE,
        "Write the host in oauth.issuer that the Issuer URI has, also with a custom domain "
        f"({_SERVER} > Settings); oauth.assertion has the audience that is sent.",
    ),
    _Rule(
        "invalid_client",
        "client_assertion signature is invalid",
        _WRONG_KEY,
        f"Compare oauth.private_key_file and oauth.private_key_id with the app's keys ({_KEYS}); with "
        "client_secret_jwt, the secret.",
    ),
    _Rule(
        "invalid_client",
        "client_assertion JWT kid is invalid",
        "the app has no active key of this name, or has several and none was named",
        f"Set oauth.private_key_id to the KID of one that is active ({_KEYS}).",
    ),
    _Rule(
        "invalid_client",
        "client_assertion JWT signature algorithm",
        "the server does not take this algorithm for the app",
        f"Name the one that is registered in oauth.assertion, as algorithm ({_KEYS}).",
    ),
    _Rule(
        "invalid_client",
        "JWKSet",
        "no usable public key is registered for the app",
        f"Choose Public key / Private key and add that of oauth.private_key_file ({_KEYS}).",
    ),
    _Rule(
        "invalid_client",
        "'use' parameter",
        "the registered key is not one for signing",
        f"Register it with use: sig ({_KEYS}).",
    ),
    _Rule(
        "invalid_client",
        "too short to verify a JWT HMAC",
        "the client secret is too short to sign with",
        "Set oauth.auth_method: client_secret_post, or give the app a secret of 32 characters or more.",
    ),
    _Rule(
        "invalid_client",
        "client does not have a client secret",
        "the app has no client secret",
        f"Set oauth.private_key_file instead, or choose Client secret ({_SECRETS}).",
    ),
    _Rule(
        "invalid_client",
        "'application_type'",
        "Okta's org authorization server takes only apps of the type API Services",
        f"Use such an app, or set oauth.issuer to a custom authorization server ({_SERVER} > Issuer URI).",
    ),
    _Rule(
        "invalid_client",
        "client secret supplied for a confidential client",
        _WRONG_SECRET,
        f"Copy it again into oauth.client_secret or its file; is it active? ({_SECRETS}).",
    ),
    *(
        _Rule(
            "invalid_client",
            text,
            _WRONG_CREDENTIALS,
            f"Compare oauth.client_id, oauth.client_secret or the key with the app's ({_SECRETS}).",
        )
        for text in ("Either the client or the client credentials are invalid", "No client credentials found")
    ),
    _Rule(
        "access_denied",
        "Policy evaluation failed",
        "no access policy lets this client have these scopes",
        f"Add a policy for the client and a rule with the grant Client Credentials ({_SERVER} > Access Policies).",
    ),
    _Rule(
        "access_denied",
        "permitted network zones",
        "this machine's address is outside the client's permitted network zones",
        f"Allow it ({_APP}, and Okta: Security > Networks).",
    ),
    *(
        _Rule(
            "access_denied",
            text,
            "the policy denies the scopes",
            f"Allow oauth.scopes in the policy's rule ({_SERVER} > Access Policies), or ask for others.",
        )
        for text in ("Policy evaluation succeeded", "denied by the policy")
    ),
    *(
        _Rule("invalid_scope", text, _NO_SCOPE, f"Name the API's scope in oauth.scopes ({_SERVER} > Scopes).")
        for text in ("configured default scopes", "No scopes were requested")
    ),
    _Rule(
        "invalid_scope",
        "not configured for the authorization server resource",
        _UNKNOWN_SCOPE,
        f"Compare oauth.scopes with its scopes ({_SERVER} > Scopes).",
    ),
    _Rule(
        "client_credentials_self_scope_requested",
        "",
        "a .self scope is for people, not for services",
        "Remove it from oauth.scopes.",
    ),
    _Rule(
        "consent_required",
        "not allowed any of the requested scopes",
        "none of these scopes has been granted to the app",
        "Grant them (Okta: Applications > Applications > your app > Okta API Scopes); an admin role decides what "
        "they show (the same app > Admin roles).",
    ),
    _Rule(
        "unauthorized_client",
        "custom authorization server",
        "this client may not use a custom authorization server",
        "Set oauth.issuer to the org itself, or use an app of the type API Services.",
    ),
    _Rule(
        "unauthorized_client",
        "not authorized to use the provided grant type",
        _NO_GRANT,
        f"Tick Client Credentials under Grant type ({_APP}), or use an app of the type API Services.",
    ),
    _Rule(
        "server_error",
        "feature is not enabled in this environment",
        "the org lacks API Access Management",
        "Okta: ask for that product, or use an Integrator org.",
    ),
    _Rule(
        "server_error",
        "claim could not be evaluated",
        "a claim's expression fails for a client without a user",
        f"Correct it ({_SERVER} > Claims).",
    ),
    _Rule(
        "E0000007",
        "",
        "there is no such authorization server",
        f"Compare oauth.issuer with its Issuer URI ({_SERVER} > Settings).",
    ),
)

_EVERYBODYS = (
    *(
        _Rule(
            error,
            text,
            _DEMANDS,
            "Set oauth.dpop: true if the API takes bound tokens; else have the server give this client bearer tokens.",
        )
        for error, text in (("invalid_dpop_proof", "missing"), ("use_dpop_nonce", ""))
    ),
    _Rule(
        "invalid_dpop_proof",
        "",
        _NOT_TAKEN,
        "Does something on the way (oauth.proxy) change the DPoP header field? Compare the clocks, and see the "
        "server's own log; else set oauth.dpop: false.",
    ),
    *(
        _Rule(
            "invalid_client",
            text,
            "the clocks differ",
            "Set this machine's clock (NTP).",
        )
        for text in ("valid time range", "token is not active", "issued in the future")
    ),
    _Rule(
        "invalid_client",
        "audience",
        _WRONG_AUDIENCE,
        "Set audience in oauth.assertion: issuer, or what the server's documentation says.",
    ),
    *(
        _Rule(
            "invalid_client",
            text,
            _WRONG_KEY,
            "Compare oauth.private_key_file, oauth.private_key_id and certificate_file in oauth.assertion with what is "
            "registered for this client at the server.",
        )
        for text in ("signature", "signed", "public key", "certificate", "kid")
    ),
    _Rule(
        "invalid_client",
        "client secret",
        _WRONG_SECRET,
        "Copy it again into oauth.client_secret or its file; has it run out, or been replaced?",
    ),
    *(
        _Rule(
            error,
            text,
            _WRONG_CREDENTIALS,
            "Compare oauth.client_id, oauth.client_secret or the key, and oauth.auth_method with what is registered at "
            "the server.",
        )
        # What Auth0 and Keycloak say of a wrong secret.
        for error, text in (
            ("invalid_client", ""),
            ("access_denied", "unauthorized"),
            ("unauthorized_client", "client credentials"),
        )
    ),
    *(
        _Rule(error, text, _NO_CLIENT, "Compare oauth.client_id, oauth.issuer and oauth.token_url with the server's.")
        # Entra ID.
        for error, text in (("unauthorized_client", "not found"), ("invalid_request", "tenant"))
    ),
    *(
        _Rule(
            "access_denied",
            text,
            "the server wants to know which API the token is for, or does not know that one",
            "Set audience in oauth.extra_params to the API's identifier, to the letter.",
        )
        # Auth0.
        for text in ("apiv1", "service not found")
    ),
    _Rule(
        "access_denied",
        "",
        "the server does not let this client have these scopes",
        "Grant them to the client at the server, or ask for others in oauth.scopes; some go by oauth.extra_params.",
    ),
    _Rule(
        "invalid_scope",
        "openid",
        "openid scopes are for people, not for services",
        "Remove openid, profile, email and offline_access from oauth.scopes.",
    ),
    _Rule(
        "invalid_scope",
        "/.default",
        "the scope must be one API's, with /.default behind it",
        "Write the API's Application ID URI and /.default in oauth.scopes.",
    ),
    _Rule(
        "invalid_scope",
        "",
        _UNKNOWN_SCOPE,
        "Compare oauth.scopes with those that this client may ask for at the server.",
    ),
    _Rule("unauthorized_client", "", _NO_GRANT, "Switch that grant on at the server, for oauth.client_id."),
    _Rule(
        "invalid_request",
        "multiple client credentials",
        "credentials were sent twice",
        "Remove those in oauth.extra_params.",
    ),
    _Rule(
        "invalid_grant",
        "",
        "the server refuses the grant as it was asked for; some say so where a client must use DPoP",
        "Set oauth.dpop: true if this client's tokens must be bound; see the server's own log.",
    ),
    _Rule(
        "unsupported_grant_type",
        "",
        "the server does not do client credentials",
        "Check oauth.issuer or oauth.token_url.",
    ),
    *(
        _Rule(error, "", "the audience or resource is unknown to the server", "Check oauth.scopes, oauth.extra_params.")
        for error in ("invalid_target", "invalid_resource")
    ),
)

_CLOCK = Remedy("the clocks differ", "Set this machine's clock (NTP).")
_GENERAL = Remedy("the token endpoint refused the request", "Check oauth.issuer, oauth.token_url and oauth.client_id.")
_NOT_FOUND = Remedy("there is no token endpoint at this address", "Check oauth.issuer or oauth.token_url.")


def remedy_for(status: int, error: str, description: str) -> Remedy:
    """Return the remedy for an answer with this HTTP *status*, OAuth *error* (or `errorCode`) and *description*."""
    if is_about_clocks(description):
        return _CLOCK
    for rule in _OKTAS:
        if rule.error == error and rule.text in description:
            return Remedy(rule.cause, rule.do)
    words = description.lower()
    for rule in _EVERYBODYS:
        if rule.error == error and rule.text in words:
            return Remedy(rule.cause, rule.do)
    return _NOT_FOUND if status == 404 else _GENERAL
