"""Which client assertions the emulated servers take, and in which words they refuse the others."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey
from signed import CLIENT_ID, assertion, assertion_form, certificate, ec, public, rsa

from proxy.emulator.call import Call, Grant, Rules
from proxy.emulator.client import Client
from proxy.emulator.errors import OAuthError, oauth_error
from proxy.emulator.grants import decide
from proxy.emulator.manner import manner_of

NOW = 1_700_000_000.0
URL = "https://okta/oauth2/default/v1/token"
ISSUER = "https://okta/oauth2/default"
SECRET = "a-secret-of-at-least-thirty-two-characters"
P256, P384, P521 = ec("p256"), ec("p384", "P-384"), ec("p521", "P-521")
KEYS = [public(key) for key in (rsa(), P256, P384, P521)]


def rules(*, keys=KEYS, secrets=(SECRET,), **changed):
    """A custom authorization server's, with all of these keys and secrets registered."""
    client = Client(CLIENT_ID, secrets, keys)
    return Rules(**({"client": client, "scopes": ("api.read",), "issuer": ISSUER, "now": NOW} | changed))


def call(text, **form):
    """A token request with this assertion."""
    return Call(form=tuple(assertion_form(text, **form).items()), url=URL)


def made(key=None, *, audience=URL, **said):
    """An assertion of now, with the RSA key if no other is named."""
    return assertion(key or rsa(), audience, now=NOW, **said)


def refused(text, by=None, **form):
    """What the server says to this assertion: the error by Okta's name for it."""
    answer = decide(call(text, **form), by or rules())
    assert isinstance(answer, OAuthError), answer
    return answer.name


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (rsa(), "RS256"),
        (rsa(), "RS384"),
        (rsa(), "RS512"),
        (P256, "ES256"),
        (P384, "ES384"),
        (P521, "ES512"),
        (OctKey.import_key(SECRET), "HS256"),
        (OctKey.import_key(SECRET), "HS384"),
        (OctKey.import_key(SECRET), "HS512"),
    ],
)
def test_each_algorithm_that_okta_lists_is_accepted(key, alg):
    """Keys of both types and a secret authenticate, each by the method's own name."""
    request = call(made(key, header={"alg": alg}))
    assert decide(request, rules()) == Grant(("api.read",))
    assert request.method == ("client_secret_jwt" if alg.startswith("HS") else "private_key_jwt")
    assert repr(request) == f"<Call {request.method}>"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"iss": "0oa2"}, "client_assertion_invalid_issuer"),
        ({"iss": None}, "client_assertion_invalid_issuer"),
        ({"sub": "0oa2"}, "client_assertion_invalid_subject"),
        ({"sub": None}, "client_assertion_invalid_subject"),
        ({"audience": ISSUER}, "client_assertion_invalid_audience"),
        ({"audience": f"{URL}/"}, "client_assertion_invalid_audience"),
        ({"audience": [URL, ISSUER]}, "client_assertion_invalid_audience"),
        ({"audience": None}, "client_assertion_invalid_audience"),
        ({"audience": 1}, "client_assertion_invalid_audience"),
        ({"exp": None}, "client_assertion_expiration_required"),
        ({"exp": str(NOW + 60)}, "client_assertion_expiration_required"),
        ({"exp": True}, "client_assertion_expiration_required"),
        ({"exp": NOW}, "client_assertion_expired_token"),
        ({"exp": NOW + 3601}, "client_assertion_expires_too_far_in_future"),
        ({"iat": NOW + 1}, "client_assertion_issued_at_in_future"),
        ({"header": {"kid": "other"}}, "client_assertion_invalid_kid"),
        ({"header": {"kid": None}}, "client_assertion_invalid_kid"),
        ({"header": {"kid": ""}}, "client_assertion_invalid_kid"),
        ({"header": {"kid": "p256"}}, "client_assertion_invalid_signature"),
        ({"header": {"alg": "PS256"}}, "client_assertion_invalid_signature_algorithm"),
    ],
)
def test_each_wrong_claim_has_its_refusal(said, error):
    """Every rule of Okta's on an assertion is one of its own, and the boundaries are to the second."""
    assert refused(made(**said)) == error


@pytest.mark.parametrize(
    "said",
    [
        {"exp": NOW + 1},
        {"exp": NOW + 3600},
        {"exp": NOW + 0.5},
        {"iat": NOW},
        {"iat": None},
        {"jti": None},
        {"audience": [URL]},
        {"header": {"typ": "client-authentication+jwt"}},
        {"header": {"typ": "JWT", "x-unknown": "ignored"}},
    ],
)
def test_what_is_optional_may_be_absent_and_what_is_allowed_may_be_used(said):
    """An hour ahead is not too far, `iat` and `jti` are optional, and headers that nobody knows are ignored."""
    assert isinstance(decide(call(made(**said)), rules()), Grant)


@pytest.mark.parametrize(
    "text",
    ["e", "e.f", "e.f.g", "bm8.e30.AA", "e30.W10.AA", "é.e30.AA", "e30.eyJhIjpOYU59.AA", "x" * 40_000],
)
def test_what_is_no_jwt_cannot_be_parsed(text):
    """Too few parts, no Base64, no JSON, no object, no number, too long: one refusal each, and never an exception."""
    assert refused(text) == "client_assertion_invalid_jwt"
    assert call(text).method == "client_assertion"


def test_no_other_signature_is_taken():
    """Another key's signature, a changed claim, and `none` are refused."""
    assert refused(assertion(rsa("other"), URL, now=NOW, header={"kid": "rsa"})) == "client_assertion_invalid_signature"
    first, second = made().split("."), made(exp=NOW + 10).split(".")
    assert refused(".".join((*first[:2], second[2]))) == "client_assertion_invalid_signature"
    unsigned = "eyJhbGciOiJub25lIn0." + first[1] + "."
    assert refused(unsigned) == "client_assertion_invalid_signature_algorithm"


def test_a_public_key_is_no_secret():
    """An HMAC with the registered public key, which everybody knows, does not authenticate."""
    known = OctKey.import_key(rsa().thumbprint())
    assert refused(made(known, header={"kid": "rsa"})) == "client_assertion_invalid_signature"


def test_an_assertion_works_once():
    """Its second use is refused in Okta's words, until it has expired; without a `jti` it may come again."""
    by, text = rules(), made()
    assert isinstance(decide(call(text), by), Grant)
    assert decide(call(text), by) == oauth_error("client_assertion_already_used")
    endless = made(jti=None)
    assert all(isinstance(decide(call(endless), by), Grant) for _ in range(2))


def test_an_assertion_is_used_up_by_a_request_that_is_refused():
    """Whatever becomes of the request, the assertion that authenticated it is spent."""
    by, text = rules(policy=False), made()
    assert refused(text, by) == "no_matching_policy"
    assert refused(text, by) == "client_assertion_already_used"


def test_an_assertion_that_is_refused_is_not_used_up():
    """A wrong signature under somebody's `jti` does not spend it."""
    by = rules()
    assert refused(made(audience=ISSUER, jti="one"), by) == "client_assertion_invalid_audience"
    assert isinstance(decide(call(made(jti="one")), by), Grant)


def test_the_only_key_need_not_be_named():
    """With one key registered a missing `kid` is fine and a wrong one is not."""
    by = rules(keys=[public(rsa())])
    assert isinstance(decide(call(made(header={"kid": None})), by), Grant)
    assert refused(made(header={"kid": "wrong"}), by) == "client_assertion_invalid_kid"


def test_a_client_without_keys_or_without_a_long_secret_is_told_so():
    """Okta says what is missing: a key set, a secret, or characters of one."""
    assert refused(made(), rules(keys=())) == "client_assertion_jwks_not_configured"
    by_secret = made(OctKey.import_key(SECRET))
    assert refused(by_secret, rules(secrets=())) == "client_assertion_invalid_no_secret"
    short = "a-secret-of-thirty-one-letters."
    assert len(short) == 31
    assert refused(made(OctKey.import_key(short)), rules(secrets=(short,))) == "client_assertion_invalid_secret_length"
    assert refused(made(OctKey.import_key("another" * 5))) == "client_assertion_invalid_signature"


def test_either_of_two_secrets_signs():
    """During a rotation both work for an HMAC too."""
    by = rules(secrets=("the-new-secret-that-is-long-enough", SECRET))
    for secret in ("the-new-secret-that-is-long-enough", SECRET):
        assert isinstance(decide(call(made(OctKey.import_key(secret))), by), Grant)


def test_the_form_around_the_assertion_counts():
    """Its type must be the one there is, `client_id` may come with it but must be its own, and a secret may not."""
    assert refused(made(), client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2-bearer") == (
        "client_assertion_type_invalid"
    )
    assert refused(made(), client_assertion_type=None) == "client_assertion_type_invalid"
    assert refused(made(), client_id="0oa2") == "invalid_client_id"
    assert isinstance(decide(call(made(), client_id=CLIENT_ID), rules()), Grant)
    assert refused(made(), client_secret=SECRET) == "multiple_client_credentials"
    both = Call(form=tuple(assertion_form(made()).items()), authorization=("Basic eDp5",), url=URL)
    assert decide(both, rules()) == oauth_error("multiple_client_credentials")


def test_a_client_with_keys_only_has_no_secret():
    """A secret is refused in the words that Okta has for the wrong method."""
    form = {"grant_type": "client_credentials", "scope": "api.read", "client_id": CLIENT_ID, "client_secret": SECRET}
    answer = decide(Call(form=tuple(form.items())), rules(secrets=()))
    assert answer == oauth_error("invalid_client")


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("okta", {URL}), ("auth0", {ISSUER}), ("entra", {URL}), ("keycloak", {URL, ISSUER}), ("pingone", {URL, ISSUER})],
)
def test_each_product_has_its_audience(name, accepted):
    """The token URL, the issuer, or both are taken, to the letter."""
    by = rules(manner=manner_of(name), keys=[certificate()])
    form = {"audience": "api://default", "client_id": CLIENT_ID, "scope": "api://default/.default"}
    if name != "entra":
        form["scope"] = "api.read"
    digest = by.client.keys[0].thumbprint
    for audience in (URL, ISSUER, "https://okta"):
        text = made(audience=audience, header={"kid": None, "x5t#S256": digest})
        answer = decide(call(text, **form), by)
        assert isinstance(answer, Grant) is (audience in accepted), (name, audience, answer)


def test_entra_wants_a_certificate_by_its_digest():
    """Without `x5t#S256`, or with the digest of another certificate, the assertion is refused by number."""
    by = rules(manner=manner_of("entra"), keys=[certificate()])
    digest = by.client.keys[0].thumbprint
    form = {"client_id": CLIENT_ID, "scope": "api://default/.default"}
    answers = {
        text: decide(call(made(header=header), **form), by)
        for text, header in (
            ("none", {"kid": "rsa"}),
            ("wrong", {"x5t#S256": "AAAA"}),
            ("right", {"x5t#S256": digest, "alg": "PS256"}),
        )
    }
    assert answers["none"].description.startswith("AADSTS5002723: ")
    assert answers["wrong"].description.startswith("AADSTS700027: ")
    assert isinstance(answers["right"], Grant)


def test_a_product_may_want_a_jti_and_less_time():
    """Auth0 wants a `jti` and at most 300 s; Keycloak has its own words and forgives 15 s of skew."""
    auth0 = rules(manner=manner_of("auth0"))
    assert refused(made(audience=ISSUER, jti=None), auth0, audience="api://default") == "client_assertion_missing_jti"
    late = made(audience=ISSUER, exp=NOW + 301)
    assert refused(late, auth0, audience="api://default") == "client_assertion_expires_too_far_in_future"
    keycloak = rules(manner=manner_of("keycloak"))
    assert isinstance(decide(call(made(iat=NOW + 15)), keycloak), Grant)
    answer = decide(call(made(iat=NOW + 16)), keycloak)
    assert (answer.status, answer.error, answer.description) == (
        400,
        "invalid_client",
        "Token was issued in the future",
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMED = st.sampled_from(["alg", "kid", "typ", "jwk", "crit", "b64", "iss", "sub", "aud", "exp", "iat", "jti"])


def encoded(content):
    """A part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@given(
    header=st.dictionaries(NAMED, JSON, max_size=5),
    claims=st.dictionaries(NAMED, JSON, max_size=5),
    alg=st.sampled_from(["RS256", "ES256", "HS256", "none"]),
    signature=st.binary(max_size=100),
)
def test_whatever_an_assertion_or_a_proof_says_is_answered(header, claims, alg, signature):
    """Any JSON in any place, with a signature that is none, is a refusal and never an exception."""
    good = {"iss": CLIENT_ID, "sub": CLIENT_ID}
    ending = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    text = f"{encoded({'kid': 'rsa', 'alg': alg} | header)}.{encoded(good | claims)}.{ending}"
    assert isinstance(decide(call(text), rules()), OAuthError)
    proof = f"{encoded({'typ': 'dpop+jwt', 'jwk': public(P256), 'alg': alg} | header)}.{encoded(claims)}.{ending}"
    form = {"grant_type": "client_credentials", "scope": "api.read", "client_id": CLIENT_ID, "client_secret": SECRET}
    assert isinstance(decide(Call(form=tuple(form.items()), proofs=(proof,), url=URL), rules()), OAuthError)
