"""
The step that sends the upstream one request with the token, and what its answer means.

The request is made and sent by the code that forwards requests: the same headers, the same token line, the same TLS.
Only the head of the answer is read.
"""

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from proxy import __version__
from proxy.cli.doctor import rejection
from proxy.cli.doctor.network import TIMEOUT
from proxy.cli.doctor.report import Verdict, failed, passed, skipped, warned
from proxy.config import Settings
from proxy.config.outbound import with_outbound_proxy
from proxy.errors import ProxyError, UpstreamTimeoutError
from proxy.forwarding.admission import Admission
from proxy.forwarding.challenge import USE_NONCE, token_errors
from proxy.forwarding.deadlines import Deadlines
from proxy.forwarding.guard import for_listener
from proxy.forwarding.pool import Pool
from proxy.tokens.failure import printable
from proxy.tokens.source import Token

STEP = "upstream"
UNKNOWN = "Whether it takes the token is not known: ask it for something that you know to work."


class Answer(NamedTuple):
    """The head of the upstream's answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    is_repeated: bool = False
    """Whether it is the second one: the first gave a nonce, and asked for a proof with it (RFC 9449 9)."""

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all lines with this lower-case *name*."""
        return [value for field, value in self.headers if field.lower() == name]


async def probe(
    settings: Settings, token: Token | None, seconds: float = TIMEOUT, environ: Mapping[str, str] | None = None
) -> Answer | None:
    """
    Send `GET` for the base path with *token* and return the answer's head; without a token, only connect.

    With a bound token each sending has its own proof, and is repeated once when the upstream gives a nonce for it.
    *environ* is asked for the outbound proxy, this process's own by default. None when the connection was there and
    nothing came. Raises `ProxyError` when there was no connection.
    """
    settings = with_outbound_proxy(settings, os.environ if environ is None else environ)
    deadlines = Deadlines(1.0)
    pool = Pool(settings.upstream, deadlines)
    try:
        answer = await _ask(pool, settings, token, seconds)
        if answer is None or token is None or not _takes_nonce(answer, token, settings):
            return answer
        second = await _ask(pool, settings, token, seconds)
        return None if second is None else second._replace(is_repeated=True)
    finally:
        pool.close()
        deadlines.close()


async def _ask(pool: Pool, settings: Settings, token: Token | None, seconds: float) -> Answer | None:
    """Connect and, with a token, send the request; None if nothing was sent or nothing came."""
    try:
        async with asyncio.timeout(seconds):
            connection = await pool.connect()
    except TimeoutError:
        raise UpstreamTimeoutError(f"The connection to the upstream was not there within {TIMEOUT:.0f} s.") from None
    if token is None:
        return None
    connection.begin("GET", request(settings, token))
    connection.finish_request()
    try:
        async with asyncio.timeout(seconds):
            await connection.head()
    except TimeoutError:
        return None
    return Answer(connection.status, connection.headers)


def _takes_nonce(answer: Answer, token: Token, settings: Settings) -> bool:
    """Keep the nonce of *answer*, and tell whether that is what it asks for."""
    nonces = answer.values(b"dpop-nonce")
    if token.prover is None or not nonces:
        return False
    for nonce in nonces:
        token.prover.note_nonce(_origin(settings), nonce.decode("latin-1"))
    errors = token_errors(answer.values(b"www-authenticate"))
    return answer.status == 401 and errors is not None and USE_NONCE in errors


def _origin(settings: Settings) -> str:
    return f"{settings.upstream.url.scheme}://{settings.upstream.url.authority}"


def request(settings: Settings, token: Token) -> bytes:
    """Return the request that the proxy would send for a client's `GET /`. Raises `ProxyError` if it is refused."""
    admission = Admission(settings, for_listener(settings), "okta-proxy-check", "localhost")
    client = [
        (b"Host", b"localhost"),
        (b"User-Agent", f"okta-proxy/{__version__} check".encode()),
        (b"Accept", b"*/*"),
    ]
    admitted = admission.admit("GET", b"/", (1, 1), client)
    lines = admission.token_line(token)
    if token.prover is not None:
        url = _origin(settings) + admitted.target.decode("latin-1")
        lines += b"DPoP: %b\r\n" % token.prover.proof("GET", url).encode("ascii")
    return admitted.head(lines)


async def check(
    settings: Settings,
    token: Token | None,
    subject: rejection.Subject,
    environ: Mapping[str, str] | None = None,
) -> Verdict:
    """Probe the upstream and judge what came. *environ* is as for `probe`."""
    where = f"GET {settings.upstream.url}/"
    try:
        answer = await probe(settings, token, environ=environ)
    except ProxyError as error:
        return failed(STEP, f"{where}: {error.detail}")
    if token is None:
        return skipped(STEP, f"{settings.upstream.url} can be reached; without a token nothing is asked of it")
    return judge(answer, where, subject)


def judge(answer: Answer | None, where: str, subject: rejection.Subject) -> Verdict:
    """Return what the *answer* says of the token, None for one that did not come. *where* is the request."""
    if answer is None:
        return warned(STEP, f"{where}: connected, but no answer within {TIMEOUT:.0f} s", UNKNOWN)
    status = answer.status
    challenges = answer.values(b"www-authenticate")
    errors = token_errors(challenges)
    text = f"{where} answered {status}"
    if any(value.startswith(b"okta-proxy;") for value in answer.values(b"proxy-status")):
        return failed(STEP, f"{text}, and that is the answer of an okta-proxy", "Does upstream.url lead back to it?")
    if status == 401 or (400 <= status < 500 and errors and errors - {"", "insufficient_scope"}):
        return rejection.rejected(text, challenges, errors, subject, is_repeated=answer.is_repeated)
    if status == 403:
        return rejection.forbidden(text, challenges, errors, subject)
    if status == 429 or status >= 500:
        doing = "is limiting requests" if status == 429 else "has trouble of its own"
        return warned(STEP, f"{text}: it can be reached, and {doing}", UNKNOWN)
    moved = _target(answer.values(b"location")) if 300 <= status < 400 else ""
    proof = " and its proof" if subject.is_bound else ""
    nonce = " (the second one: the first wanted a nonce)" if answer.is_repeated else ""
    return passed(STEP, f"{text}{moved}{nonce}: it can be reached, and does not refuse the token{proof}")


def _target(locations: Iterable[bytes]) -> str:
    """Return where a redirect leads, without its query: that may hold anything."""
    for location in locations:
        return f" (to {printable(re.split('[?#]', location.decode('latin-1'))[0], limit=160)})"
    return ""
