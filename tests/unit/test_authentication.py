"""How the client's credentials are put into a token request (RFC 6749 2.3.1)."""

import base64
from urllib.parse import parse_qsl, unquote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.emulator.grants import Call
from proxy.tokens.authentication import authenticate

ODD = "o+d%20d:s/e c=r&e?t"


def from_basic(header):
    """Decode as RFC 6749 2.3.1 has it: Base64, the first colon, then each part as a form."""
    scheme, _, encoded = header.partition(" ")
    assert scheme == "Basic"
    client_id, colon, secret = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    assert colon
    return unquote_plus(client_id), unquote_plus(secret)


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        ("0oa1client", "abcDEF-_123"),
        ("0oa1client", ODD),
        (ODD, ODD),
        ("a:b", ":"),
        ("id", "sch\u00f6n \u6f22"),
        ("id", " "),
    ],
)
def test_basic_carries_both_parts_form_encoded(client_id, secret):
    """The header decodes to the very id and secret, and the form has neither."""
    headers, form = authenticate("client_secret_basic", client_id, secret)
    assert list(headers) == ["Authorization"]
    assert from_basic(headers["Authorization"]) == (client_id, secret)
    assert form == []


def test_basic_of_an_ordinary_secret_is_what_everybody_sends():
    """Without special characters the encoding changes nothing: `id:secret` in Base64."""
    headers, _ = authenticate("client_secret_basic", "0oa1client", "abcDEF-_123")
    assert headers == {"Authorization": "Basic " + base64.b64encode(b"0oa1client:abcDEF-_123").decode()}


def test_basic_of_the_odd_secret_byte_for_byte():
    """`+`, `%`, a blank, `:`, `/`, `=`, `&` and `?` each have their form-encoded spelling."""
    headers, _ = authenticate("client_secret_basic", "0oa1", ODD)
    plain = base64.b64decode(headers["Authorization"].removeprefix("Basic "))
    assert plain == b"0oa1:o%2Bd%2520d%3As%2Fe+c%3Dr%26e%3Ft"


@pytest.mark.parametrize("secret", ["abcDEF-_123", ODD, "sch\u00f6n"])
def test_post_carries_both_parts_as_fields(secret):
    """The body decodes to the very id and secret, and there is no header."""
    headers, form = authenticate("client_secret_post", "0oa1client", secret)
    assert headers == {}
    assert parse_qsl(urlencode(form)) == [("client_id", "0oa1client"), ("client_secret", secret)]


@given(client_id=st.text(min_size=1, max_size=20), secret=st.text(min_size=1, max_size=30))
def test_a_server_reads_what_we_meant(client_id, secret):
    """Any id and secret come out of both methods as they went in, and as exactly one method of authentication."""
    try:
        (client_id + secret).encode()
    except UnicodeEncodeError:
        return
    headers, form = authenticate("client_secret_basic", client_id, secret)
    assert from_basic(headers["Authorization"]) == (client_id, secret)
    assert Call(authorization=(headers["Authorization"],), form=tuple(form)).method == "client_secret_basic"
    headers, form = authenticate("client_secret_post", client_id, secret)
    assert tuple(parse_qsl(urlencode(form), keep_blank_values=True)) == tuple(form)
    assert Call(authorization=tuple(headers.values()), form=tuple(form)).method == "client_secret_post"
