"""The keys and secrets of the emulated servers' client: in which forms they come, and how they change."""

import json

import pytest
from signed import CLIENT_ID, certificate, ec, public, rsa

from proxy.emulator.client import Client, public_keys


@pytest.mark.parametrize(
    "source",
    [
        public(ec()),
        dict(ec().as_dict(private=True)),
        {"keys": [public(ec())]},
        json.dumps(public(ec())),
        json.dumps({"keys": [public(ec())]}).encode(),
    ],
    ids=["JWK", "private JWK", "JWK set", "JSON", "JSON set"],
)
def test_a_jwk_keeps_its_kid_and_no_private_member(source):
    """Alone or in a set, as a mapping or as JSON."""
    (key,) = public_keys(source)
    assert (key.kid, key.thumbprint) == ("ec", None)
    assert not key.key.is_private
    assert key.key.thumbprint() == ec().thumbprint()


@pytest.mark.parametrize("private", [True, False])
def test_a_pem_key_is_named_by_its_thumbprint(private):
    """A public or a private key in PEM form, whose `kid` is RFC 7638's."""
    for made in (ec(), rsa()):
        (key,) = public_keys(made.as_pem(private=private))
        assert key.kid == made.thumbprint()
        assert not key.key.is_private


def test_a_certificate_has_a_digest():
    """Its `x5t#S256` is known, as it is for a JWK that says one."""
    (key,) = public_keys(certificate())
    assert key.kid == rsa().thumbprint()
    assert key.thumbprint is not None
    assert len(key.thumbprint) == 43
    (jwk,) = public_keys(public(ec()) | {"x5t#S256": "A" * 43})
    assert jwk.thumbprint == "A" * 43


@pytest.mark.parametrize(
    "source",
    [
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC"},
        {},
        {"keys": 1},
        {"keys": ["x"]},
        "no key",
        "{",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ],
)
def test_what_is_no_key_is_an_error(source):
    """Secrets, half keys and garbage raise ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # each has a text of its own, some not ours
        public_keys(source)


def test_keys_come_and_go():
    """`accept_keys` replaces them all, `retire` takes one, and a `kid` may be there once."""
    client = Client(CLIENT_ID, ("hush",), [public(ec()), public(rsa())])
    assert [key.kid for key in client.keys] == ["ec", "rsa"]
    assert repr(client) == "<Client 0oa1 [1 secrets, 2 keys]>"
    client.retire("ec")
    assert [key.kid for key in client.keys] == ["rsa"]
    with pytest.raises(KeyError, match="ec"):
        client.retire("ec")
    with pytest.raises(ValueError, match="a kid of its own"):
        client.accept_keys(public(ec()), public(ec()))
    assert [key.kid for key in client.keys] == ["rsa"]
    client.accept_keys()
    assert client.keys == ()


def test_secrets_are_compared_whole():
    """Either of two is the client's, no part of one is, and whatever characters there are do no harm."""
    client = Client(CLIENT_ID, ("new", "o\u00e9ld"), ())
    assert client.has_secret("new")
    assert client.has_secret("o\u00e9ld")
    assert not client.has_secret("ne")
    assert not client.has_secret("")
