"""
The token endpoint: receives and records a request, lets a fault meet it, and answers.

What is answered is decided in `grants` and worded in `answers`; the faults are values of `faults`.
"""

import asyncio
import gzip
import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.emulator import answers, ratelimit, sending
from proxy.emulator.answers import Answer
from proxy.emulator.call import Call, Grant
from proxy.emulator.errors import OAuthError
from proxy.emulator.faults import KEEP, OMIT, Altered, Drop, Fault, Hang, RateLimited, Refused, Slow
from proxy.emulator.grants import parse_form
from proxy.emulator.journal import Journal
from proxy.emulator.listener import read_body
from proxy.emulator.manner import Manner
from proxy.emulator.record import TokenRequest, record

FORM_SIZE = 64 * 1024
"""Bytes of a token request's body; the largest assertions are a few KiB."""

KEPT = 2000
"""How many requests are remembered."""


class Desk(NamedTuple):
    """Who decides behind the endpoint. The second argument says which authorization server of the org is asked."""

    decide: Callable[[Call, str | None], Grant | OAuthError]
    """What a call gets."""
    issue: Callable[[Grant, str | None, Altered], dict[str, object]]
    """The fields of the answer with a token."""
    nonce: Callable[[Call, str | None], str | None]
    """The `DPoP-Nonce` of the answer to a call, None for none; the second argument is what it is refused with."""


class TokenEndpoint:
    """All token endpoints of an org: they share one record, one queue of faults and one rate limit."""

    def __init__(self, desk: Desk, manner: Manner, *, rate_limit: int | None, clock: Callable[[], float]) -> None:
        self.requests: Journal[TokenRequest] = Journal(KEPT)
        self.queue: deque[Fault] = deque()
        self.always: Fault | None = None
        self._desk = desk
        self._manner = manner
        self._bucket = ratelimit.Bucket(rate_limit)
        self._clock = clock

    async def handle(self, request: web.BaseRequest, server: str | None, url: str, query: str) -> web.StreamResponse:
        """Answer one POST to the token endpoint of *server* (None: the org's own) at *url*, without its *query*."""
        body = await read_body(request, FORM_SIZE)
        form = parse_form(body or b"")
        call = Call(
            authorization=tuple(request.headers.getall("Authorization", ())),
            proofs=tuple(request.headers.getall("DPoP", ())),
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            form=form or (),
            url=url,
        )
        fault = self.queue.popleft() if self.queue else self.always
        recorded = record(request, call, self._clock())
        self.requests.arrive(recorded)
        while isinstance(fault, Slow):
            await _pass(fault.until)
            fault = fault.then
        if isinstance(fault, Hang | Drop) and fault.at == "head":
            return await sending.cut(request, fault)
        unreadable = self._unreadable(request, server, body, form)
        answer = self._answer(call, server, unreadable, fault)
        headers = self._headers(call, answer, fault)
        if isinstance(fault, Hang | Drop):
            return await sending.half(request, answer, headers, fault)
        self.requests.replace(recorded, replace(recorded, status=answer.status, error=answer.error))
        return sending.whole(answer, headers)

    def _headers(self, call: Call, answer: Answer, fault: Fault | None) -> list[tuple[str, str]]:
        headers = answers.front_headers(self._clock())
        if isinstance(fault, Answer):
            return headers
        if self._manner.is_okta:
            headers += [*answers.okta_headers(), *answers.token_endpoint_headers()]
        else:
            headers.append(("Cache-Control", "no-store"))
        nonce = self._desk.nonce(call, answer.error)
        return headers if nonce is None else [*headers, ("dpop-nonce", nonce)]

    def _unreadable(
        self,
        request: web.BaseRequest,
        server: str | None,
        body: bytes | None,
        form: tuple[tuple[str, str], ...] | None,
    ) -> Answer | None:
        """Return the answer to what is no token request at all, None if it is one."""
        if server not in self._manner.servers:
            return self.unknown(server)
        if request.content_type.lower() != "application/x-www-form-urlencoded":
            is_okta = self._manner.is_okta
            return answers.unsupported_media_type() if is_okta else self._refusal(self._manner.error("invalid_request"))
        if body is None:
            return answers.front_end(413)
        if form is None:
            return self._refusal(self._manner.error("invalid_request"))
        return None

    def unknown(self, server: str | None) -> Answer:
        """Return the answer to the id of an authorization server that is not there."""
        if self._manner.is_okta:
            return answers.no_such_server(str(server))
        if "no_such_server" in self._manner.texts:
            return self._refusal(self._manner.error("no_such_server", str(server)))
        return answers.front_end(404)

    def _refusal(self, error: OAuthError) -> Answer:
        return answers.oauth_refusal(error, self._manner.shape, self._clock())

    def _answer(self, call: Call, server: str | None, unreadable: Answer | None, fault: Fault | None) -> Answer:
        now = self._clock()
        allowance = self._bucket.take(now)
        limits = ratelimit.headers(allowance) if self._manner.is_okta else ()
        if isinstance(fault, Answer):
            return fault
        if isinstance(fault, RateLimited):
            return answers.rate_limited(_limit_headers(fault, now), fault.summary)
        if isinstance(fault, Refused):
            # Decided all the same: whoever refuses an assertion has seen it, and it is used up.
            self._desk.decide(call, server)
            answer = self._refusal(self._manner.error(fault.name))
        elif not allowance.allowed:
            answer = answers.rate_limited(())
        else:
            answer = unreadable or self._decided(call, server, fault if isinstance(fault, Altered) else Altered())
        return replace(answer, headers=(*limits, *answer.headers))

    def _decided(self, call: Call, server: str | None, altered: Altered) -> Answer:
        decision = self._desk.decide(call, server)
        if isinstance(decision, OAuthError):
            return self._refusal(decision)
        return _success(self._desk.issue(decision, server, altered), altered)


def _success(fields: dict[str, object], altered: Altered) -> Answer:
    """Return the answer with a token, as *altered* wants it."""
    for name in tuple(fields):
        value = getattr(altered, name, KEEP)
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


async def _pass(until: float | asyncio.Event) -> None:
    if isinstance(until, asyncio.Event):
        await until.wait()
    else:
        await asyncio.sleep(until)
