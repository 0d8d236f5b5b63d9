"""Which answers are worth another sending within the same fetch, with a new assertion or proof."""

import json

import pytest

from proxy.tokens.answer import Answer
from proxy.tokens.retry import reason_to_repeat, refuses_credential

DATE, NONCE = {"date": "Tue, 24 Nov 2026 16:00:00 GMT"}, {"dpop-nonce": "n"}
USED = "The client_assertion token has already been used."
EXPIRED = "The client_assertion token is expired."
WRONG = "The client secret supplied for a confidential client is invalid."


def answer(error, text="", headers=(), *, bound=False, status=401):
    """Return an error; *bound* if it was asked for with a proof."""
    body = json.dumps({"error": error, "error_description": text}).encode()
    return Answer(status, dict(headers), body, 0.0, 0.0, (lambda _: None) if bound else None)


@pytest.mark.parametrize(
    ("given", "signs", "reason"),
    [
        (answer("use_dpop_nonce", headers=NONCE, bound=True), True, "nonce"),
        (answer("use_dpop_nonce", headers=NONCE), True, None),
        (answer("use_dpop_nonce", bound=True), True, None),
        (answer("invalid_client", EXPIRED, DATE), True, "clock"),
        (answer("invalid_client", EXPIRED), True, None),
        (answer("invalid_client", EXPIRED, DATE), False, None),
        (answer("invalid_dpop_proof", "The DPoP proof JWT is issued in the future.", DATE, bound=True), True, "clock"),
        (answer("invalid_client", "The client secret is expired.", DATE), True, None),
        (answer("invalid_client", USED, DATE), True, "spent"),
        (answer("invalid_dpop_proof", "The DPoP proof JWT has already been used.", bound=True), True, "spent"),
        (answer("invalid_client", WRONG, DATE), True, None),
        (answer("server_error", status=500), True, None),
        (Answer(200, DATE, b'{"access_token": "t"}', 0.0, 0.0), True, None),
        (Answer(502, DATE, b"<html>", 0.0, 0.0), True, None),
    ],
)
def test_what_a_new_sending_mends(given, signs, reason):
    """A nonce that came along, a clock that the answer tells, an id that was used; and nothing else."""
    assert reason_to_repeat(given, signs=signs) == reason


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (answer("invalid_client", WRONG), True),
        (answer("invalid_client", WRONG, status=400), True),
        (answer("invalid_client", "The client_assertion JWT kid is invalid."), True),
        (answer("invalid_client"), True),
        (answer("invalid_client", EXPIRED), False),
        (answer("invalid_client", USED), False),
        (answer("invalid_client", "Error retrieving the client JWKSet from jwks_uri."), False),
        (answer("invalid_client", status=500), False),
        (answer("invalid_client", status=429), False),
        (answer("invalid_scope"), False),
        (Answer(401, {}, b"", 0.0, 0.0), False),
    ],
)
def test_when_another_credential_may_help(given, refused):
    """Only where the server says that this one is wrong."""
    assert refuses_credential(given) is refused
