"""Proofs as a resource server checks them, with another library (RFC 9449 4.3)."""

import hashlib
from base64 import urlsafe_b64encode

import pytest
from strict_idp import check_proof, read_proof

from proxy.tokens.dpop import MOST_ORIGINS, ProofKey, okta_htu, origin_of, without_query
from proxy.tokens.source import Prover, Token

OKTA = "https://dev-1.okta.com"
TOKEN_URL = f"{OKTA}/oauth2/v1/token"
NOW = 1_800_000_000.7


@pytest.fixture
def key():
    """Return a key whose clock stands still."""
    return ProofKey(lambda: NOW)


def claims_of(proof):
    """Return the claims of a proof whose signature is right."""
    return read_proof(proof)[1]


def test_a_proof_of_a_request(key):
    """It says which request it is for and which token it comes with, and when."""
    prover: Prover = key.bind("the-token", token_url=TOKEN_URL)
    claims = claims_of(prover.proof("GET", f"{OKTA}/api/v1/users?limit=2#x"))
    check_proof(claims, "GET", f"{OKTA}/api/v1/users", NOW, set())
    assert claims["ath"] == urlsafe_b64encode(hashlib.sha256(b"the-token").digest()).rstrip(b"=").decode()
    assert claims["iat"] == int(NOW)
    assert set(claims) == {"jti", "htm", "htu", "iat", "ath"}
    assert len(claims["jti"]) >= 16, "96 bits at least (RFC 9449 4.2)"


def test_a_proof_of_a_token_request(key):
    """It comes with no token, so it has no `ath`."""
    claims = claims_of(key.token_proof(f"{TOKEN_URL}?x=1"))
    check_proof(claims, "POST", TOKEN_URL, NOW, set())
    assert "ath" not in claims


def test_no_two_proofs_are_alike(key):
    """The same request again has another id."""
    prover = key.bind("t", token_url=TOKEN_URL)
    assert len({claims_of(prover.proof("GET", OKTA))["jti"] for _ in range(100)}) == 100


def test_the_key_is_its_processs_own():
    """Each has another, and shows the public half alone."""
    thumbprints = {read_proof(ProofKey(lambda: NOW).token_proof(TOKEN_URL))[2] for _ in range(3)}
    assert len(thumbprints) == 3


def test_tokens_of_one_key_share_its_nonces_and_nothing_else(key):
    """A nonce is the origin's, whichever token it came with; `ath` is the token's."""
    one, two = key.bind("one", token_url=TOKEN_URL), key.bind("two", token_url=TOKEN_URL)
    one.note_nonce("https://api.example.com/path?x", "n-1")
    proofs = [claims_of(prover.proof("GET", "https://api.example.com/a")) for prover in (one, two)]
    assert [claims["nonce"] for claims in proofs] == ["n-1", "n-1"]
    assert proofs[0]["ath"] != proofs[1]["ath"]


def test_a_nonce_is_its_origins(key):
    """Another scheme, host or port is another server; the newest counts."""
    prover = key.bind("t", token_url=TOKEN_URL)
    prover.note_nonce("https://a.example", "old")
    prover.note_nonce("https://a.example/x", "new")
    prover.note_nonce("https://a.example:8443", "other")
    for url, nonce in (
        ("https://a.example/y?z", "new"),
        ("https://a.example:8443/", "other"),
        ("http://a.example/", None),
        ("https://b.example/", None),
    ):
        assert claims_of(prover.proof("GET", url)).get("nonce") == nonce


@pytest.mark.parametrize("nonce", ["", "a b", "a, b", 'a"b', "a\\b", "a\r\nX: y", "\u00e9", "x" * 1025])
def test_what_is_no_nonce_is_ignored(nonce, key):
    """An API is not trusted: what RFC 9449 8.1 does not allow goes into no header of ours."""
    prover = key.bind("t", token_url=TOKEN_URL)
    prover.note_nonce(OKTA, "good")
    prover.note_nonce(OKTA, nonce)
    assert claims_of(prover.proof("GET", OKTA))["nonce"] == "good"


def test_nonces_are_bounded(key):
    """However many origins answer, so many are known; those that are known are still renewed."""
    for number in range(100):
        key.note_nonce(f"https://{number}.example", "n")
    assert len(key._nonces) == MOST_ORIGINS
    assert key.note_nonce("https://0.example", "newer")
    assert repr(key) == f"<ProofKey ES256, nonces of {MOST_ORIGINS} origins>"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/v1/users/a@b.c", "/api/v1/users/a@b.c"),
        ("/api/v1/users/a%40b.c", "/api/v1/users/a@b.c"),
        ("/a%20b", "/a%20b"),
        ("/a%22b", "/a%22b"),
        ("/a%23b", "/a%23b"),
        ("/a%25b", "/a%25b"),
        ("/a%2540b", "/a%2540b"),
        ("/a%2Fb%3Fc", "/a/b?c"),
        ("/sch%C3%B6n", "/sch\u00f6n"),
        ("/a+b", "/a+b"),
        ("/%zz", "/%25zz"),
    ],
)
def test_oktas_own_apis_compare_the_decoded_path(path, seen, key):
    """The rule of Okta's Java SDK: decoded, and `%`, blank, `"` and `#` encoded again (okta-sdk-python#541)."""
    assert okta_htu(f"{OKTA}{path}") == f"{OKTA}{seen}"
    prover = key.bind("t", token_url=TOKEN_URL)
    assert claims_of(prover.proof("GET", f"{OKTA}{path}?q=%40"))["htu"] == f"{OKTA}{seen}"


@pytest.mark.parametrize(
    ("url", "token_url", "decoded"),
    [
        (f"{OKTA}/a%40b", "https://login.example.com/oauth2/v1/token", True),
        ("https://login.example.com/a%40b", "https://login.example.com/oauth2/v1/token", True),
        ("https://login.example.com:443/a%40b", "https://login.example.com/oauth2/v1/token", True),
        ("https://api.example.com/a%40b", "https://login.example.com/oauth2/v1/token", False),
        ("https://api.example.com/a%40b", TOKEN_URL, False),
        ("https://[::1]:8443/a%40b", "https://[::1]/oauth2/default/v1/token", True),
        ("https://example.com/a%40b", "https://example.com/realms/r/protocol/openid-connect/token", False),
        ("https://no..host/a%40b", TOKEN_URL, False),
    ],
)
def test_other_apis_are_told_what_was_sent(url, token_url, decoded, key):
    """RFC 9449 4.3: the path as it is; Okta's reading is for its own domains and the authorization server's host."""
    htu = claims_of(key.bind("t", token_url=token_url).proof("GET", url))["htu"]
    assert htu == (url.replace("%40", "@") if decoded else url)


def test_origins_and_targets():
    """Cut as they are written."""
    for url, origin, target in (
        ("https://a:1/b?c#d", "https://a:1", "https://a:1/b"),
        ("https://a?b", "https://a", "https://a"),
        ("https://a#b?c", "https://a", "https://a"),
        ("https://[::1]:8/", "https://[::1]:8", "https://[::1]:8/"),
    ):
        assert (origin_of(url), without_query(url)) == (origin, target)


def test_nothing_prints_a_token_or_a_key(key):
    """Neither the prover's `repr` nor the token's."""
    prover = key.bind("tell-nobody", token_url=TOKEN_URL)
    token = Token("tell-nobody", "DPoP", sent_boot=0, sent_wall=0, lifetime=60, prover=prover)
    assert "tell-nobody" not in f"{prover!r} {token!r} {key!r}"
    assert token.prover is prover
    assert Token("t", "Bearer", sent_boot=0, sent_wall=0, lifetime=60).prover is None
