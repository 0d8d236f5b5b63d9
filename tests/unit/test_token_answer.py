"""What a token endpoint's answer means, row by row; the answer is never trusted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tokens.answer import Answer, has_expiry, read_answer
from proxy.tokens.failure import Failure
from proxy.tokens.source import Token

SECRET = "o+d%20d:s/e c=r&e?t"
GOOD = {"token_type": "Bearer", "expires_in": 3600, "access_token": "eyJhbGciOi.JSUzI1NiJ9.c2ln"}


def answer(status=200, document=None, *, body=None, **headers):
    """Return an answer that was asked for at 100 s on the boot clock and 1000 s on the wall."""
    raw = json.dumps(document).encode() if body is None else body
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, names, raw, sent_boot=100.0, sent_wall=1000.0)


def read(*args, **kwargs):
    """Return what such an answer means."""
    return read_answer(answer(*args, **kwargs), SECRET)


def test_a_token_lives_from_just_before_its_request():
    """A good answer gives a token whose life counts on both clocks from the moment of sending."""
    token = read(200, GOOD)
    assert isinstance(token, Token)
    assert (token.value, token.scheme, token.lifetime) == (GOOD["access_token"], "Bearer", 3600.0)
    assert (token.expires_boot, token.expires_wall) == (3700.0, 4600.0)


@pytest.mark.parametrize(
    ("changed", "scheme"),
    [
        ({"token_type": "bearer"}, "Bearer"),
        ({"token_type": "BEARER"}, "Bearer"),
        ({"token_type": "dpop"}, "DPoP"),
        ({"token_type": "DPoP"}, "DPoP"),
        ({"token_type": ""}, "Bearer"),
        ({"token_type": None}, "Bearer"),
    ],
)
def test_the_scheme_follows_the_token_type(changed, scheme):
    """In any case of letters; none is Bearer."""
    token = read(200, GOOD | changed)
    assert isinstance(token, Token)
    assert token.scheme == scheme


def test_a_missing_token_type_is_bearer():
    """RFC 6749 demands one; Bearer is what is meant without."""
    token = read(200, {name: value for name, value in GOOD.items() if name != "token_type"})
    assert isinstance(token, Token)
    assert token.scheme == "Bearer"


@pytest.mark.parametrize(
    "changed",
    [
        {"expires_in": "3600"},
        {"expires_in": 3600.0},
        {"error": None},
        {"error": ""},
        {"scope": ["a", "b"]},
        {"access_token": "x" * 20_000},
        {"access_token": "opaque~token/with=+.-_"},
        {"id_token": "another"},
    ],
)
def test_what_is_odd_but_clear_is_a_token(changed):
    """Numeric strings, long and opaque tokens and fields that nobody reads do no harm."""
    assert isinstance(read(200, GOOD | changed), Token)


def test_a_byte_order_mark_does_no_harm():
    """An answer that begins with a UTF-8 BOM is read."""
    assert isinstance(read(body=b"\xef\xbb\xbf" + json.dumps(GOOD).encode()), Token)


@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_lifetime_is_five_minutes(missing):
    """Without `expires_in`, or with null, the token lives 300 s, and it can be told that nobody said so."""
    document = {name: value for name, value in GOOD.items() if name != "expires_in"}
    given_answer = answer(200, document if missing else document | {"expires_in": None})
    token = read_answer(given_answer, SECRET)
    assert isinstance(token, Token)
    assert token.lifetime == 300.0
    assert not has_expiry(given_answer)
    assert has_expiry(answer(200, GOOD))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"access_token": None}, "access_token is missing"),
        ({"access_token": ""}, "access_token is missing"),
        ({"access_token": 7}, "access_token is missing"),
        ({"access_token": ["eyJ"]}, "access_token is missing"),
        ({"access_token": "ey.J\r\nX-Injected: 1"}, "characters that a header cannot hold"),
        ({"access_token": "ey.J\n"}, "characters that a header cannot hold"),
        ({"access_token": "two words"}, "characters that a header cannot hold"),
        ({"access_token": "nul\x00"}, "characters that a header cannot hold"),
        ({"access_token": "caf\u00e9"}, "characters that a header cannot hold"),
        ({"access_token": "\ud800"}, "characters that a header cannot hold"),
        ({"token_type": "mac"}, "token_type is neither"),
        ({"token_type": "Bearer "}, "token_type is neither"),
        ({"token_type": 0}, "token_type is neither"),
        ({"token_type": []}, "token_type is neither"),
        ({"token_type": {"a": 1}}, "token_type is neither"),
        ({"expires_in": 0}, "expires_in is not"),
        ({"expires_in": -1}, "expires_in is not"),
        ({"expires_in": "soon"}, "expires_in is not"),
        ({"expires_in": True}, "expires_in is not"),
        ({"expires_in": [3600]}, "expires_in is not"),
    ],
)
def test_a_success_of_no_use_is_a_failure_with_a_name(changed, named):
    """A 200 whose fields are wrong says which one; it is tried again and holds no value of the answer."""
    failure = read(200, GOOD | changed)
    assert isinstance(failure, Failure)
    assert failure.outcome == "failed"
    assert named in failure.message
    assert failure.status == 200
    assert "Injected" not in failure.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"token"',
        b"17",
        b"true",
        b"<html><body>Sign in to the hotel's network</body></html>",
        b'{"token_type":"Bearer","expires_in":3600,"access_tok',
        b'{"token_type":"Bearer","access_token":"\xff\xfe"}',
        b"\x1f\x8b\x08\x00gzip",
        json.dumps(GOOD).encode("utf-16"),
        b"[" * 60_000,
        b'{"access_token":' * 4_000,
        b'{"expires_in":' + b"9" * 5000 + b',"access_token":"x"}',
    ],
)
def test_a_success_that_is_no_json_object_is_a_failure(body):
    """HTML, cut JSON, other values than an object, other encodings: named, with the captive portal as a hint."""
    failure = read(body=body)
    assert isinstance(failure, Failure)
    assert failure.outcome == "failed"
    assert "not a JSON object" in failure.message
    assert "captive portal" in failure.remedy


@pytest.mark.parametrize(
    "body", [b'{"access_token":"x","expires_in":NaN}', b'{"access_token":"x","expires_in":-Infinity}']
)
def test_json_numbers_that_are_none_are_no_lifetime(body):
    """NaN and minus infinity, which Python's parser takes, are a failed fetch."""
    failure = read(body=body)
    assert isinstance(failure, Failure)
    assert "expires_in" in failure.message


@pytest.mark.parametrize("more", [{}, GOOD])
def test_a_success_that_holds_an_error_is_that_error(more):
    """A 200 with `error` is judged as the 400 that it should have been, also beside a token (as x/oauth2 has it)."""
    failure = read(200, {"error": "invalid_client", "error_description": "No client credentials found."} | more)
    assert isinstance(failure, Failure)
    assert failure.outcome == "refused"
    assert failure.error == "invalid_client"
    assert "answered 200, invalid_client: No client credentials found." in failure.message


@pytest.mark.parametrize("error", [None, "", 7, {"code": 1}])
def test_a_success_with_an_error_that_says_nothing_is_one_of_no_use(error):
    """Without a token and without a readable `error`, what is missing is the token, and we try again."""
    failure = read(200, {"error": error})
    assert isinstance(failure, Failure)
    assert failure.outcome == "failed"
    assert "access_token is missing" in failure.message


def test_a_temporary_error_in_a_success_is_tried_again():
    """`temporarily_unavailable` passes by itself, whatever the status."""
    failure = read(200, {"error": "temporarily_unavailable"})
    assert isinstance(failure, Failure)
    assert failure.outcome == "failed"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (204, "failed"),
        (301, "failed"),
        (302, "failed"),
        (307, "failed"),
        (400, "refused"),
        (401, "refused"),
        (403, "refused"),
        (404, "refused"),
        (405, "refused"),
        (408, "failed"),
        (413, "refused"),
        (425, "failed"),
        (429, "limited"),
        (451, "refused"),
        (500, "failed"),
        (502, "failed"),
        (503, "failed"),
        (504, "failed"),
        (599, "failed"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html><h1>Nope</h1></html>", b"{}", b"[1]", b"\xff"])
def test_a_status_alone_tells_whether_to_try_again(status, outcome, body):
    """Every 4xx but 408, 425 and 429 needs a person when the body says nothing; all else is tried again."""
    failure = read(status, body=body)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.status) == (outcome, status)
    assert failure.message == f"The token endpoint answered {status}."


def test_oktas_other_error_shape_is_read():
    """`errorCode` and `errorSummary` stand in the failure as `error` and its description would."""
    failure = read(404, {"errorCode": "E0000007", "errorSummary": "Not found: Resource not found: aus1"})
    assert isinstance(failure, Failure)
    assert failure.error == "E0000007"
    assert failure.message == "The token endpoint answered 404, E0000007: Not found: Resource not found: aus1."


@pytest.mark.parametrize(
    ("status", "headers", "delay"),
    [
        (429, {"retry_after": "7"}, 7.0),
        (429, {"x_rate_limit_reset": "1030"}, 31.0),
        (429, {}, None),
        (503, {"retry_after": "7"}, 7.0),
        (500, {"retry_after": "7"}, 7.0),
        (502, {"retry_after": "7"}, 7.0),
        (400, {"retry_after": "7"}, 7.0),
        # Okta has these on every answer: they say when the count starts anew, not that we must wait.
        (503, {"x_rate_limit_reset": "1030", "x_rate_limit_remaining": "149"}, None),
        (400, {"x_rate_limit_reset": "1030", "x_rate_limit_remaining": "149"}, None),
    ],
)
def test_a_failure_carries_the_time_that_the_answer_names(status, headers, delay):
    """`Retry-After` of whatever will be tried again, `X-Rate-Limit-Reset` of a 429."""
    failure = read(status, {"error": "temporarily_unavailable"}, **headers)
    assert isinstance(failure, Failure)
    assert failure.delay == delay


def test_a_refusal_names_no_time():
    """What only a person can mend is tried on a schedule of its own, whatever `Retry-After` says."""
    failure = read(401, {"error": "invalid_client"}, retry_after="7")
    assert isinstance(failure, Failure)
    assert failure.delay is None


def test_the_request_id_is_kept_for_the_log():
    """`x-okta-request-id` is in the failure, bounded and printable; absent it is None."""
    failure = read(500, {}, x_okta_request_id="reqABC\x1b[31m" + "x" * 200)
    assert isinstance(failure, Failure)
    assert failure.request_id is not None
    assert failure.request_id.startswith("reqABC [31m")
    assert len(failure.request_id) <= 80
    assert read(500, {}).request_id is None


FORMS = [
    SECRET,
    "o%2Bd%2520d%3As%2Fe+c%3Dr%26e%3Ft",
    "o%2Bd%2520d%3As%2Fe%20c%3Dr%26e%3Ft",
    "Basic MG9hMTpvJTJCZA==",
    "Authorization: Basic MG9hMTpvJTJCZA==",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_that_the_answer_echoes_is_not_passed_on(form):
    """As it is, as the form had it, as Basic had it: stars in its place, wherever it was echoed."""
    for status in (200, 400, 401, 429, 500):
        for name in ("error", "error_description", "errorCode", "errorSummary"):
            failure = read(status, {name: f"You sent {form}, which is wrong"}, x_okta_request_id=form)
            assert isinstance(failure, Failure)
            shown = f"{failure} {failure.detail}"
            assert form not in shown
            assert "MG9hMTpvJTJCZA" not in shown
            assert SECRET not in shown


def test_a_secret_is_not_cut_in_the_middle_by_a_long_answer():
    """Many echoes become short stars; what stands behind them is without the secret too, wherever the text ends."""
    for padding in range(60):
        told = {"error": "invalid_client", "error_description": "." * padding + SECRET * 80}
        failure = read(401, told)
        assert isinstance(failure, Failure)
        assert SECRET[:6] not in failure.detail


def test_an_echoed_token_is_not_passed_on():
    """What looks like a JWT is replaced in a description."""
    failure = read(400, {"error": "invalid_request", "error_description": f"bad {GOOD['access_token']} there"})
    assert isinstance(failure, Failure)
    assert "eyJ" not in failure.detail


def test_an_answers_repr_shows_neither_body_nor_headers():
    """The body of a success is a secret."""
    assert GOOD["access_token"] not in repr(answer(200, GOOD))


@given(status=st.integers(200, 599), body=st.binary(max_size=300))
def test_no_bytes_can_crash_the_reader(status, body):
    """Any bytes give a failure whose text is short printable ASCII."""
    failure = read(status, body=body)
    assert isinstance(failure, Failure)
    assert failure.detail.isascii()
    assert failure.detail.isprintable()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
FIELDS = st.sampled_from(["access_token", "token_type", "expires_in", "error", "error_description", "errorCode"])


@given(
    status=st.sampled_from([200, 400, 401, 429, 500]),
    document=st.dictionaries(FIELDS, SCALARS | st.lists(SCALARS, max_size=2), max_size=6),
)
def test_no_json_can_crash_the_reader(status, document):
    """Fields of any type give a token that a header can hold and that lives, or a failure in printable ASCII."""
    result = read(status, document)
    if isinstance(result, Token):
        assert status == 200
        assert result.value.isascii()
        assert result.value.isprintable()
        assert " " not in result.value
        assert 1 < result.lifetime <= 86_400
    else:
        assert result.detail.isascii()
        assert result.detail.isprintable()
        assert len(result.detail) < 1000
