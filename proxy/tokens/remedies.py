"""
What a token endpoint's refusal means and where it is mended: a table, first match wins.

Okta's texts are those of its machine-readable error list; the places are those of its Admin Console. Another
server's refusal gets the general remedy of its OAuth error (RFC 6749 5.2).
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
    remedy: Remedy


_APP = "Okta: Applications > Applications > your app > General"
_SERVER = "Okta: Security > API > Authorization Servers > your server"

_DPOP = Remedy(
    "the app demands DPoP, which this API's token must not have",
    f'Untick "Require Demonstrating Proof of Possession (DPoP) header in token requests" ({_APP}).',
)

_RULES = (
    _Rule("invalid_dpop_proof", "", _DPOP),
    _Rule("use_dpop_nonce", "", _DPOP),
    _Rule(
        "invalid_client",
        "Invalid value for 'client_id'",
        Remedy(
            "no such client",
            f"Compare oauth.client_id with the Client ID ({_APP}), and oauth.issuer with the org it lives in.",
        ),
    ),
    _Rule(
        "invalid_client",
        "must use the private_key_jwt",
        Remedy(
            "Okta's org authorization server takes no client secrets",
            f"Set oauth.issuer to a custom authorization server, {{org}}/oauth2/{{id}} ({_SERVER} > Issuer URI).",
        ),
    ),
    _Rule(
        "invalid_client",
        "application_type",
        Remedy(
            "Okta's org authorization server takes only apps of the type API Services",
            f"Use such an app, or set oauth.issuer to a custom authorization server ({_SERVER} > Issuer URI).",
        ),
    ),
    _Rule(
        "invalid_client",
        "client secret",
        Remedy(
            "the client secret is wrong",
            f"Copy it again into oauth.client_secret or its file; is it active? ({_APP} > Client Credentials).",
        ),
    ),
    _Rule(
        "invalid_client",
        "",
        Remedy(
            "the client id or its secret is wrong",
            f"Compare oauth.client_id and oauth.client_secret with the app's ({_APP} > Client Credentials).",
        ),
    ),
    _Rule(
        "access_denied",
        "Policy evaluation failed",
        Remedy(
            "no access policy lets this client have these scopes",
            f"Add a policy for the client and a rule with the grant Client Credentials ({_SERVER} > Access Policies).",
        ),
    ),
    _Rule(
        "access_denied",
        "network zones",
        Remedy(
            "this machine's address is outside the client's permitted network zones",
            f"Allow it ({_APP}, and Okta: Security > Networks).",
        ),
    ),
    _Rule(
        "access_denied",
        "",
        Remedy(
            "the policy denies the scopes",
            f"Allow oauth.scopes in the policy's rule ({_SERVER} > Access Policies), or ask for others.",
        ),
    ),
    _Rule(
        "invalid_scope",
        "openid",
        Remedy(
            "openid scopes are for people, not for services",
            "Remove openid, profile, email and offline_access from oauth.scopes.",
        ),
    ),
    _Rule(
        "invalid_scope",
        "default scopes",
        Remedy("no scope was asked for", f"Name the API's scope in oauth.scopes ({_SERVER} > Scopes)."),
    ),
    _Rule(
        "invalid_scope",
        "No scopes were requested",
        Remedy("no scope was asked for", f"Name the API's scope in oauth.scopes ({_SERVER} > Scopes)."),
    ),
    _Rule(
        "invalid_scope",
        "",
        Remedy(
            "a scope is unknown to the authorization server",
            f"Compare oauth.scopes with its scopes ({_SERVER} > Scopes).",
        ),
    ),
    _Rule(
        "unauthorized_client",
        "custom authorization server",
        Remedy(
            "this client may not use a custom authorization server",
            "Set oauth.issuer to the org itself, or use an app of the type API Services.",
        ),
    ),
    _Rule(
        "unauthorized_client",
        "",
        Remedy(
            "the app may not use the grant Client Credentials",
            f"Tick Client Credentials under Grant type ({_APP}), or use an app of the type API Services.",
        ),
    ),
    _Rule(
        "server_error",
        "feature",
        Remedy("the org lacks API Access Management", "Okta: ask for that product, or use an Integrator org."),
    ),
    _Rule(
        "server_error",
        "claim",
        Remedy("a claim's expression fails for a client without a user", f"Correct it ({_SERVER} > Claims)."),
    ),
    _Rule(
        "invalid_request",
        "multiple client credentials",
        Remedy("credentials were sent twice", "Remove those in oauth.extra_params."),
    ),
    _Rule(
        "unsupported_grant_type",
        "",
        Remedy("the server does not do client credentials", "Check oauth.issuer or oauth.token_url."),
    ),
    _Rule(
        "E0000007",
        "",
        Remedy(
            "there is no such authorization server",
            f"Compare oauth.issuer with its Issuer URI ({_SERVER} > Settings).",
        ),
    ),
    _Rule(
        "invalid_target",
        "",
        Remedy("the audience or resource is unknown to the server", "Check oauth.extra_params."),
    ),
)

_CLOCK = Remedy("the clocks differ", "Set this machine's clock (NTP).")
_GENERAL = Remedy("the token endpoint refused the request", "Check oauth.issuer, oauth.token_url and oauth.client_id.")
_NOT_FOUND = Remedy("there is no token endpoint at this address", "Check oauth.issuer or oauth.token_url.")


def remedy_for(status: int, error: str, description: str) -> Remedy:
    """Return the remedy for an answer with this HTTP *status*, OAuth *error* (or `errorCode`) and *description*."""
    if is_about_clocks(description):
        return _CLOCK
    for rule in _RULES:
        if rule.error == error and rule.text in description:
            return rule.remedy
    return _NOT_FOUND if status == 404 else _GENERAL
