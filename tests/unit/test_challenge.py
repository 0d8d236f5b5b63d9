"""What a 401 says of the token: the tables of `proxy.forwarding.challenge`."""

import pytest

from proxy.forwarding.challenge import SAFE_METHODS, allows_replay, calls_for_refresh, token_errors


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([b""], None),
        ([b"Basic realm=x"], None),
        ([b"Negotiate"], None),
        ([b"Bearer"], {""}),
        ([b"bearer"], {""}),
        ([b"DPoP"], {""}),
        ([b'Bearer realm="x"'], {""}),
        ([b'Bearer error="invalid_token"'], {"invalid_token"}),
        ([b"Bearer error=invalid_token, error_description=x"], {"invalid_token"}),
        ([b'Bearer realm="x", ERROR = "invalid_token"'], {"invalid_token"}),
        ([b'DPoP algs="ES256", error="use_dpop_nonce"'], {"use_dpop_nonce"}),
        ([b'Basic realm="x", Bearer error="invalid_token"'], {"invalid_token"}),
        ([b'Bearer error="invalid_token", Basic realm="y"'], {"invalid_token"}),
        ([b"Basic, Bearer"], {""}),
        ([b"Negotiate, Bearer , Basic"], {""}),
        ([b"Basic realm=x", b"Bearer"], {""}),
        ([b'Bearer, DPoP error="invalid_token"'], {"", "invalid_token"}),
        ([b'Bearer error_description="error=\\"x\\", Bearer", error="insufficient_scope"'], {"insufficient_scope"}),
        ([b'Basic realm="Bearer error=\\"invalid_token\\""'], None),
        ([b'Basic realm="x, Bearer error=invalid_token"'], None),
        ([b'Bearer realm="a, error=insufficient_scope"'], {""}),
        ([b'Bearer error_uri="x", error="insufficient_scope"'], {"insufficient_scope"}),
        ([b'Digest realm="x", error="invalid_token"'], None),
        ([b'Bearer error="caf\xe9"'], {"caf\xe9"}),
        ([b"BearerX error=invalid_token"], None),
    ],
)
def test_challenges_are_read_as_rfc_9110_writes_them(values: list[bytes], expected: set[str] | None):
    """Only a Bearer or DPoP challenge counts, with the error that stands in it and not in a quoted string."""
    assert token_errors(values) == expected


@pytest.mark.parametrize(
    ("errors", "refresh"),
    [
        (None, True),
        ({""}, True),
        ({"invalid_token"}, True),
        ({"insufficient_scope"}, False),
        ({"insufficient_scope", "invalid_token"}, False),
        ({"something_new"}, True),
    ],
)
def test_only_a_missing_scope_needs_no_refresh(errors: set[str] | None, refresh: bool):
    """Another token has the same scopes: `insufficient_scope` is not worth one."""
    assert calls_for_refresh(errors) is refresh


@pytest.mark.parametrize("method", sorted(SAFE_METHODS))
def test_a_safe_method_is_always_repeated(method: str):
    """What changes nothing may be sent again whatever the 401 says."""
    assert allows_replay(method, None)
    assert allows_replay(method, {"something"})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "LOCK", "get"])
@pytest.mark.parametrize(
    ("errors", "allowed"),
    [
        (None, False),
        ({"something"}, False),
        ({""}, True),
        ({"invalid_token"}, True),
        ({"use_dpop_nonce"}, True),
        ({"something", "invalid_token"}, True),
    ],
)
def test_another_method_needs_a_token_error(method: str, errors: set[str] | None, allowed: bool):
    """A request that may change something is repeated only if the challenge blames the token."""
    assert allows_replay(method, errors) is allowed


def test_a_challenge_without_end_costs_little():
    """An upstream's header is untrusted: a quoted string that never ends is read once."""
    value = b'Bearer x="' + b'\\"' * 120_000
    assert token_errors([value] * 50) == {""}
