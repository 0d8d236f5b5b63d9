"""How the emulated products differ: addresses, scopes, what must be there, and words."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.emulator import scopes
from proxy.emulator.answers import oauth_refusal
from proxy.emulator.call import Call, Grant, Rules
from proxy.emulator.client import Client
from proxy.emulator.documents import metadata
from proxy.emulator.errors import RefusalError, names, oauth_error
from proxy.emulator.grants import decide
from proxy.emulator.manner import OKTA, Endpoint, Name, manner_of

NAMES = get_args(Name)
OTHERS = tuple(name for name in NAMES if name != "okta")
AUDIENCE = "https://api.example.com"
PAGE = Path(__file__).parents[2] / "docs" / "identity-providers.md"


def rules(name, **changed):
    """The product's rules for a client with a secret and two scopes."""
    common = {
        "client": Client("0oa1", ("hush",), ()),
        "scopes": ("api.read", "api.write"),
        "audience": AUDIENCE,
        "manner": manner_of(name),
    }
    return Rules(**(common | changed))


def ask(name, by=None, *, authorization=(), **form):
    """What a token request with the client's secret gets; None leaves a parameter out."""
    good = {"grant_type": "client_credentials", "client_id": "0oa1", "client_secret": "hush"} | form
    sent = tuple((key, value) for key, value in good.items() if value is not None)
    return decide(Call(form=sent, authorization=authorization), by or rules(name))


@pytest.mark.parametrize(
    ("name", "issuer", "token"),
    [
        ("okta", "/oauth2/default", "/oauth2/default/v1/token"),
        ("auth0", "/", "/oauth/token"),
        (
            "entra",
            "/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0",
            "/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/oauth2/v2.0/token",
        ),
        ("keycloak", "/realms/example", "/realms/example/protocol/openid-connect/token"),
        ("cognito", "/eu-west-1_Example1", "/oauth2/token"),
        (
            "pingone",
            "/5ac6bf6a-1c1f-4d2b-9bbf-1b4c1cbf7ed6/as",
            "/5ac6bf6a-1c1f-4d2b-9bbf-1b4c1cbf7ed6/as/token",
        ),
        ("pingfederate", "", "/as/token.oauth2"),
    ],
)
def test_each_product_has_its_addresses(name, issuer, token):
    """Issuer and token endpoint are where the product has them, and the paths mean what the addresses say."""
    made = manner_of(name)
    server = made.servers[0]
    assert made.issuer("http://o", server) == f"http://o{issuer}"
    assert made.token_url("http://o", server) == f"http://o{token}"
    assert made.endpoint(token) == Endpoint("token", server)
    assert made.endpoint(made.keys_url("", server)) == Endpoint("keys", server)
    assert made.endpoint(f"{issuer.rstrip('/')}/.well-known/openid-configuration") == Endpoint("openid", server)
    assert made.endpoint("/elsewhere") is None


@pytest.mark.parametrize("name", NAMES)
def test_the_metadata_is_the_products(name):
    """It names the issuer, the methods and the algorithms that are taken; DPoP only where it is known."""
    made = manner_of(name)
    document = metadata("http://o", made.servers[0], ("a",), openid=True, manner=made)
    assert document["issuer"] == made.issuer("http://o", made.servers[0])
    assert set(made.methods) <= set(document["token_endpoint_auth_methods_supported"])
    assert ("dpop_signing_alg_values_supported" in document) == made.dpop
    assert ("authorization_endpoint" in document) == (name == "okta")


def test_an_unknown_manner_is_an_error():
    """It names those that there are."""
    with pytest.raises(ValueError, match="no such manner: adfs; there are okta, auth0, entra, "):
        manner_of("adfs")


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("error", names())
def test_every_refusal_of_okta_can_be_said_by_each(name, error):
    """In words of its own or in Okta's, without a hole; the error is a code or, at Keycloak, a sentence."""
    said = manner_of(name).error(error)
    assert said.name == error
    assert 400 <= said.status <= 500
    assert "{" not in said.description


@pytest.mark.parametrize(
    ("name", "form", "status", "error", "description"),
    [
        ("auth0", {}, 403, "access_denied", "Non-global clients are not allowed access to APIv1"),
        ("auth0", {"audience": "https://other"}, 403, "access_denied", "Service not found: https://other"),
        (
            "auth0",
            {"audience": AUDIENCE, "scope": "api.read admin"},
            403,
            "access_denied",
            "Client has not been granted scopes: admin",
        ),
        ("auth0", {"audience": AUDIENCE, "client_secret": "x"}, 401, "access_denied", "Unauthorized"),
        ("auth0", {"audience": AUDIENCE, "client_id": "x"}, 401, "access_denied", "Unauthorized"),
        (
            "auth0",
            {"audience": AUDIENCE, "grant_type": "password"},
            403,
            "unauthorized_client",
            "Grant type 'password' not allowed for the client.",
        ),
        (
            "entra",
            {"scope": None},
            400,
            "invalid_request",
            "AADSTS900144: The request body must contain the following parameter: 'scope'.",
        ),
        (
            "entra",
            {"client_id": None, "scope": "x"},
            400,
            "invalid_request",
            "AADSTS900144: The request body must contain the following parameter: 'client_id'.",
        ),
        (
            "entra",
            {"scope": f"{AUDIENCE}/api.read"},
            400,
            "invalid_scope",
            (
                f"AADSTS1002012: The provided value for scope {AUDIENCE}/api.read is not valid. Client credential "
                "flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
            ),
        ),
        (
            "entra",
            {"scope": "a/.default b/.default"},
            400,
            "invalid_scope",
            (
                "AADSTS28000: Provided value for the input parameter scope is not valid because it contains more than "
                "one resource. Scope a/.default b/.default is not valid."
            ),
        ),
        (
            "entra",
            {"scope": "a/.default"},
            400,
            "invalid_resource",
            (
                "AADSTS500011: The resource principal named a was not found in the tenant named "
                "8eaef023-2b34-4da1-9baa-8bc8c9d6a490."
            ),
        ),
        (
            "entra",
            {"scope": "x", "client_id": "0oa2"},
            400,
            "unauthorized_client",
            (
                "AADSTS700016: Application with identifier '0oa2' was not found in the directory "
                "'8eaef023-2b34-4da1-9baa-8bc8c9d6a490'."
            ),
        ),
        (
            "keycloak",
            {"client_secret": "x"},
            401,
            "unauthorized_client",
            "Invalid client or Invalid client credentials",
        ),
        ("keycloak", {"client_id": "x"}, 401, "invalid_client", "Invalid client or Invalid client credentials"),
        ("keycloak", {"scope": "api.read no nope"}, 400, "invalid_scope", "Invalid scopes: no nope"),
        ("keycloak", {"grant_type": "x"}, 400, "unsupported_grant_type", "Unsupported grant_type"),
        ("cognito", {"client_secret": "x"}, 400, "invalid_client", ""),
        ("pingfederate", {"client_secret": "x"}, 401, "invalid_client", "Invalid client or client credentials."),
        (
            "pingfederate",
            {"scope": "x"},
            400,
            "invalid_scope",
            "The requested scope(s) must be blank or a subset of the provided scopes.",
        ),
        ("pingone", {"client_secret": "x"}, 401, "invalid_client", "Request denied: Invalid client credentials"),
    ],
)
def test_a_refusal_is_in_the_products_words(name, form, status, error, description):
    """Status, error and description as people quote them."""
    assert ask(name, **form)[1:] == (status, error, description)


@pytest.mark.parametrize("name", ["auth0", "keycloak", "cognito", "pingone", "pingfederate"])
def test_without_a_scope_all_are_granted(name):
    """Where the client's own scopes are the default, fewer can be asked for."""
    assert ask(name, audience=AUDIENCE) == Grant(("api.read", "api.write"))
    assert ask(name, audience=AUDIENCE, scope="api.write") == Grant(("api.write",))


def test_entra_grants_one_resource():
    """The scope names the API and comes back as it is; a resource may end with a slash of its own."""
    assert ask("entra", scope=f"{AUDIENCE}/.default") == Grant((f"{AUDIENCE}/.default",))
    assert ask("entra", rules("entra", audience=f"{AUDIENCE}/"), scope=f"{AUDIENCE}//.default") == Grant(
        (f"{AUDIENCE}//.default",)
    )


def test_entra_wants_the_client_id_in_the_form_or_in_the_header():
    """With Basic it stands in the header."""
    basic = ("Basic MG9hMTpodXNo",)
    answer = ask("entra", authorization=basic, client_id=None, client_secret=None, scope=f"{AUDIENCE}/.default")
    assert isinstance(answer, Grant)


@pytest.mark.parametrize("name", ["auth0", "cognito", "entra", "pingfederate"])
def test_a_method_that_a_product_does_not_know_is_refused(name):
    """An HMAC as assertion is no method there."""
    header = "eyJhbGciOiJIUzI1NiJ9.e30.AA"
    form = {"client_id": "0oa1", "scope": "x", "audience": AUDIENCE, "client_secret": None, "client_assertion": header}
    assert ask(name, **form).name == "invalid_client"


@pytest.mark.parametrize("name", ["entra", "cognito", "pingone"])
def test_a_product_without_dpop_ignores_a_proof(name):
    """The token is a Bearer token, as if no proof had come."""
    form = {"grant_type": "client_credentials", "client_id": "0oa1", "client_secret": "hush", "audience": AUDIENCE}
    form["scope"] = f"{AUDIENCE}/.default" if name == "entra" else "api.read"
    answer = decide(Call(form=tuple(form.items()), proofs=("e.e.e",)), rules(name))
    assert isinstance(answer, Grant)
    assert answer.thumbprint is None


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("okta.users.read", Grant(("okta.users.read",))),
        ("okta.users.read okta.apps.read", Grant(("okta.users.read",))),
        ("okta.apps.read", oauth_error("no_org_scopes_granted")),
        ("okta.users.read.self", oauth_error("client_credentials_self_scope_requested")),
        ("api.read", oauth_error("no_matching_scope")),
        ("openid", oauth_error("openid_not_allowed_client_creds")),
        (None, oauth_error("missing_scopes")),
    ],
)
def test_oktas_own_server_grants_what_was_granted_to_the_app(scope, expected):
    """Of several `okta.*` scopes those that the app has come back; no other scope exists there."""
    by = rules("okta", org=True, scopes=("okta.users.read", "api.read"))
    asked = tuple((scope or "").split())
    if isinstance(expected, Grant):
        assert scopes.granted(asked, by) == expected.scopes
    else:
        with pytest.raises(RefusalError, match=f"^{expected.name}$"):
            scopes.granted(asked, by)


def test_a_custom_server_has_none_of_oktas_own_scopes():
    """`okta.*` is refused there, and policies count."""
    by = rules("okta", scopes=("okta.users.read", "api.read"))
    assert ask("okta", by, scope="okta.users.read") == oauth_error("no_matching_scope")
    assert ask("okta", by, scope="api.read") == Grant(("api.read",))


def test_a_refusal_has_the_products_shape():
    """Okta's has a description, Cognito's has none, Entra's has numbers, ids and a time."""
    error = oauth_error("no_matching_scope")
    assert set(json.loads(oauth_refusal(error).body)) == {"error", "error_description"}
    assert json.loads(oauth_refusal(error, "bare").body) == {"error": "invalid_scope"}
    numbered = manner_of("entra").error("invalid_client_secret")
    body = json.loads(oauth_refusal(numbered, "entra", 1_700_000_000.0).body)
    assert body["error_codes"] == [7000215]
    assert body["timestamp"] == "2023-11-14 22:13:20Z"
    assert body["error_uri"] == "https://login.microsoftonline.com/error?code=7000215"
    tail = f" Trace ID: {body['trace_id']} Correlation ID: {body['correlation_id']} Timestamp: {body['timestamp']}"
    assert body["error_description"] == numbered.description + tail
    plain = json.loads(oauth_refusal(error, "entra").body)
    assert plain["error_codes"] == []


@given(name=st.sampled_from(NAMES), values=st.lists(st.text(), max_size=3))
def test_what_a_client_sends_cannot_spoil_a_text(name, values):
    """Values of the request stand in the text as they are, whatever they are and however many."""
    for error in ("no_matching_scope", "invalid_client_id", "unsupported_grant_type"):
        assert isinstance(manner_of(name).error(error, *values).description, str)


def test_the_ids_are_those_of_the_page():
    """Tenant, realm, pool and environment stand in docs/identity-providers.md as they are served."""
    text = PAGE.read_text()
    for name in OTHERS:
        for server in manner_of(name).servers:
            assert server is None or re.search(re.escape(server), text), (name, server)
    assert OKTA.servers[0] == "default"
