"""Which failures pass by themselves and which need a person, and what of a server's words may be shown."""

from base64 import b64encode
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.emulator.errors import names, oauth_error
from proxy.tokens.failure import Failure, is_about_clocks, is_refusal, printable

SECRET = "o+d%20d:s/e c=r&e?t"

PASSING = {
    "temporarily_unavailable",
    "client_assertion_expired_token",
    "client_assertion_expires_too_far_in_future",
    "client_assertion_issued_at_in_future",
    "client_assertion_already_used",
    "jwks_uri_error",
    "invalid_dpop_proof_jwt_issued_in_future",
    "invalid_dpop_proof_jwt_too_old",
    "dpop_proof_already_used",
    "server_error",
    "access_token_not_generated",
}


@pytest.mark.parametrize("name", names())
def test_each_of_oktas_refusals_needs_a_person_or_passes(name):
    """Every 4xx needs a person but for maintenance, clocks, used ids and keys that Okta could not fetch; 5xx pass."""
    error = oauth_error(name)
    assert is_refusal(error.status, error.error, error.description) is (name not in PASSING)


@pytest.mark.parametrize(
    ("status", "refused"),
    [
        *((status, True) for status in (400, 401, 403, 404, 422, 499)),
        *((status, False) for status in (200, 302, 408, 425, 429, 500, 503)),
    ],
)
def test_without_words_the_status_decides(status, refused):
    """408, 425 and 429 are the client errors that pass."""
    assert is_refusal(status, "", "") is refused


@pytest.mark.parametrize(
    "description",
    [
        "The client secret is expired.",
        "The provided client secret keys are expired.",
        "The account is expired.",
        "The authorization code has already been used.",
    ],
)
def test_what_is_expired_for_good_needs_a_person(description):
    """Only an assertion or a proof is made anew with each try: a secret that expired is not."""
    assert is_refusal(401, "invalid_client", description)
    assert not is_about_clocks(description)


@pytest.mark.parametrize(
    "name", ["client_assertion_expired_token", "client_assertion_issued_at_in_future", "invalid_dpop_proof_jwt_too_old"]
)
def test_a_clock_that_is_off_is_recognised(name):
    """Okta's texts on expiry and issue time of an assertion or proof are about clocks."""
    assert is_about_clocks(oauth_error(name).description)


def test_a_failure_in_one_text():
    """`detail` is the message and, if there is one, the remedy."""
    assert Failure("failed", "It failed.", "Mend it.").detail == "It failed. Mend it."
    assert Failure("failed", "It failed.").detail == "It failed."


@pytest.mark.parametrize(
    ("outcome", "reached"), [("unreachable", False), ("failed", True), ("limited", True), ("refused", True)]
)
def test_a_failure_knows_whether_anybody_answered(outcome, reached):
    """All but `unreachable` came from the token endpoint."""
    assert Failure(outcome, "").reached is reached


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("a\r\nb\tc", "a b c"),
        ("\x1b[31mred", " [31mred"),
        ("caf\u00e9 \u202e\ud800", "caf "),
        ("a token eyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln here", "a token *** here"),
        ("x" * 300, "x" * 237 + "..."),
        ("x" * 240, "x" * 240),
        ("", ""),
    ],
)
def test_a_servers_text_is_shown_as_bounded_printable_ascii(text, shown):
    """Line breaks, escapes and other alphabets become blanks, tokens stars, and the rest is cut."""
    assert printable(text).strip() == shown.strip()


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        quote_plus(SECRET),
        quote_plus(SECRET).replace("+", "%20"),
        b64encode(f"0oa1:{quote_plus(SECRET)}".encode()).decode(),
        b64encode(f"0oa1:{SECRET}".encode()).decode().rstrip("="),
    ],
)
def test_the_secret_is_never_shown(echo):
    """As it is, form-encoded, percent-encoded and inside Basic credentials, also where the text is cut."""
    assert printable(f"You sent {echo} to us", SECRET) == "You sent *** to us"
    for padding in range(220, 240):
        cut = printable("." * padding + echo, SECRET)
        assert echo[:6] not in cut


def test_words_that_only_look_encoded_stay():
    """Base64 that does not hold the secret is left as it is: request ids and long words are."""
    text = "Authentication failed for reference QUJDREVGR0hJSktMTU5PUA== and abcde"
    assert printable(text, SECRET) == text


@given(text=st.text(max_size=400), secret=st.text(min_size=8, max_size=40, alphabet=st.characters(codec="ascii")))
def test_nothing_unprintable_and_no_secret_gets_through(text, secret):
    """Whatever the server sends around the secret, what is shown is bounded printable ASCII without it."""
    shown = printable(text + secret + text, secret)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 240
    assert secret not in shown
