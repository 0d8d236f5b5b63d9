"""What each of Okta's refusals is said to mean, and the place where it is mended."""

import json

import pytest

from proxy.emulator.errors import names, oauth_error
from proxy.emulator.providers import MANNERS
from proxy.tokens.answer import Answer, read_answer
from proxy.tokens.failure import Failure
from proxy.tokens.remedies import remedy_for


def failure_of(status, body):
    """Return what an answer means."""
    failure = read_answer(Answer(status, {}, json.dumps(body).encode(), 0.0, 0.0), "s3cr3t-4711")
    assert isinstance(failure, Failure)
    return failure


def okta(name):
    """Return what Okta's refusal with this name means."""
    error = oauth_error(name)
    return failure_of(error.status, {"error": error.error, "error_description": error.description})


@pytest.mark.parametrize(
    ("name", "cause", "place"),
    [
        ("invalid_client_id", "no such client", "oauth.client_id"),
        ("invalid_client_secret", "the client secret is wrong", "General > Client Credentials"),
        ("invalid_client", "client id or its secret", "General > Client Credentials"),
        ("missing_client_credentials", "client id or its secret", "oauth.client_secret"),
        ("invalid_basic_auth_creds", "client id or its secret", "oauth.client_id"),
        ("unsupported_auth_method_client_creds", "takes no client secrets", "oauth.issuer"),
        ("invalid_application_type_client_credentials", "of the type API Services", "Issuer URI"),
        ("no_matching_policy", "no access policy", "Access Policies"),
        ("no_scope_allowed", "denies the scopes", "Access Policies"),
        ("scope_denied", "denies the scopes", "oauth.scopes"),
        ("disallowed_network_zone", "network zones", "Security > Networks"),
        ("no_matching_scope", "a scope is unknown", "your server > Scopes"),
        ("invalid_scope", "a scope is unknown", "oauth.scopes"),
        ("no_default_scopes", "no scope was asked for", "oauth.scopes"),
        ("missing_scopes", "no scope was asked for", "oauth.scopes"),
        ("openid_not_allowed_client_creds", "for people", "Remove openid"),
        ("unauthorized_client", "may not use the grant", "Grant type"),
        ("org_authorization_server_only_client", "may not use a custom", "oauth.issuer"),
        ("unsupported_grant_type", "does not do client credentials", "oauth.token_url"),
        ("invalid_dpop_proof_missing_header", "demands DPoP", "Untick"),
        ("invalid_dpop_proof", "does not take the proof", "oauth.dpop"),
        ("client_assertion_invalid_signature", "not what is registered", "Public Keys"),
        ("client_assertion_invalid_kid", "no active key of this name", "oauth.private_key_id"),
        ("client_assertion_invalid_audience", "another address", "oauth.assertion"),
        ("client_assertion_invalid_signature_algorithm", "does not take this algorithm", "oauth.assertion"),
        ("client_assertion_invalid_secret_length", "too short", "oauth.auth_method"),
        ("client_assertion_jwks_not_configured", "no usable public key", "Public Keys"),
        ("use_dpop_nonce", "demands DPoP", "oauth.dpop: true"),
        ("invalid_target", "audience or resource", "oauth.extra_params"),
        ("multiple_client_credentials", "sent twice", "oauth.extra_params"),
        ("system_claim_evaluation_failure", "claim's expression", "Claims"),
        ("feature_not_enabled", "API Access Management", "Okta:"),
    ],
)
def test_a_refusal_says_its_cause_and_its_place(name, cause, place):
    """Each text of Okta's list is refused at once, quoted, explained, and leads to a key or a page of the console."""
    failure = okta(name)
    error = oauth_error(name)
    assert failure.outcome == "refused"
    assert failure.message == f"The token endpoint answered {error.status}, {error.error}: {error.description}"
    assert cause in failure.remedy
    assert place in failure.remedy


@pytest.mark.parametrize(
    "name",
    [
        "client_assertion_expired_token",
        "client_assertion_expires_too_far_in_future",
        "client_assertion_issued_at_in_future",
        "invalid_dpop_proof_jwt_issued_in_future",
        "invalid_dpop_proof_jwt_too_old",
    ],
)
def test_a_wrong_clock_is_named_and_tried_again(name):
    """It heals when the clock is set, so it is no refusal; the remedy is NTP."""
    failure = okta(name)
    assert failure.outcome == "failed"
    assert "clocks differ" in failure.remedy
    assert "NTP" in failure.remedy


@pytest.mark.parametrize(
    "name",
    [
        "client_assertion_already_used",
        "dpop_proof_already_used",
        "jwks_uri_error",
        "temporarily_unavailable",
        "server_error",
        "access_token_not_generated",
    ],
)
def test_what_passes_by_itself_sends_nobody_to_the_console(name):
    """A used id, keys that Okta could not fetch, maintenance, a server error: tried again, without a remedy."""
    failure = okta(name)
    assert (failure.outcome, failure.remedy) == ("failed", "")


def test_an_unknown_authorization_server_has_its_remedy():
    """Okta's 404 for the id of an authorization server leads to the Issuer URI."""
    body = {"errorCode": "E0000007", "errorSummary": "Not found: Resource not found: aus1 (AuthorizationServer)"}
    failure = failure_of(404, body)
    assert failure.outcome == "refused"
    assert "no such authorization server" in failure.remedy
    assert "Issuer URI" in failure.remedy


def test_another_404_is_an_address_without_a_token_endpoint():
    """A bare 404 leads to the two keys that make the address."""
    failure = failure_of(404, {})
    assert failure.outcome == "refused"
    assert "no token endpoint at this address" in failure.remedy
    assert "oauth.token_url" in failure.remedy


@pytest.mark.parametrize(
    "text", ["API call exceeded rate limit due to too many requests.", "You exceeded the maximum number of requests."]
)
def test_a_rate_limit_needs_no_person(text):
    """E0000047 in both of its texts is waited out."""
    failure = failure_of(429, {"errorCode": "E0000047", "errorSummary": text})
    assert (failure.outcome, failure.remedy, failure.error) == ("limited", "", "E0000047")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("invalid_client", "client id or its secret"),
        ("invalid_scope", "a scope is unknown"),
        ("unauthorized_client", "may not use the grant"),
        ("access_denied", "does not let this client have these scopes"),
        ("invalid_grant", "must use DPoP"),
        ("something_new", "refused the request"),
        ("", "refused the request"),
    ],
)
def test_other_servers_errors_have_the_general_remedy(error, cause):
    """An OAuth error without Okta's words (RFC 6749 5.2) is explained by its name alone, and nobody sent to Okta."""
    remedy = remedy_for(400, error, "")
    assert cause in remedy.cause
    assert "Okta" not in remedy.do


@pytest.mark.parametrize(
    ("status", "error", "description"),
    sorted({text for manner in MANNERS.values() for text in manner.texts.values()}),
)
def test_what_another_product_says_sends_nobody_to_okta(status, error, description):
    """Each refusal of Auth0, Entra ID, Keycloak, Cognito and Ping leads to our own keys, not to Okta's console."""
    cause, do = remedy_for(status, error, description)
    assert "Okta" not in cause + do
    assert "oauth." in do or "NTP" in do
    assert do.isascii()
    assert do.endswith((".", "?"))


@pytest.mark.parametrize(
    ("status", "error", "description", "cause", "key"),
    [
        (401, "access_denied", "Unauthorized", "client id or its secret", "oauth.client_secret"),
        (403, "access_denied", "Non-global clients are not allowed access to APIv1", "which API", "audience"),
        (403, "access_denied", "Service not found: https://api", "which API", "oauth.extra_params"),
        (403, "access_denied", "Client has not been granted scopes: a", "does not let this client", "oauth.scopes"),
        (401, "unauthorized_client", "Invalid client or Invalid client credentials", "id or its secret", "client_id"),
        (401, "unauthorized_client", "Client not enabled to retrieve service account", "the grant", "oauth.client_id"),
        (400, "invalid_client", "Invalid token audience", "another address", "oauth.assertion"),
        (400, "invalid_client", "Unable to load public key", "not what is registered", "oauth.private_key_id"),
        (400, "invalid_dpop_proof", "DPoP proof is missing", "demands DPoP", "oauth.dpop: true"),
        (401, "invalid_client", "AADSTS7000215: Invalid client secret provided.", "secret is wrong", "client_secret"),
        (400, "invalid_scope", "AADSTS1002012: ... must have /.default suffixed", "/.default", "oauth.scopes"),
        (400, "unauthorized_client", "AADSTS700016: Application was not found in", "no such client", "client_id"),
        (400, "invalid_client", "", "client id or its secret", "oauth.auth_method"),
    ],
)
def test_other_products_words_are_understood(status, error, description, cause, key):
    """What Auth0, Keycloak, Entra ID and Cognito mean by their refusals is told from their words."""
    remedy = remedy_for(status, error, description)
    assert cause in remedy.cause
    assert key in remedy.do


@pytest.mark.parametrize("name", names())
def test_every_remedy_is_a_sentence_that_names_a_key_or_a_place(name):
    """Whatever Okta says, the advice is short ASCII with a place to go, and no placeholder is left in it."""
    error = oauth_error(name)
    cause, do = remedy_for(error.status, error.error, error.description)
    assert any(place in do for place in ("oauth.", "Okta:", "NTP", "Remove openid"))
    assert cause.isascii()
    assert do.isascii()
    assert "{" not in do.replace("{org}/oauth2/{id}", "")
    assert do.endswith(".")
    assert len(do) < 250
