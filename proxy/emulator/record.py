"""What is remembered of a token request."""

from dataclasses import dataclass

from aiohttp import web

from proxy.emulator.call import Call
from proxy.emulator.jose import Jwt

_HIDDEN = frozenset({"client_secret", "client_assertion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a token request was, without its secret. Recorded when it arrives and completed when it is answered."""

    time: float
    method: str
    """How the client authenticated, as `Call.method` says it."""
    scope: str
    parameters: tuple[tuple[str, str], ...]
    """The form as it came; secrets and assertions are `***`."""
    headers: tuple[tuple[str, str], ...]
    """The header lines as they came; the value of `Authorization` is `***`."""
    assertion: Jwt | None = None
    """What the client assertion said, if it was a JWT: its signature is not kept."""
    proof: Jwt | None = None
    """What the DPoP proof said, if there was one and it was a JWT."""
    status: int | None = None
    """None as long as no whole answer has been made, and for good if a fault kept it back."""
    error: str | None = None
    """The answer's `error` or `errorCode`, None for a token; `unusable`, or the status, where a fault has neither."""


def record(request: web.BaseRequest, call: Call, now: float) -> TokenRequest:
    """Return the record of *call*, which came with *request* at *now*."""
    return TokenRequest(
        time=now,
        method=call.method,
        scope=call.value("scope"),
        parameters=tuple((name, "***" if name in _HIDDEN else value) for name, value in call.form),
        headers=tuple(
            (name, "***" if name.lower() == "authorization" else value) for name, value in request.headers.items()
        ),
        assertion=call.assertion,
        proof=call.proof,
    )
