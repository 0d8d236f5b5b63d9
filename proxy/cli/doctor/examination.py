"""The steps in their order: what each needs of the ones before, and what is skipped when it does not get it."""

import socket
from collections.abc import Mapping

import msgspec

from proxy.cli.doctor import claims, connecting, discovery, grant, places, upstream
from proxy.cli.doctor.claims import Content
from proxy.cli.doctor.grant import Grant
from proxy.cli.doctor.network import Lookup
from proxy.cli.doctor.places import Place
from proxy.cli.doctor.rejection import Subject
from proxy.cli.doctor.report import Report, skipped
from proxy.config import OAuth, Settings
from proxy.tokens.clock import SystemClock

STEPS = ("dns", "tls", "clock", "token", "claims", "upstream")
"""What needs the network."""


class Examination:
    """Looks at what *settings* describe, from the outside in; *lookup* is the system's resolver."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], report: Report, lookup: Lookup = socket.getaddrinfo
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._report = report
        self._lookup = lookup

    async def run(self) -> None:
        """Do all the steps; each verdict is reported as soon as it is there."""
        first = places.first_asked(self._settings.oauth, self._environ)
        last = places.upstream(self._settings.upstream, self._environ)
        first_usable, last_usable = await self._connect(first, last)
        oauth = await self._locate(first) if first_usable else None
        granted = await self._request(oauth)
        content = self._claims(granted)
        await self._upstream(granted, content, is_usable=last_usable)

    async def _connect(self, *those: Place) -> list[bool]:
        """Resolve names and try TLS; tell for each place whether the steps that need it can go on."""
        resolved = [await self._dns(place) for place in those]
        return [await self._tls(place, is_resolved=found) for place, found in zip(those, resolved, strict=True)]

    async def _dns(self, place: Place) -> bool:
        verdict = await connecting.dns(place, self._lookup)
        self._report.add(verdict)
        return verdict.outcome != "FAIL"

    async def _tls(self, place: Place, *, is_resolved: bool) -> bool:
        if not is_resolved:
            self._skip("tls", f"{place.name}: its name does not resolve")
            return False
        verdict = await connecting.tls(place)
        self._report.add(verdict)
        return verdict.outcome != "FAIL"

    async def _locate(self, first: Place) -> OAuth | None:
        """Return the settings with the token endpoint's address, None if it is not known or cannot be reached."""
        oauth = self._settings.oauth
        if first.role == "token endpoint":
            return oauth
        token_url, verdict = await discovery.discover(oauth, self._environ)
        self._report.add(verdict)
        if token_url is None:
            return None
        place = places.discovered(token_url, oauth, self._environ)
        is_usable = places.is_same_server(first, place) or all(await self._connect(place))
        return msgspec.structs.replace(oauth, token_url=token_url) if is_usable else None

    async def _request(self, oauth: OAuth | None) -> Grant:
        if oauth is None:
            self._skip("clock", "the token endpoint is not reached")
            self._skip("token", "the token endpoint is not reached")
            return Grant([])
        # With the settings as they are: the proxy goes by the issuer as its metadata spells it.
        granted = await grant.request(self._settings.oauth, self._environ, oauth)
        self._report.hide(granted.secret)
        if granted.token is not None:
            self._report.hide(granted.token.value)
        self._report.add(*granted.verdicts)
        return granted

    def _claims(self, granted: Grant) -> Content | None:
        token, issuer = granted.token, self._settings.oauth.issuer
        upstream_host = self._settings.upstream.url.host
        if token is None:
            self._skip("claims", "there is no token")
            return None
        content = claims.decode(token.value)
        if content is None:
            self._report.add(claims.unreadable(token.value, granted.org_host, upstream_host))
            return None
        verdicts = claims.judge(
            content,
            issuer=issuer,
            lifetime=token.lifetime,
            now=SystemClock().wall() + granted.ahead,
            upstream_host=upstream_host,
            is_bound=token.prover is not None,
            is_okta=granted.is_okta,
        )
        self._report.add(*verdicts)
        return content

    async def _upstream(self, granted: Grant, content: Content | None, *, is_usable: bool) -> None:
        if not is_usable:
            self._skip("upstream", "it is not reached")
            return
        subject = Subject(
            self._settings.upstream.url.host,
            granted.token.value if granted.token else "",
            content.text("iss") if content else "",
            content.text("aud") if content else "",
            is_bound=granted.token is not None and granted.token.prover is not None,
            is_okta=granted.is_okta,
            org_host=granted.org_host,
        )
        self._report.add(await upstream.check(self._settings, granted.token, subject, self._environ))

    def _skip(self, step: str, why: str) -> None:
        self._report.add(skipped(step, why))
