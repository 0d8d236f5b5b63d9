"""
What stands in a token, for the one who set it up. Pure.

Nothing is verified: that is the business of the API that the token is for. No value of the token but the claims that
are named here is ever shown.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.cli.doctor.report import Verdict, failed, passed, skipped, warned
from proxy.config import okta_token_url
from proxy.config.urls import parse_url
from proxy.tokens.failure import printable

STEP = "claims"
_TOLERANCE = 60.0
_ORG_TYPE = "application/okta-internal-at+jwt"


class Content(NamedTuple):
    """A JWT's header and claims."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a claim as text that can be shown, `""` if it is absent or no text."""
        value = self.claims.get(name)
        parts = value if isinstance(value, list) else [value]
        return printable(" ".join(part for part in parts if isinstance(part, str)), limit=200)

    def number(self, name: str) -> float | None:
        """Return a claim as a number, None if it is absent or none."""
        value = self.claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    @property
    def scopes(self) -> str:
        """Okta's list `scp`, or the text `scope` of RFC 9068."""
        return self.text("scp") or self.text("scope")


def decode(token: str) -> Content | None:
    """Return what a signed JWT (RFC 7519) says, None if *token* is none that can be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    header, claims = _part(parts[0]), _part(parts[1])
    return Content(header, claims) if header is not None and claims is not None else None


def _part(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def unreadable(token: str, org_host: str | None, upstream_host: str) -> Verdict:
    """
    Return why nothing can be said of a token that is no signed JWT.

    *org_host* is that of the Okta org if its own authorization server issued it.
    """
    if token.count(".") == 4:
        return skipped(STEP, "the token is encrypted (JWE): only the API can read it")
    if org_host is None:
        return skipped(STEP, "the token is opaque: only the server that issued it knows what it means")
    if org_host != upstream_host:
        return _of_the_org()
    return skipped(STEP, "the token is opaque: those of Okta's org authorization server are, by contract")


def is_org(issuer: str | None) -> bool:
    """Tell whether *issuer* is an Okta org itself, whose tokens are for Okta's own APIs."""
    return bool(issuer) and okta_token_url(issuer or "") is not None and not parse_url(issuer or "").path


def judge(
    content: Content,
    *,
    issuer: str | None,
    lifetime: float,
    now: float,
    upstream_host: str,
    is_bound: bool = False,
    is_okta: bool = True,
) -> list[Verdict]:
    """
    Return the verdicts on a token's claims.

    *issuer* is the configured one, *lifetime* what `expires_in` says, *now* is on the token endpoint's clock.
    """
    problems = [
        *_issuer(content, issuer, is_okta=is_okta),
        *_expiry(content, lifetime, now),
        *_org_token(content, upstream_host),
        *(_binding(content) if is_bound else ()),
    ]
    if any(verdict.outcome == "FAIL" for verdict in problems):
        return problems
    return [passed(STEP, _shown(content, now)), *problems]


def _shown(content: Content, now: float) -> str:
    names = ("iss", "aud", "sub", "cid", "azp", "appid")
    found = [f"{name} {content.text(name)}" for name in names if content.text(name)]
    if content.scopes:
        found.append(f"scopes {content.scopes}")
    expires = content.number("exp")
    if expires is not None:
        found.append(f"expires in {expires - now:.0f} s")
    return ", ".join(found) or "the token is a JWT without any of the usual claims"


def _issuer(content: Content, issuer: str | None, *, is_okta: bool) -> list[Verdict]:
    named = content.text("iss")
    if issuer is None or not named or named.rstrip("/") == issuer.rstrip("/"):
        return []
    lines = ["The API must trust the issuer that stands in the token, to the letter."]
    if is_okta:
        lines.append(
            "With a custom domain: Okta: Security > API > Authorization Servers > your server > Settings > Issuer."
        )
    return [warned(STEP, f"iss is {named}, and oauth.issuer is {issuer}", *lines)]


def _expiry(content: Content, lifetime: float, now: float) -> list[Verdict]:
    expires = content.number("exp")
    if expires is None:
        return []
    if expires <= now:
        text = f"the token had been expired for {now - expires:.0f} s when it came"
        return [failed(STEP, text, "The token endpoint's clock, or a cache in front of it, is wrong.")]
    if expires - now < lifetime - _TOLERANCE:
        text = f"exp is in {expires - now:.0f} s, but expires_in says {lifetime:.0f} s"
        return [warned(STEP, text, "The proxy goes by expires_in, and the API by exp: it will answer 401.")]
    return []


def _org_token(content: Content, upstream_host: str) -> list[Verdict]:
    named = content.text("iss")
    internal = str(content.header.get("typ", "")).lower() == _ORG_TYPE
    if not (internal or is_org(named)) or not named or _host_of(named) == upstream_host:
        return []
    return [_of_the_org()]


def _of_the_org() -> Verdict:
    return warned(
        STEP,
        "the token is from Okta's org authorization server: only Okta's own APIs can check it",
        "For another API set oauth.issuer to a custom authorization server, {org}/oauth2/{id}.",
    )


def _binding(content: Content) -> list[Verdict]:
    """Return a warning for a token that names no key although it was asked for with a proof (RFC 9449 6.1)."""
    confirmation = content.claims.get("cnf")
    if isinstance(confirmation, dict) and "jkt" in confirmation:
        return []
    return [
        warned(
            STEP,
            "the token is said to be bound to a key (DPoP), and names none (cnf.jkt)",
            "An API that checks the proof will refuse it: have the server bind it, or set oauth.dpop: false.",
        )
    ]


def _host_of(issuer: str) -> str:
    """Return the host of *issuer*, `""` if it is no URL."""
    try:
        return parse_url(issuer).host
    except ValueError:
        return ""
