"""
The step that sends the upstream one request with the token, and what its answer means.

The request is made and sent by the code that forwards requests: the same headers, the same token line, the same TLS.
Only the head of the answer is read.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import NamedTuple

from proxy import __version__
from proxy.cli.doctor import rejection
from proxy.cli.doctor.network import TIMEOUT
from proxy.cli.doctor.report import Verdict, failed, passed, skipped, warned
from proxy.config import Settings
from proxy.errors import ProxyError, UpstreamTimeoutError
from proxy.forwarding.admission import Admission
from proxy.forwarding.challenge import token_errors
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

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all lines with this lower-case *name*."""
        return [value for field, value in self.headers if field.lower() == name]


async def probe(settings: Settings, token: Token | None, seconds: float = TIMEOUT) -> Answer | None:
    """
    Send `GET` for the base path with *token* and return the answer's head; without a token, only connect.

    None when the connection was there and nothing came. Raises `ProxyError` when there was no connection.
    """
    deadlines = Deadlines(1.0)
    pool = Pool(settings.upstream, deadlines)
    try:
        try:
            async with asyncio.timeout(seconds):
                connection = await pool.connect()
        except TimeoutError:
            raise UpstreamTimeoutError(
                f"The connection to the upstream was not there within {TIMEOUT:.0f} s."
            ) from None
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
    finally:
        pool.close()
        deadlines.close()


def request(settings: Settings, token: Token) -> bytes:
    """Return the request that the proxy would send for a client's `GET /`. Raises `ProxyError` if it is refused."""
    admission = Admission(settings, for_listener(settings), "okta-proxy-check", "localhost")
    client = [
        (b"Host", b"localhost"),
        (b"User-Agent", f"okta-proxy/{__version__} check".encode()),
        (b"Accept", b"*/*"),
    ]
    admitted = admission.admit("GET", b"/", (1, 1), client)
    return admitted.start + admission.token_line(token) + b"\r\n"


async def check(settings: Settings, token: Token | None, subject: rejection.Subject) -> Verdict:
    """Probe the upstream and judge what came."""
    where = f"GET {settings.upstream.url}/"
    try:
        answer = await probe(settings, token)
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
        return rejection.rejected(text, challenges, errors, subject)
    if status == 403:
        return rejection.forbidden(text, challenges, errors, subject)
    if status == 429 or status >= 500:
        doing = "is limiting requests" if status == 429 else "has trouble of its own"
        return warned(STEP, f"{text}: it can be reached, and {doing}", UNKNOWN)
    moved = _target(answer.values(b"location")) if 300 <= status < 400 else ""
    return passed(STEP, f"{text}{moved}: it can be reached, and does not refuse the token")


def _target(locations: Iterable[bytes]) -> str:
    """Return where a redirect leads, without its query: that may hold anything."""
    for location in locations:
        return f" (to {printable(re.split('[?#]', location.decode('latin-1'))[0], limit=160)})"
    return ""
