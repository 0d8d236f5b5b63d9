"""The overview in words: states, the reason for not being ready, and what `/status` shows."""

import json
from dataclasses import replace

import pytest

from proxy.admin.overview import EMPTY, Overview, TokenView
from proxy.admin.status import by_class, moment, not_ready, seconds_left, state, status

NOW = 1_800_000_000.0

GOOD = TokenView(
    usable=True,
    expires_at=NOW + 2700.04,
    refreshed_at=NOW - 900,
    next_try_at=NOW + 1700,
    failed_at=None,
    error=None,
    error_code=None,
    refreshes={"ok": 4},
    credential="kid-1",
)
NONE = replace(GOOD, usable=False, expires_at=None, refreshed_at=None)
DOWN = replace(NONE, failed_at=NOW - 3, error="Okta was not reached.", error_code="token_unavailable")
REFUSED = replace(DOWN, error="Okta refused: invalid_client.", error_code="token_refused")

OVERVIEW = Overview(
    version="1.2.3",
    started_at=NOW - 60,
    now=NOW,
    listen="http://localhost:8080",
    upstream="https://api.example.com",
    draining=False,
    token=GOOD,
    requests={("GET", 200): 5, ("POST", 200): 2, ("GET", 404): 1, ("other", 503): 3},
    durations=EMPTY,
    token_waits=EMPTY,
    in_flight=2,
    replays=1,
    upstream_connections={"active": 2},
)


@pytest.mark.parametrize(
    ("token", "draining", "expected"),
    [
        (GOOD, False, "ready"),
        (replace(GOOD, error="x", error_code="token_refused"), False, "ready"),
        (NONE, False, "waiting"),
        (DOWN, False, "waiting"),
        (REFUSED, False, "refused"),
        (GOOD, True, "draining"),
        (REFUSED, True, "draining"),
    ],
)
def test_the_state_is_what_matters_most_to_requests(token, draining, expected):
    """A usable token makes ready whatever the last fetch said, and draining comes before all."""
    assert state(replace(OVERVIEW, token=token, draining=draining)) == expected


def test_not_ready_says_why():
    """The reason names the error's code and its words; a usable token needs no reason."""
    assert not_ready(OVERVIEW) is None
    assert "first token request" in str(not_ready(replace(OVERVIEW, token=NONE)))
    assert not_ready(replace(OVERVIEW, token=REFUSED)) == (
        "No usable token (token_refused): Okta refused: invalid_client."
    )
    assert str(not_ready(replace(OVERVIEW, draining=True))).startswith("Draining")


def test_moments_are_utc_to_the_second():
    """RFC 3339 in UTC, None for what never was."""
    assert moment(NOW + 0.9) == "2027-01-15T08:00:00Z"
    assert moment(None) is None


def test_seconds_left_never_go_below_zero():
    """An expired token has 0 left, no token has none."""
    assert seconds_left(OVERVIEW) == pytest.approx(2700.04)
    assert seconds_left(replace(OVERVIEW, token=replace(GOOD, expires_at=NOW - 1))) == 0
    assert seconds_left(replace(OVERVIEW, token=NONE)) is None


def test_status_classes_start_at_zero():
    """The four classes of final answers are always there, another one when it was seen."""
    assert by_class(replace(OVERVIEW, requests={})) == {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
    assert by_class(OVERVIEW) == {"2xx": 7, "3xx": 0, "4xx": 1, "5xx": 3}
    assert by_class(replace(OVERVIEW, requests={("GET", 101): 1}))["1xx"] == 1


def test_status_of_a_healthy_proxy():
    """Every field, with moments in RFC 3339 and durations in seconds, ready for JSON."""
    assert json.loads(json.dumps(status(OVERVIEW))) == {
        "version": "1.2.3",
        "state": "ready",
        "listen": "http://localhost:8080",
        "upstream": "https://api.example.com",
        "started_at": "2027-01-15T07:59:00Z",
        "uptime_seconds": 60,
        "token": {
            "usable": True,
            "expires_at": "2027-01-15T08:45:00Z",
            "seconds_left": 2700,
            "refreshed_at": "2027-01-15T07:45:00Z",
            "next_try_at": "2027-01-15T08:28:20Z",
            "credential": "kid-1",
            "failed_at": None,
            "last_error": None,
            "refreshes": {"ok": 4, "unreachable": 0, "failed": 0, "limited": 0, "refused": 0},
        },
        "requests": {
            "total": 11,
            "in_flight": 2,
            "by_class": {"2xx": 7, "3xx": 0, "4xx": 1, "5xx": 3},
            "by_code": {"200": 7, "404": 1, "503": 3},
            "replays": 1,
        },
        "upstream_connections": {"active": 2, "idle": 0, "connecting": 0, "waiting": 0},
    }


def test_status_of_a_proxy_without_a_token():
    """The last error stands with its code and its moment, and what never was is null."""
    token = status(replace(OVERVIEW, token=DOWN, started_at=NOW + 5))["token"]
    assert token["seconds_left"] is None
    assert token["last_error"] == {
        "code": "token_unavailable",
        "detail": "Okta was not reached.",
        "at": "2027-01-15T07:59:57Z",
    }


def test_uptime_survives_a_clock_that_was_set_back():
    """It is 0 rather than negative."""
    assert status(replace(OVERVIEW, started_at=NOW + 5))["uptime_seconds"] == 0
