"""What the emulated Okta decides about a token request, and in which words."""

import base64
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.emulator.client import Client
from proxy.emulator.errors import OAuthError, names, oauth_error
from proxy.emulator.faults import Refused
from proxy.emulator.grants import ASSERTION_TYPE, Call, Grant, Rules, decide, parse_form


def client(*secrets: str, client_id: str = "0oa1") -> Client:
    """A client with these secrets and no keys."""
    return Client(client_id, secrets, ())


RULES = Rules(client=client("new", "old"), scopes=("api.read", "api.write"))


def post(**changed: str | None) -> tuple[tuple[str, str], ...]:
    """The form of a good request, with changes; None takes a parameter out."""
    form = {"grant_type": "client_credentials", "scope": "api.read", "client_id": "0oa1", "client_secret": "new"}
    return tuple((name, value) for name, value in (form | changed).items() if value is not None)


def basic(text: str) -> tuple[str, ...]:
    """The Authorization headers of a request whose Basic credentials are *text*."""
    return (f"Basic {base64.b64encode(text.encode()).decode()}",)


NO_SECRET = post(client_id=None, client_secret=None)


@pytest.mark.parametrize(
    ("call", "scopes"),
    [
        (Call(form=post()), ("api.read",)),
        (Call(form=post(client_secret="old")), ("api.read",)),
        (Call(form=post(scope="api.write  api.read api.write")), ("api.write", "api.read")),
        (Call(form=NO_SECRET, authorization=basic("0oa1:new")), ("api.read",)),
        (Call(form=NO_SECRET, authorization=("bAsIc  " + basic("0oa1:new")[0][6:],)), ("api.read",)),
        (Call(form=(*NO_SECRET, ("client_id", "")), authorization=basic("0oa1:new")), ("api.read",)),
        (Call(form=(*post(), ("audience", "x")), query=(("trace", "1"),)), ("api.read",)),
    ],
)
def test_a_good_request_gets_the_scopes_that_it_asked_for(call, scopes):
    """Both secrets and both methods are accepted; scopes come back once each and in the order asked."""
    assert decide(call, RULES) == Grant(scopes)


@pytest.mark.parametrize(
    ("call", "status", "error", "description"),
    [
        (Call(form=NO_SECRET), 401, "invalid_client", "No client credentials found."),
        (Call(form=post(client_id=None)), 401, "invalid_client", "No client credentials found."),
        (Call(form=post(client_id="0oa2")), 401, "invalid_client", "Invalid value for 'client_id' parameter."),
        (
            Call(form=post(client_secret="wrong")),
            401,
            "invalid_client",
            "The client secret supplied for a confidential client is invalid.",
        ),
        (
            Call(form=NO_SECRET, authorization=basic("0oa1:wrong")),
            401,
            "invalid_client",
            "The client secret supplied for a confidential client is invalid.",
        ),
        (
            Call(form=post(client_secret=None)),
            401,
            "invalid_client",
            "Client authentication failed. Either the client or the client credentials are invalid.",
        ),
        (
            Call(form=post(), query=(("client_id", "0oa1"),)),
            400,
            "invalid_request",
            "Client credentials cannot be supplied via query parameters.",
        ),
        (
            Call(form=(*post(), ("scope", "api.write"))),
            400,
            "invalid_request",
            "The request contained multiple parameters with the same name.",
        ),
        (
            Call(form=post(grant_type=None)),
            400,
            "invalid_request",
            "The token request must specify a 'grant_type'. Valid values: [client_credentials]",
        ),
        (
            Call(form=post(grant_type="password")),
            400,
            "unauthorized_client",
            (
                "The client is not authorized to use the provided grant type. "
                "Configured grant types: [client_credentials]."
            ),
        ),
        (
            Call(form=post(grant_type="client_credential")),
            400,
            "unsupported_grant_type",
            (
                "The authorization grant type is not supported by the authorization server. "
                "Configured grant types: [client_credentials]."
            ),
        ),
        (
            Call(form=post(scope="api.read nonsense")),
            400,
            "invalid_scope",
            "One or more scopes are not configured for the authorization server resource.",
        ),
        (
            Call(form=post(scope="openid api.read")),
            400,
            "invalid_scope",
            "Cannot request 'openid' scopes using client credentials.",
        ),
        (
            Call(form=post(scope=None)),
            400,
            "invalid_scope",
            "The authorization server resource does not have any configured default scopes, 'scope' must be provided.",
        ),
        (Call(form=post(), proofs=("e.e.e",)), 400, "invalid_dpop_proof", "The DPoP proof JWT cannot be parsed."),
        (
            Call(form=(*NO_SECRET, ("client_assertion", "e.e.e"), ("client_assertion_type", ASSERTION_TYPE))),
            401,
            "invalid_client",
            "The parsing of the client_assertion failed.",
        ),
        (
            Call(form=(*NO_SECRET, ("client_assertion", "e.e.e"))),
            400,
            "invalid_request",
            "The client_assertion_type is invalid.",
        ),
    ],
)
def test_a_bad_request_is_refused_in_oktas_words(call, status, error, description):
    """Each mistake has its own status, error and description."""
    refusal = decide(call, RULES)
    assert isinstance(refusal, OAuthError)
    assert refusal[1:] == (status, error, description)


@pytest.mark.parametrize(
    "call",
    [
        Call(form=post(), authorization=basic("0oa1:new")),
        Call(form=post(client_secret=None), authorization=basic("0oa1:new")),
        Call(form=(*post(), ("client_assertion", "e.e.e"))),
        Call(form=(*NO_SECRET, ("client_assertion", "e.e.e")), authorization=basic("0oa1:new")),
    ],
)
def test_only_one_authentication_method_is_accepted(call):
    """Two methods at once are refused even if both are right, and so is a client_id beside the Basic header."""
    assert decide(call, RULES) == oauth_error("multiple_client_credentials")


@pytest.mark.parametrize(
    "authorization",
    [
        ("Basic",),
        ("Basic ",),
        ("Basic !!!",),
        ("Basic caf\udce9",),
        ("Basic " + base64.b64encode(b"\xff:x").decode(),),
        basic("nocolon"),
        ("Bearer " + basic("0oa1:new")[0][6:],),
        basic("0oa1:new") * 2,
    ],
)
def test_a_malformed_basic_header_is_no_credentials(authorization):
    """Not Basic, not base64, not UTF-8, no colon, or two headers: the header is there but no credentials are."""
    assert decide(Call(form=NO_SECRET, authorization=authorization), RULES) == oauth_error("invalid_basic_auth_creds")


@given(secret=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
def test_any_printable_secret_works_form_encoded_in_a_basic_header(secret):
    """Both parts of a Basic header are form-decoded (RFC 6749 section 2.3.1)."""
    rules = Rules(client=client(secret, client_id="0oa 1"), scopes=("api.read",))
    header = basic(f"{quote_plus('0oa 1')}:{quote_plus(secret)}")
    assert decide(Call(form=NO_SECRET, authorization=header), rules) == Grant(("api.read",))


def test_a_secret_that_is_not_form_encoded_is_read_as_if_it_were():
    """A `+` and a `%20` in a Basic header are spaces."""
    rules = Rules(client=client("a b c"), scopes=("api.read",))
    assert decide(Call(form=NO_SECRET, authorization=basic("0oa1:a+b%20c")), rules) == Grant(("api.read",))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"policy": False}, oauth_error("no_matching_policy")),
        ({"dpop_required": True}, oauth_error("invalid_dpop_proof_missing_header")),
        ({"org": True}, oauth_error("unsupported_auth_method_client_creds")),
    ],
)
def test_the_orgs_settings_refuse_a_request_that_is_right(changed, expected):
    """No matching policy, DPoP required, and the org's own authorization server each have their text."""
    settings = {"client": RULES.client, "scopes": RULES.scopes} | changed
    assert decide(Call(form=post()), Rules(**settings)) == expected


def test_default_scopes_stand_in_for_none():
    """Without `scope`, or with an empty one, the configured defaults are granted, and they may be asked for too."""
    rules = Rules(client=RULES.client, scopes=(), default_scopes=("api.default",))
    for scope in (None, "", "  ", "api.default"):
        assert decide(Call(form=post(scope=scope)), rules) == Grant(("api.default",))


def test_a_form_that_is_no_utf8_is_none():
    """Bytes, or escapes of bytes, that are no UTF-8 make the form unreadable; an odd escape stands for itself."""
    assert parse_form(b"a=\xff") is None
    assert parse_form(b"a=%ff") is None
    assert parse_form(b"a=%zz&b=&a=1+2") == (("a", "%zz"), ("b", ""), ("a", "1 2"))


def test_a_call_and_its_rules_print_no_secret():
    """The representations of a call and of the rules hold no secret."""
    call = Call(form=post(client_secret="hush"), authorization=basic("0oa1:hush"))
    shown = repr(call) + repr(Rules(client=client("hush"), scopes=()))
    assert "hush" not in shown
    assert basic("0oa1:hush")[0][6:] not in shown
    assert "several" in shown


def test_every_refusal_is_reachable_by_its_name():
    """Each name is a fault, and no text has a hole left."""
    for name in names():
        assert Refused(name).name == name
        assert "{" not in oauth_error(name).description
    assert oauth_error("scope_denied", "x").description.endswith("Denied scopes: [x].")
    with pytest.raises(ValueError, match="no such error: nonsense; there are invalid_client, "):
        Refused("nonsense")


@pytest.mark.parametrize(
    ("error", "description"),
    [
        ("invalid_client", "Invalid value for 'client_id' parameter."),
        ("invalid_client", "Error retrieving the client JWKSet from jwks_uri."),
        ("invalid_client", "The client_assertion token has already been used."),
        ("access_denied", "The request is made from outside the client's permitted network zones."),
        ("access_denied", "Policy evaluation succeeded, but all the requested scopes were rejected."),
        ("invalid_scope", "No scopes were requested."),
        ("unauthorized_client", "This client cannot use a custom authorization server."),
        ("use_dpop_nonce", "Authorization server requires nonce in DPoP proof."),
        (
            "temporarily_unavailable",
            (
                "The authorization server is currently unable to handle the request due to a temporary overloading "
                "or maintenance of the server."
            ),
        ),
        ("server_error", "Failed to create the access_token."),
    ],
)
def test_texts_that_no_request_provokes_are_there_too(error, description):
    """Every text that a client has to tell apart can be had as a fault."""
    assert (error, description) in {oauth_error(name)[2:] for name in names()}
