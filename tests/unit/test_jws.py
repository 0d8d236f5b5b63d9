"""JWTs of ours, verified by another library."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey
from private_keys import make

from proxy.config.signing_key import ALGORITHMS
from proxy.tokens.jws import base64url, compact, part, with_secret
from proxy.tokens.signatures import with_key

SECRET = "a-client-secret-of-32-characters"
CASES = [(kind, algorithm) for kind, names in ALGORITHMS.items() for algorithm in names]


def verified(token, key, algorithm):
    """Return the claims of *token*, if joserfc says that *key* signed it."""
    return json.loads(jws.deserialize_compact(token, key, algorithms=[algorithm]).payload)


@pytest.mark.parametrize(("kind", "algorithm"), CASES)
def test_what_a_key_signs_is_verified_elsewhere(kind, algorithm):
    """Each algorithm, with signatures whose numbers begin with zeros among them."""
    key = make(kind)
    sign = with_key(key, algorithm)
    known = (RSAKey if kind == "RSA" else ECKey).import_key(key.public_key())
    for number in range(20 if kind == "RSA" else 300):
        token = compact(part({"alg": algorithm}), {"number": number}, sign)
        assert verified(token, known, algorithm) == {"number": number}


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_what_a_secret_signs_is_verified_elsewhere(algorithm):
    """The secret's UTF-8 bytes are the key."""
    for secret in (SECRET, "sch\u00f6n" * 8):
        token = compact(part({"alg": algorithm}), {"a": "\u00e9"}, with_secret(secret, algorithm))
        assert verified(token, OctKey.import_key(secret.encode()), algorithm) == {"a": "\u00e9"}


@given(st.binary(max_size=70))
def test_base64url_is_rfc_7515s(data):
    """URL-safe, without padding, and it comes back."""
    import base64  # noqa: PLC0415

    encoded = base64url(data)
    assert encoded == base64.urlsafe_b64encode(data).rstrip(b"=")
