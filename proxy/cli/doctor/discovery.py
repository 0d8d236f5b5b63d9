"""
The step that asks an issuer which is not known to be Okta's where its token endpoint is.

The proxy does the same on its own (`proxy.tokens.endpoint`); here each document is judged, so that a wrong issuer can
be told from a wrong document.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from proxy import __version__
from proxy.cli.doctor.network import TIMEOUT
from proxy.cli.doctor.report import Verdict, failed, passed
from proxy.config import OAuth, outbound_proxy, parse_url
from proxy.forwarding.pool import tls_context
from proxy.tokens.answer import LARGEST_ANSWER
from proxy.tokens.discovery import is_acceptable, metadata_urls, read_metadata
from proxy.tokens.endpoint import translate
from proxy.tokens.failure import printable
from proxy.tokens.remedies import remedy_for

STEP = "discovery"


class Reason(NamedTuple):
    """Why a metadata document gives no token endpoint, and what to do."""

    what: str
    remedy: str


async def discover(settings: OAuth, environ: Mapping[str, str]) -> tuple[str | None, Verdict]:
    """Ask `oauth.issuer` for its token endpoint. The endpoint is None when the verdict is no PASS."""
    issuer = settings.issuer or ""
    reasons: dict[str, Reason] = {}
    try:
        async with asyncio.timeout(TIMEOUT), _session(tls_context(settings.ca_file)) as session:
            for url in metadata_urls(issuer):
                status, body = await _get(
                    session, url, outbound_proxy(parse_url(url, parts=("query",)), settings.proxy, environ)
                )
                found = judge(status, body, issuer, allow_http=settings.allow_http)
                if isinstance(found, str):
                    return found, passed(STEP, f"the issuer names {found} as its token endpoint")
                reasons[url] = found
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # In the proxy's words for the token endpoint, which here is the issuer.
        failure = translate(error)
        return None, failed(STEP, failure.message.replace("token endpoint", "issuer"), failure.remedy)
    return None, nothing_found(reasons)


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """Return a session like that of the token requests: no cookies, nothing decoded, one connection a request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"okta-proxy/{__version__}",
        },
    )


async def _get(session: aiohttp.ClientSession, url: str, proxy: str | None) -> tuple[int, bytes]:
    body = b""
    async with session.get(url, allow_redirects=False, proxy=proxy) as response:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > LARGEST_ANSWER:
                break
        return response.status, body


def judge(status: int, body: bytes, issuer: str, *, allow_http: bool) -> str | Reason:
    """Return the token endpoint that a metadata document names for *issuer*, or why it names none."""
    document = _json_object(body)
    if status != 200:
        return _refused(status, document)
    if document is None:
        return Reason("it is not a JSON object", "Is another server, or a captive portal, answering in its place?")
    endpoint = read_metadata(body, issuer)
    if endpoint is None:
        return _unusable(document, issuer)
    if not is_acceptable(endpoint, allow_http=allow_http):
        return Reason(
            "its token_endpoint is no https address",
            "Have the server's configuration mended, or set oauth.token_url.",
        )
    return endpoint


def _refused(status: int, document: Mapping[str, object] | None) -> Reason:
    error = _text(document, "errorCode")
    summary = _text(document, "errorSummary")
    if error:
        return Reason(f"{status}, {error}: {summary}", remedy_for(status, error, summary).do)
    redirected = " (redirects are not followed)" if 300 <= status < 400 else ""
    return Reason(f"{status}{redirected}", "Compare oauth.issuer with the server's own, or set oauth.token_url.")


def _unusable(document: Mapping[str, object], issuer: str) -> Reason:
    named = _text(document, "issuer")
    if named.rstrip("/") != issuer.rstrip("/"):
        return Reason(
            f"it is the document of {named or 'an unnamed issuer'}",
            "Write the issuer exactly as the document has it in oauth.issuer, or set oauth.token_url.",
        )
    return Reason("it has no token_endpoint", "Set oauth.token_url.")


def nothing_found(reasons: Mapping[str, Reason]) -> Verdict:
    """Return the verdict when no document was of use: *reasons* by the address that was asked."""
    # The document that was there tells more than those that were not.
    best = max(reasons.values(), key=lambda reason: not reason.what[0].isdigit())
    lines = [f"{url}: {reason.what}" for url, reason in reasons.items()]
    return Verdict(
        "FAIL", STEP, "no metadata document of oauth.issuer names a usable token endpoint", (*lines, best.remedy)
    )


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(document: Mapping[str, object] | None, name: str) -> str:
    value = (document or {}).get(name)
    return printable(value, limit=160) if isinstance(value, str) else ""
