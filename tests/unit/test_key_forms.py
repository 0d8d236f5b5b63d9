"""What a private key file may hold, and what is said of a file that holds something else."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from private_keys import (
    FORMS,
    KID,
    PASSPHRASE,
    TRADITIONAL,
    jwk,
    make,
    pem,
    public_jwk,
    public_pem,
    without_factors,
)

from proxy.config.key_forms import KeyProblem
from proxy.config.signing_key import ALGORITHMS, read_keys, usable_keys

KINDS = ("RSA", "P-256", "P-384", "P-521")
RSA, EC = make("RSA"), make("P-256")


def written(jwk_or_set):
    """Return a JWK or a set as the bytes of a file."""
    return json.dumps(jwk_or_set).encode()


def other_kind(key):
    """Return a key that is neither RSA nor of our curves, as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def openssh(key):
    """Return a key as ssh-keygen writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_form_gives_the_key_that_was_written(kind, form):
    """The very private number comes out, whatever it was wrapped in."""
    key = make(kind)
    (found,) = usable_keys(FORMS[form](key), PASSPHRASE + b"\r\n")
    assert found.private.private_numbers() == key.private_numbers()
    assert found.kind == kind
    assert found.choose(None) == ALGORITHMS[kind][0]


def test_an_rsa_key_without_its_factors():
    """RFC 7518 6.3.2 lets them be left out: they follow from modulus and exponents."""
    (found,) = read_keys(written(without_factors(RSA)))
    assert found.private.public_key() == RSA.public_key()


def test_an_encrypted_key_file_that_is_no_longer_encrypted():
    """A passphrase that is not needed any more does no harm."""
    assert read_keys(pem(EC), PASSPHRASE)[0].private.private_numbers() == EC.private_numbers()


BAD = {
    "nothing but text": (b"hush-hush", "holds no private key: write PEM"),
    "no text": (bytes(range(256)), "holds no private key"),
    "JSON that is no key": (b'{"hush": 1}', "holds no private key"),
    "a JSON list": (b"[1, 2]", "holds no private key"),
    "JSON without end": (b"[" * 100_000, "holds no private key"),
    "a public key": (public_pem(RSA), "holds a public key: the private one is needed"),
    "a public JWK": (written(public_jwk(EC)), "holds a public key"),
    "a set of public keys": (written({"keys": [public_jwk(EC), public_jwk(RSA)]}), "holds a public key"),
    "a public key of ssh": (b"ssh-rsa AAAA hush", "holds a public key"),
    "a certificate": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds a certificate and no"),
    "an empty set": (b'{"keys": []}', "holds a JWK set without a key to sign with"),
    "a set of encryption keys": (written({"keys": [jwk(RSA, use="enc")]}), "without a key to sign with"),
    "a symmetric key": (written({"kty": "oct", "k": "aHVzaA"}), "holds a symmetric key"),
    "an Ed25519 key": (other_kind(ed25519.Ed25519PrivateKey.generate()), "of a kind that is not used here"),
    "an EdDSA JWK": (written({"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"}), "a kind that is not used here"),
    "another curve": (other_kind(ec.generate_private_key(ec.SECP256K1())), "a kind that is not used here"),
    "a JWK of another curve": (written({**jwk(EC), "crv": "secp256k1"}), "a kind that is not used here"),
    "OpenSSH's form": (openssh(EC), "ssh-keygen -p -m PKCS8"),
    "two keys in PEM": (pem(EC) + pem(RSA), "several PEM keys: write them as a JWK set"),
    "PEM that was cut": (pem(RSA)[:700], "holds a key that is damaged"),
    "PEM with a missing line": (b"".join(pem(RSA).splitlines(keepends=True)[::2]), "is damaged"),
    "PEM of nothing": (b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "is damaged"),
    "PEM of another label": (pem(EC).replace(b"PRIVATE KEY", b"RSA PRIVATE KEY"), "is damaged"),
    "encrypted": (pem(EC, passphrase=b"x"), "set oauth.private_key_passphrase_file"),
    "encrypted in the old way": (pem(RSA, TRADITIONAL, b"x"), "set oauth.private_key_passphrase_file"),
    "a JWK without its exponent": (written({**jwk(RSA), "e": None}), "is damaged"),
    "a JWK with a wrong factor": (written({**jwk(RSA), "p": jwk(RSA)["q"]}), "is damaged"),
    "a JWK with a wrong coefficient": (written({**jwk(RSA), "qi": jwk(RSA)["dp"]}), "is damaged"),
    "a JWK whose number is no base64": (written({**jwk(EC), "d": "hush hush"}), "is damaged"),
    "a JWK whose number is a number": (written({**jwk(EC), "d": 4711}), "is damaged"),
    "halves that do not fit": (written({**jwk(EC), "d": jwk(make("P-256", 1))["d"]}), "is damaged"),
    "an RSA exponent of another key": (written({**without_factors(RSA), "d": jwk(make("RSA", 1))["d"]}), "is damaged"),
    "a curve that is no text": (written({**jwk(EC), "crv": ["P-256"]}), "is damaged"),
    "a kid that is no text": (written({**jwk(EC), "kid": 4711}), "whose kid or alg is no text"),
    "a kid with a line break": (written({**jwk(EC), "kid": "a\nb"}), "whose kid or alg is no text"),
    "a set without kids": (written({"keys": [jwk(EC), jwk(RSA)]}), "each needs a kid of its own"),
    "a set with one kid twice": (written({"keys": [jwk(EC, kid="a"), jwk(RSA, kid="a")]}), "each needs a kid"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_key_is_named(case):
    """The message says what it is and what to do, and quotes nothing: a secret may have slipped into that file."""
    data, said = BAD[case]
    with pytest.raises(KeyProblem) as raised:
        read_keys(data)
    assert said in str(raised.value)
    assert raised.value.about == "key"
    assert raised.value.__cause__ is None
    text = str(raised.value)
    assert "hush" not in text
    assert not any(piece in text for piece in (jwk(EC)["d"][:8], jwk(RSA)["d"][:8]))


def test_a_short_rsa_key_is_refused():
    """RFC 7518 3.3 wants 2048 bits; the message has the number that there are."""
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505  # that is what is refused
    for data in (pem(short), written(jwk_of_short(short))):
        with pytest.raises(KeyProblem, match="RSA key of 1024 bits"):
            read_keys(data)


def jwk_of_short(key):
    """Return an RSA key as a JWK, without joserfc, which warns of it."""
    numbers = key.private_numbers()
    values = {"n": numbers.public_numbers.n, "e": numbers.public_numbers.e, "d": numbers.d}
    return {"kty": "RSA", **{name: number(value) for name, value in values.items()}}


def number(value):
    """Return an integer as a JWK has it."""
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [20, 40])
def test_a_flipped_bit_is_damage(kind, place):
    """PEM has no checksum: what it holds must sign what its own public half verifies."""
    der = bytearray(make(kind).private_bytes(Encoding.DER, TRADITIONAL, NoEncryption()))
    der[place] ^= 1
    label = "RSA" if kind == "RSA" else "EC"
    body = base64.encodebytes(bytes(der)).decode()
    with pytest.raises(KeyProblem, match="damaged"):
        read_keys(f"-----BEGIN {label} PRIVATE KEY-----\n{body}-----END {label} PRIVATE KEY-----\n".encode())


def test_a_huge_modulus_is_not_worked_on():
    """Numbers of a megabit would keep a processor busy for minutes."""
    huge = {"kty": "RSA", "n": number((1 << 1_000_000) - 1), "e": "AQAB", "d": number((1 << 999_999) - 1)}
    with pytest.raises(KeyProblem, match="damaged"):
        read_keys(written(huge))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, TRADITIONAL])
@pytest.mark.parametrize("kind", ["RSA", "P-256"])
@pytest.mark.parametrize("passphrase", [b"wrong", b"", PASSPHRASE + b" "])
def test_a_wrong_passphrase_is_the_passphrases_fault(form, kind, passphrase):
    """The problem is said to be about that file, and holds neither passphrase."""
    with pytest.raises(KeyProblem) as raised:
        usable_keys(pem(make(kind), form, PASSPHRASE), passphrase)
    assert raised.value.about == "passphrase"
    assert str(raised.value) == "holds a passphrase that does not open the private key, if that is whole"


SET = written({"keys": [public_jwk(RSA, kid="seen"), jwk(EC, kid="new"), jwk(RSA, kid="old", alg="RS384")]})


def test_a_set_gives_its_private_keys_in_their_order():
    """Public ones in it are somebody else's; each key keeps its kid and what it says of its algorithm."""
    assert [(key.kid, key.kind, key.choose(None)) for key in read_keys(SET)] == [
        ("new", "P-256", "ES256"),
        ("old", "RSA", "RS384"),
    ]


def test_a_kid_chooses_a_key_of_a_set():
    """With `oauth.private_key_id` it is that one alone."""
    assert [key.kid for key in read_keys(SET, kid="old")] == ["old"]
    with pytest.raises(KeyProblem, match=r"no key with the kid that oauth\.private_key_id names"):
        read_keys(SET, kid="seen")


def test_a_kid_names_a_key_that_has_none():
    """PEM has no place for one; a JWK whose own is another is not renamed."""
    assert read_keys(pem(EC), kid=KID)[0].kid == KID
    assert read_keys(written(jwk(EC)), kid=KID)[0].kid == KID
    assert read_keys(written(jwk(EC, kid=KID)), kid=KID)[0].kid == KID
    with pytest.raises(KeyProblem, match=r"oauth\.private_key_id"):
        read_keys(written(jwk(EC, kid="another")), kid=KID)


def test_without_a_known_kid_there_is_none():
    """Nothing is made up: a thumbprint would be refused where no kid is taken."""
    assert read_keys(pem(EC))[0].kid is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", [name for names in ALGORITHMS.values() for name in names])
def test_an_algorithm_must_fit_the_key(kind, algorithm):
    """What cannot sign says what the key is, and what it can."""
    if algorithm in ALGORITHMS[kind]:
        assert usable_keys(pem(make(kind)), algorithm=algorithm)[0].choose(algorithm) == algorithm
        return
    with pytest.raises(KeyProblem, match=f"cannot sign with {algorithm}") as raised:
        usable_keys(pem(make(kind)), algorithm=algorithm)
    assert ALGORITHMS[kind][0] in str(raised.value)


def test_an_algorithm_of_a_jwk_must_fit_it_too():
    """`alg` of another kind of key, or of encryption, is no algorithm to sign with."""
    for algorithm in ("RS256", "RSA-OAEP", "none", "HS256"):
        with pytest.raises(KeyProblem, match="cannot sign with"):
            usable_keys(written(jwk(EC, alg=algorithm)))
    assert usable_keys(written(jwk(RSA, alg="RSA-OAEP")), algorithm="PS256")[0].choose("PS256") == "PS256"


def test_nothing_prints_a_key():
    """The `repr` has names only."""
    assert jwk(EC)["d"] not in repr(read_keys(SET))
    assert "private" not in repr(read_keys(pem(EC)))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_or_a_problem(data):
    """Whatever stands in the file, nothing else is raised, and nothing of it is quoted."""
    with pytest.raises(KeyProblem):
        read_keys(data)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "n", "e", "d", "p", "q", "x", "y", "kid", "alg", "keys", "use"]),
        st.recursive(
            st.one_of(st.none(), st.integers(), st.sampled_from(["RSA", "EC", "P-256", "AQAB", "", "=", "x y"])),
            lambda inner: st.lists(inner, max_size=2),
            max_leaves=3,
        ),
    )
)
def test_any_json_is_a_key_or_a_problem(document):
    """Members of the wrong type are damage, not exceptions of ours."""
    with pytest.raises(KeyProblem):
        read_keys(written(document))
