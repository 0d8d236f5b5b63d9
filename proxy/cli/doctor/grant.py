"""The step that asks for a token, and what its answer means."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proxy.cli.doctor import clock, credential, places
from proxy.cli.doctor.report import Fixed, Verdict, failed, passed, skipped, warned
from proxy.config import OAuth, okta_token_url, parse_url
from proxy.tokens.answer import Answer, has_expiry, read_answer
from proxy.tokens.clock import SystemClock
from proxy.tokens.credentials import Credential
from proxy.tokens.endpoint import Fetched, TokenEndpoint
from proxy.tokens.failure import Failure, printable
from proxy.tokens.source import Token

STEP = "token"
_APP = "Okta: Applications > Applications > your app"
_POLICIES = "Okta: Security > API > Authorization Servers > your server > Access Policies"
_DPOP = "Require Demonstrating Proof of Possession (DPoP) header in token requests"
ORG_PATH = "/oauth2/v1/token"
"""Where an Okta org has its own token endpoint."""


class Grant(NamedTuple):
    """What a token request brought: the verdicts on clock, credential and token, and the token if there is one."""

    verdicts: list[Verdict]
    token: Token | None = None
    ahead: float = 0.0
    """Seconds by which the token endpoint's clock is ahead of ours, as far as it is known."""
    is_okta: bool = False
    """Whether it was Okta that answered, whatever its address is."""
    secret: str = ""
    """What was sent for it, to be kept out of what is said."""
    org_host: str | None = None
    """The Okta org's, if its own authorization server answered."""

    def __repr__(self) -> str:
        return f"<Grant {self.verdicts!r}>"


async def request(settings: OAuth, environ: Mapping[str, str], located: OAuth | None = None) -> Grant:
    """
    Send one token request as the proxy does; `TokenEndpoint` bounds it.

    *located* are the settings with the token endpoint's address, if that had to be discovered.
    """
    fetched = await TokenEndpoint(settings, SystemClock(), environ).fetch()
    return judge(fetched, located or settings, time.time(), credential.read_keys(settings))


def judge(fetched: Fetched | Failure, settings: OAuth, received: float, keys: Sequence[Credential] = ()) -> Grant:
    """Return what *fetched* means; *received* is the moment of the answer (wall clock), *keys* the private ones."""
    if isinstance(fetched, Failure):
        unknown = skipped(clock.STEP, "no answer of the token endpoint to compare with")
        return Grant([unknown, refused(fetched, is_okta=places.is_oktas(settings))])
    answer, secret = fetched.answer, fetched.secret
    is_okta = "x-okta-request-id" in answer.headers
    ahead = clock.offset(answer.headers.get("date", ""), answer.sent_wall, received)
    minded = fetched.ahead is not None
    told = clock.judge(fetched.ahead if minded else ahead, minded=minded)
    result = read_answer(answer, secret)
    if isinstance(result, Failure):
        lines = credential.sent(fetched, settings, keys) if answer.status != 200 else []
        return Grant([told, refused(result, lines, is_okta=is_okta)], is_okta=is_okta, secret=secret)
    verdicts = [told, *credential.judge(fetched, settings, keys)]
    verdicts += granted(result, answer, settings, secret, is_okta=is_okta)
    return Grant(verdicts, result, ahead or 0.0, is_okta, secret, org_host(settings) if is_okta else None)


def refused(failure: Failure, sent: Sequence[str] = (), *, is_okta: bool = False) -> Verdict:
    """Return the verdict on a request that brought no token; *sent* says what it authenticated with."""
    remedy: list[str] = [Fixed(failure.remedy or _general_remedy(failure, is_okta=is_okta)), *sent]
    if failure.request_id is not None:
        remedy.append(f"For Okta's support and its System Log: x-okta-request-id {failure.request_id}")
    return failed(STEP, failure.message, *remedy)


def _general_remedy(failure: Failure, *, is_okta: bool) -> str:
    if failure.outcome == "limited":
        wait = f"in {failure.delay:.0f} s" if failure.delay is not None else "in a minute"
        where = " (Okta: Reports > Rate Limits)" if is_okta else ""
        return f"Try again {wait}. Who else asks with this client?{where}"
    if failure.status is not None and 300 <= failure.status < 400:
        return (
            "A token endpoint does not redirect: a wrong address (oauth.issuer, oauth.token_url), or a captive portal."
        )
    if failure.status == 200 and failure.error is None:
        return "This server's answer has no token that can be used: check oauth.issuer or oauth.token_url."
    where = "status.okta.com" if is_okta else "the server's own log"
    return f"That passes by itself as a rule: the proxy tries again on its own. See {where} if it does not."


def granted(token: Token, answer: Answer, settings: OAuth, secret: str, *, is_okta: bool) -> list[Verdict]:
    """Return the verdicts on a request that brought *token*."""
    scopes = scopes_of(answer.body)
    shown = f", scope {printable(' '.join(scopes), secret)}" if scopes else ""
    verdicts = [passed(STEP, f"a {token.scheme} token that lives for {token.lifetime:.0f} s{shown}")]
    if not has_expiry(answer):
        assumed = f"the answer has no expires_in: {token.lifetime:.0f} s are assumed"
        verdicts.append(warned(STEP, assumed, "Tokens that live shorter than that will be used too long."))
    # An answer without a scope grants what was asked for (RFC 6749 5.1).
    missing = [scope for scope in settings.scopes if scope not in scopes] if scopes is not None else []
    if missing:
        denied = f"not granted, though asked for in oauth.scopes: {' '.join(missing)}"
        verdicts.append(warned(STEP, denied, _grant_scopes(settings, is_okta=is_okta)))
    if token.scheme == "DPoP" and token.prover is None:
        bound = "the token is bound to a key (DPoP), and oauth.dpop is off: the proxy sends no proof of having it"
        place = f' (Okta: untick "{_DPOP}", {_APP} > General)' if is_okta else ""
        how = f"Set oauth.dpop: true if the API takes bound tokens; else have the server give bearer tokens{place}."
        verdicts.append(warned(STEP, bound, how))
    return verdicts


def _grant_scopes(settings: OAuth, *, is_okta: bool) -> str:
    if not is_okta:
        return "Grant them to the client at the server."
    if org_host(settings) is not None:
        return f"Grant them to the app ({_APP} > Okta API Scopes)."
    return f"Allow them in the access policy's rule ({_POLICIES})."


def org_host(settings: OAuth) -> str | None:
    """Return the host of the Okta org whose own authorization server is asked, None if it is another's."""
    address = settings.token_url or okta_token_url(settings.issuer or "")
    if address is None:
        return None
    url = parse_url(address, parts=("query",))
    return url.host if url.path == ORG_PATH else None


def scopes_of(body: bytes) -> tuple[str, ...] | None:
    """Return the scopes that a successful answer says it grants, None if it does not say."""
    scope = json.loads(body.decode("utf-8-sig")).get("scope")
    return tuple(scope.split()) if isinstance(scope, str) else None
