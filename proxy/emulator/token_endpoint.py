"""
The token endpoint: receives and records a request, lets a fault meet it, and answers.

What is answered is decided in `grants` and worded in `answers`; the faults are values of `faults`.
"""

import asyncio
import gzip
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.emulator import answers, ratelimit, sending
from proxy.emulator.answers import Answer
from proxy.emulator.errors import OAuthError, oauth_error
from proxy.emulator.faults import KEEP, OMIT, Altered, Drop, Fault, Hang, RateLimited, Refused, Slow
from proxy.emulator.grants import Call, Grant, parse_form
from proxy.emulator.journal import Journal
from proxy.emulator.listener import read_body

FORM_SIZE = 64 * 1024
"""Bytes of a token request's body; the largest assertions are a few KiB."""

KEPT = 2000
"""How many requests are remembered."""

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
    status: int | None = None
    """None as long as no whole answer has been made, and for good if a fault kept it back."""
    error: str | None = None
    """The answer's `error` or `errorCode`, None for a token; `unusable`, or the status, where a fault has neither."""


Decide = Callable[[Call, str | None], Grant | OAuthError]
Issue = Callable[[Grant, str | None, Altered], dict[str, object]]


class TokenEndpoint:
    """
    All token endpoints of an org: they share one record, one queue of faults and one rate limit.

    *decide* and *issue* are the org's: what a call to an authorization server gets, and the body for a grant.
    """

    def __init__(
        self,
        *,
        servers: tuple[str | None, ...],
        decide: Decide,
        issue: Issue,
        rate_limit: int | None,
        clock: Callable[[], float],
    ) -> None:
        self.requests: Journal[TokenRequest] = Journal(KEPT)
        self.queue: deque[Fault] = deque()
        self.always: Fault | None = None
        self._servers = servers
        self._decide = decide
        self._issue = issue
        self._bucket = ratelimit.Bucket(rate_limit)
        self._clock = clock

    async def handle(self, request: web.BaseRequest, server: str | None, query: str) -> web.StreamResponse:
        """Answer one POST to the token endpoint of *server* (None: the org's own)."""
        body = await read_body(request, FORM_SIZE)
        form = parse_form(body or b"")
        call = Call(
            authorization=tuple(request.headers.getall("Authorization", ())),
            dpop="DPoP" in request.headers,
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            form=form or (),
        )
        fault = self.queue.popleft() if self.queue else self.always
        record = _record(request, call, self._clock())
        self.requests.arrive(record)
        while isinstance(fault, Slow):
            await _pass(fault.until)
            fault = fault.then
        if isinstance(fault, Hang | Drop) and fault.at == "head":
            return await sending.cut(request, fault)
        unreadable = self._unreadable(request, server, body, form)
        answer = self._answer(call, server, unreadable, fault)
        headers = answers.front_headers(self._clock())
        if not isinstance(fault, Answer):
            headers += [*answers.okta_headers(), *answers.token_endpoint_headers()]
        if isinstance(fault, Hang | Drop):
            return await sending.half(request, answer, headers, fault)
        self.requests.replace(record, replace(record, status=answer.status, error=answer.error))
        return sending.whole(answer, headers)

    def _unreadable(
        self,
        request: web.BaseRequest,
        server: str | None,
        body: bytes | None,
        form: tuple[tuple[str, str], ...] | None,
    ) -> Answer | None:
        """Return the answer to what is no token request at all, None if it is one."""
        if server not in self._servers:
            return answers.no_such_server(str(server))
        if request.content_type.lower() != "application/x-www-form-urlencoded":
            return answers.unsupported_media_type()
        if body is None:
            return answers.front_end(413)
        if form is None:
            return answers.oauth_refusal(oauth_error("invalid_request"))
        return None

    def _answer(self, call: Call, server: str | None, unreadable: Answer | None, fault: Fault | None) -> Answer:
        now = self._clock()
        allowance = self._bucket.take(now)
        limits = ratelimit.headers(allowance)
        if isinstance(fault, Answer):
            return fault
        if isinstance(fault, RateLimited):
            return answers.rate_limited(_limit_headers(fault, now), fault.summary)
        if isinstance(fault, Refused):
            answer = answers.oauth_refusal(oauth_error(fault.name))
        elif not allowance.allowed:
            answer = answers.rate_limited(())
        else:
            answer = unreadable or self._decided(call, server, fault if isinstance(fault, Altered) else Altered())
        return replace(answer, headers=(*limits, *answer.headers))

    def _decided(self, call: Call, server: str | None, altered: Altered) -> Answer:
        decision = self._decide(call, server)
        if isinstance(decision, OAuthError):
            return answers.oauth_refusal(decision)
        return _success(self._issue(decision, server, altered), altered)


def _success(fields: dict[str, object], altered: Altered) -> Answer:
    """Return the answer with a token, as *altered* wants it."""
    for name in tuple(fields):
        value = getattr(altered, name)
        if value is OMIT:
            del fields[name]
        elif value is not KEEP:
            fields[name] = value
    if altered.padding:
        fields["padding"] = "x" * altered.padding
    body = json.dumps(fields).encode()
    if altered.gzip:
        return Answer(200, gzip.compress(body), headers=(("Content-Encoding", "gzip"),))
    return Answer(200, body)


def _limit_headers(fault: RateLimited, now: float) -> tuple[tuple[str, str], ...]:
    reset = fault.reset
    if reset is None and fault.reset_in is not None:
        reset = str(int(now + fault.reset_in))
    limits = (
        ()
        if reset is None
        else (
            ("X-Rate-Limit-Limit", str(fault.limit)),
            ("X-Rate-Limit-Remaining", str(fault.remaining)),
            ("X-Rate-Limit-Reset", reset),
        )
    )
    return limits if fault.retry_after is None else (*limits, ("Retry-After", fault.retry_after))


def _record(request: web.BaseRequest, call: Call, now: float) -> TokenRequest:
    return TokenRequest(
        time=now,
        method=call.method,
        scope=call.value("scope"),
        parameters=tuple((name, "***" if name in _HIDDEN else value) for name, value in call.form),
        headers=tuple(
            (name, "***" if name.lower() == "authorization" else value) for name, value in request.headers.items()
        ),
    )


async def _pass(until: float | asyncio.Event) -> None:
    if isinstance(until, asyncio.Event):
        await until.wait()
    else:
        await asyncio.sleep(until)
