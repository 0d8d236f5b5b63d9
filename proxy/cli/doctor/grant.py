"""The step that asks for a token, and what its answer means."""

import json
import time
from collections.abc import Mapping
from typing import NamedTuple

from proxy.cli.doctor import clock
from proxy.cli.doctor.report import Fixed, Verdict, failed, passed, skipped, warned
from proxy.config import OAuth
from proxy.tokens.answer import Answer, has_expiry, read_answer
from proxy.tokens.clock import SystemClock
from proxy.tokens.endpoint import Fetched, TokenEndpoint
from proxy.tokens.failure import Failure, printable
from proxy.tokens.source import Token

STEP = "token"
_APP = "Okta: Applications > Applications > your app > General"
_POLICIES = "Okta: Security > API > Authorization Servers > your server > Access Policies"
_DPOP = "Require Demonstrating Proof of Possession (DPoP) header in token requests"


class Grant(NamedTuple):
    """What a token request brought: the verdicts on clock and token, and the token if there is one."""

    verdicts: list[Verdict]
    token: Token | None = None
    ahead: float = 0.0
    """Seconds by which the token endpoint's clock is ahead of ours, as far as it is known."""


async def request(settings: OAuth, environ: Mapping[str, str]) -> Grant:
    """Send one token request as the proxy does; `TokenEndpoint` bounds it."""
    fetched = await TokenEndpoint(settings, SystemClock(), environ).fetch()
    return judge(fetched, settings.scopes, time.time())


def judge(fetched: Fetched | Failure, asked: tuple[str, ...], received: float) -> Grant:
    """Return what *fetched* means; *asked* are the scopes, *received* is the moment of the answer (wall clock)."""
    if isinstance(fetched, Failure):
        unknown = skipped(clock.STEP, "no answer of the token endpoint to compare with")
        return Grant([unknown, refused(fetched)])
    answer = fetched.answer
    ahead = clock.offset(answer.headers.get("date", ""), answer.sent_wall, received)
    told = clock.judge(ahead)
    result = read_answer(answer, fetched.secret)
    if isinstance(result, Failure):
        return Grant([told, refused(result)])
    return Grant([told, *granted(result, answer, asked, fetched.secret)], result, ahead or 0.0)


def refused(failure: Failure) -> Verdict:
    """Return the verdict on a request that brought no token."""
    remedy: list[str] = [Fixed(failure.remedy or _general_remedy(failure))]
    if failure.request_id is not None:
        remedy.append(f"For Okta's support and its System Log: x-okta-request-id {failure.request_id}")
    return failed(STEP, failure.message, *remedy)


def _general_remedy(failure: Failure) -> str:
    if failure.outcome == "limited":
        wait = f"in {failure.delay:.0f} s" if failure.delay is not None else "in a minute"
        return f"Try again {wait}. Who else asks with this client? (Okta: Reports > Rate Limits)"
    if failure.status is not None and 300 <= failure.status < 400:
        return (
            "A token endpoint does not redirect: a wrong address (oauth.issuer, oauth.token_url), or a captive portal."
        )
    if failure.status == 200 and failure.error is None:
        return "This server's answer has no token that can be used: check oauth.issuer or oauth.token_url."
    return "That passes by itself as a rule: the proxy tries again on its own. See status.okta.com if it does not."


def granted(token: Token, answer: Answer, asked: tuple[str, ...], secret: str) -> list[Verdict]:
    """Return the verdicts on a request that brought *token*."""
    scopes = scopes_of(answer.body)
    shown = f", scope {printable(' '.join(scopes), secret)}" if scopes else ""
    verdicts = [passed(STEP, f"a {token.scheme} token that lives for {token.lifetime:.0f} s{shown}")]
    if not has_expiry(answer):
        assumed = f"the answer has no expires_in: {token.lifetime:.0f} s are assumed"
        verdicts.append(warned(STEP, assumed, "Tokens that live shorter than that will be used too long."))
    # An answer without a scope grants what was asked for (RFC 6749 5.1).
    missing = [scope for scope in asked if scope not in scopes] if scopes is not None else []
    if missing:
        denied = f"not granted, though asked for in oauth.scopes: {' '.join(missing)}"
        verdicts.append(warned(STEP, denied, f"Allow them in the access policy's rule ({_POLICIES})."))
    if token.scheme == "DPoP":
        bound = "the token is bound to a key (DPoP), and the proxy sends no proof of having it"
        verdicts.append(warned(STEP, bound, f'Untick "{_DPOP}" ({_APP}).'))
    return verdicts


def scopes_of(body: bytes) -> tuple[str, ...] | None:
    """Return the scopes that a successful answer says it grants, None if it does not say."""
    scope = json.loads(body.decode("utf-8-sig")).get("scope")
    return tuple(scope.split()) if isinstance(scope, str) else None
