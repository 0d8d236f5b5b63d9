"""Which DPoP proofs the emulated servers take (RFC 9449 4.3), and in which words they refuse the others."""

import pytest
from signed import ec, jwt, proof, public, rsa

from proxy.emulator.errors import RefusalError, oauth_error
from proxy.emulator.freshness import ACCEPTED, RENEWED, Nonces, Spent
from proxy.emulator.jose import public_key
from proxy.emulator.proofs import Expected, ath, check, okta_path

NOW = 1_700_000_000.0
URL = "https://okta/oauth2/v1/token"


def expected(**changed):
    """What the token endpoint expects now."""
    return Expected(**({"method": "POST", "urls": (URL,), "now": NOW, "spent": Spent()} | changed))


def made(key=None, **said):
    """A good proof of now, but for what is said otherwise."""
    return proof(key or ec(), said.pop("method", "POST"), said.pop("url", URL), now=NOW, **said)


def refused(*values, by=None):
    """Okta's name for the refusal of these headers."""
    with pytest.raises(RefusalError) as caught:
        check(values, by or expected())
    return caught.value.name


@pytest.mark.parametrize(
    "key", [rsa(), ec(), ec("p384", "P-384"), ec("p521", "P-521")], ids=["RSA", "P-256", "P-384", "P-521"]
)
def test_a_good_proof_names_its_key(key):
    """Keys of each kind that Okta lists work; what comes back is the key's thumbprint (RFC 7638)."""
    assert check((made(key),), expected()) == key.thumbprint()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"method": "GET"}, "invalid_dpop_proof_invalid_htm"),
        ({"htm": "post"}, "invalid_dpop_proof_invalid_htm"),
        ({"htm": None}, "invalid_dpop_proof_invalid_htm"),
        ({"url": f"{URL}?a=b"}, "invalid_dpop_proof_invalid_htu"),
        ({"url": URL.replace("/oauth2", "//oauth2")}, "invalid_dpop_proof_invalid_htu"),
        ({"htu": [URL]}, "invalid_dpop_proof_invalid_htu"),
        ({"iat": None}, "invalid_dpop_proof_invalid_iat"),
        ({"iat": "now"}, "invalid_dpop_proof_invalid_iat"),
        ({"iat": NOW + 1}, "invalid_dpop_proof_jwt_issued_in_future"),
        ({"iat": NOW - 301}, "invalid_dpop_proof_jwt_too_old"),
        ({"jti": None}, "invalid_dpop_proof_invalid_jti"),
        ({"jti": ""}, "invalid_dpop_proof_invalid_jti"),
        ({"jti": 1}, "invalid_dpop_proof_invalid_jti"),
        ({"header": {"typ": "JWT"}}, "invalid_dpop_proof_invalid_type"),
        ({"header": {"typ": None}}, "invalid_dpop_proof_invalid_type"),
        ({"header": {"jwk": None}}, "invalid_dpop_proof"),
        ({"header": {"jwk": {"kty": "EC"}}}, "invalid_dpop_proof"),
        ({"header": {"jwk": {"kty": "oct", "k": "AAAA"}}}, "invalid_dpop_proof"),
        ({"header": {"jwk": public(ec("other"))}}, "invalid_dpop_proof_invalid_signature"),
    ],
)
def test_each_mistake_in_a_proof_has_its_refusal(said, name):
    """Every rule has Okta's own name and text for its breach."""
    assert refused(made(**said)) == name
    assert oauth_error(name).status == 400


def test_the_headers_are_counted():
    """None is missing, two are too many, and what is no JWT cannot be parsed."""
    assert refused() == "invalid_dpop_proof_missing_header"
    assert refused(made(), made()) == "invalid_dpop_proof_multiple_headers_not_allowed"
    assert refused("e.e.e") == "invalid_dpop_proof_invalid_jwt"
    assert refused("") == "invalid_dpop_proof_invalid_jwt"


def test_only_asymmetric_algorithms_are_taken():
    """An HMAC proves nothing about a key, and PS256 is not on Okta's list."""
    header = {"typ": "dpop+jwt", "alg": "PS256", "jwk": public(rsa())}
    assert refused(jwt(rsa(), header, {})) == "invalid_dpop_proof_invalid_signature_algorithm"
    unsigned = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUifQ.e30."
    assert refused(unsigned) == "invalid_dpop_proof_invalid_signature_algorithm"


def test_a_private_key_in_the_header_is_refused():
    """The header must hold public members only (RFC 9449 4.2)."""
    assert refused(made(header={"jwk": dict(ec().as_dict(private=True))})) == "invalid_dpop_proof"
    assert public_key({"kty": "RSA", "n": 1}) is None


@pytest.mark.parametrize("iat", [NOW, NOW - 300, NOW - 0.5])
def test_a_proof_is_good_for_five_minutes(iat):
    """The bounds are to the second, and a fraction is a number too."""
    assert check((made(iat=iat),), expected()) == ec().thumbprint()


def test_a_proof_works_once():
    """Its `jti` is spent, for whichever key and request."""
    by = expected()
    check((made(jti="one"),), by)
    assert refused(made(jti="one"), by=by) == "dpop_proof_already_used"
    assert refused(made(rsa(), jti="one"), by=by) == "dpop_proof_already_used"
    check((made(jti="two"),), by)


def test_a_server_with_nonces_wants_one_of_its_own():
    """None, a made-up one and another server's are challenged; the proof is used up by that."""
    nonces = Nonces()
    by = expected(nonces=nonces)
    assert refused(made(), by=by) == "use_dpop_nonce"
    assert refused(made(jti=None), by=by) == "use_dpop_nonce"
    assert refused(made(nonce=Nonces().current(NOW), jti="one"), by=by) == "use_dpop_nonce"
    assert refused(made(nonce=["x"]), by=by) == "use_dpop_nonce"
    nonce = nonces.current(NOW)
    assert refused(made(nonce=nonce, jti="one"), by=by) == "dpop_proof_already_used"
    assert refused(made(nonce=nonce, jti=None), by=by) == "invalid_dpop_proof_invalid_jti"
    assert check((made(nonce=nonce, jti="two"),), by) == ec().thumbprint()


def test_nonces_are_renewed_with_a_grace():
    """A new one comes every 24 h, an old one is good for 72 h; `forget` ends them all at once."""
    nonces = Nonces()
    first = nonces.current(NOW)
    assert nonces.current(NOW + RENEWED - 1) == first
    second = nonces.current(NOW + RENEWED)
    assert second != first
    assert nonces.accepts(first, NOW + ACCEPTED - 1)
    assert not nonces.accepts(first, NOW + ACCEPTED)
    nonces.rotate(NOW + ACCEPTED)
    assert repr(nonces) == "<Nonces [2]>"
    nonces.rotate(NOW + ACCEPTED, forget=True)
    assert not nonces.accepts(second, NOW + ACCEPTED)
    assert nonces.accepts(nonces.current(NOW + ACCEPTED), NOW + ACCEPTED)


def test_what_is_spent_is_forgotten_when_it_could_not_come_back():
    """A name may be used again after its end, and nothing is remembered for longer."""
    spent = Spent()
    assert spent.spend("long", 100.0, 0.0)
    assert spent.spend("short", 10.0, 0.0)
    assert not spent.spend("short", 20.0, 9.0)
    assert spent.spend("short", 20.0, 10.0)
    assert not spent.spend("long", 100.0, 10.0)
    assert repr(spent) == "<Spent [2]>"


def test_the_hash_of_the_token_is_checked():
    """`ath` is the token's, and as RFC 9449's own example has it."""
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    assert ath(token) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    by = expected(token=token)
    assert check((made(ath=ath(token)),), by) == ec().thumbprint()
    assert refused(made(), by=by) == "dpop_proof_invalid_ath"
    assert refused(made(ath=ath("other")), by=by) == "dpop_proof_invalid_ath"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v1/users/a%40b.com", "/api/v1/users/a@b.com"),
        ("/a%20b%22c%23d%25e", "/a%20b%22c%23d%25e"),
        ("/a%2540b", "/a%2540b"),
        ("/caf%C3%A9/%E6%BC%A2", "/caf\u00e9/\u6f22"),
        ("/a//b/%2F", "/a//b//"),
        ("/plain", "/plain"),
        ("/%FF", "/\ufffd"),
    ],
)
def test_oktas_apis_compare_the_decoded_path(path, shown):
    """Everything is decoded but `%`, blanks, quotes and hashes: okta-sdk-python#541."""
    assert okta_path(path) == shown
