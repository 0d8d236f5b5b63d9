"""The overview in words: the state that everything is shown under, why the proxy is not ready, and `/status`."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Literal

from proxy.admin.overview import Overview

State = Literal["ready", "waiting", "refused", "draining"]

OUTCOMES = ("ok", "unreachable", "failed", "limited", "refused")
"""How a token request can end. Each is shown from the start, at 0: a rate has to see a counter before it moves."""

CONNECTION_STATES = ("active", "idle", "connecting", "waiting")
"""What `waiting` counts are requests: those for which `upstream.connections` has no connection yet."""


def state(overview: Overview) -> State:
    """
    Return the one word for how the proxy is.

    `ready`: requests get a token. `waiting`: there is none, and it heals by itself. `refused`: there is none, and
    only a person can mend it. `draining`: it is stopping.
    """
    if overview.draining:
        return "draining"
    if overview.token.usable:
        return "ready"
    return "refused" if overview.token.error_code == "token_refused" else "waiting"


def not_ready(overview: Overview) -> str | None:
    """Return why requests should go elsewhere, in a sentence; None when they are welcome."""
    token = overview.token
    if overview.draining:
        return "Draining: what is in flight is finished, nothing new should come."
    if token.usable:
        return None
    if token.error is None:
        return "No usable token yet: the first token request has not ended."
    return f"No usable token ({token.error_code}): {token.error}"


def moment(seconds: float | None) -> str | None:
    """Return wall-clock *seconds* as RFC 3339 in UTC, `2026-11-24T13:28:00Z`; None for never."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_left(overview: Overview) -> float | None:
    """Return the seconds until the token expires, 0 for one that has, None without one."""
    expires_at = overview.token.expires_at
    return None if expires_at is None else max(0.0, expires_at - overview.now)


def by_class(overview: Overview) -> dict[str, int]:
    """Return how many requests ended with each class of status: `2xx` to `5xx` always, others when there were any."""
    classes = Counter({"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0})
    for (_, code), count in overview.requests.items():
        classes[f"{code // 100}xx"] += count
    return dict(sorted(classes.items()))


def outcomes(overview: Overview) -> dict[str, int]:
    """Return how many token requests ended with each outcome."""
    return dict.fromkeys(OUTCOMES, 0) | dict(overview.token.refreshes)


def connections(overview: Overview) -> dict[str, int]:
    """Return how many connections to the upstream there are in each state, and how many requests wait for one."""
    return dict.fromkeys(CONNECTION_STATES, 0) | dict(overview.upstream_connections)


def status(overview: Overview) -> dict[str, Any]:
    """Return what `/status` shows, ready for JSON. Moments are RFC 3339 in UTC, durations are seconds."""
    codes: Counter[str] = Counter()
    for (_, code), count in overview.requests.items():
        codes[str(code)] += count
    return {
        "version": overview.version,
        "state": state(overview),
        "listen": overview.listen,
        "upstream": overview.upstream,
        "started_at": moment(overview.started_at),
        "uptime_seconds": round(max(0.0, overview.now - overview.started_at), 1),
        "token": _token(overview),
        "requests": {
            "total": codes.total(),
            "in_flight": overview.in_flight,
            "by_class": by_class(overview),
            "by_code": dict(sorted(codes.items())),
            "replays": overview.replays,
        },
        "upstream_connections": connections(overview),
    }


def _token(overview: Overview) -> dict[str, Any]:
    token = overview.token
    left = seconds_left(overview)
    error = None
    if token.error is not None:
        error = {"code": token.error_code, "detail": token.error, "at": moment(token.failed_at)}
    return {
        "usable": token.usable,
        "expires_at": moment(token.expires_at),
        "seconds_left": None if left is None else round(left, 1),
        "refreshed_at": moment(token.refreshed_at),
        "next_try_at": moment(token.next_try_at),
        "credential": token.credential,
        "failed_at": moment(token.failed_at),
        "last_error": error,
        "refreshes": outcomes(overview),
    }
