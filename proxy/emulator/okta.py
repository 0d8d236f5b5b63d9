"""
An Okta org with one service app, on loopback: token endpoints, keys and metadata.

It is strict where Okta is strict, and speaks Okta's words; what it does not emulate is on `docs/emulator.md`.
"""

import time
from collections.abc import Callable, Iterable
from typing import Self

from aiohttp import web

from proxy.config import Secret
from proxy.emulator import answers, documents, sending
from proxy.emulator.answers import Answer
from proxy.emulator.errors import OAuthError
from proxy.emulator.faults import Altered, Fault
from proxy.emulator.grants import Call, Grant, Rules, decide
from proxy.emulator.journal import Journal
from proxy.emulator.listener import Listener, split_target
from proxy.emulator.mint import Mint
from proxy.emulator.token_endpoint import TokenEndpoint, TokenRequest


class AuthorizationServer:
    """
    An async context manager; its addresses are known once it is entered.

    *client_secret* is one secret, or several that are accepted at the same time as during a rotation. *lifetime* is
    the tokens' life in seconds, at least 1. *rate_limit* is a number of token requests a minute, None for no limit.
    *host* is a loopback address. *clock* gives wall-clock seconds.

    These attributes may be changed at any time: `lifetime`, `default_scopes`, `dpop_required`, and `policy` (False:
    no access policy matches).
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | Iterable[str],
        scopes: Iterable[str] = ("api.read",),
        default_scopes: Iterable[str] = (),
        audience: str = "api://default",
        lifetime: float = 3600.0,
        rate_limit: int | None = None,
        dpop_required: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if lifetime < 1:
            raise ValueError(f"lifetime is {lifetime}, and expires_in counts whole seconds: at least 1")
        self.client_id = client_id
        self.scopes = tuple(scopes)
        self.default_scopes = tuple(default_scopes)
        self.audience = audience
        self.lifetime = lifetime
        self.policy = True
        self.dpop_required = dpop_required
        self.clock = clock
        self._secrets: tuple[Secret, ...] = ()
        self.accept(*([client_secret] if isinstance(client_secret, str) else client_secret))
        self._mint = Mint()
        self._token_endpoint = TokenEndpoint(
            servers=(None, *documents.AUTHORIZATION_SERVERS),
            decide=self._decide,
            issue=self._issue,
            rate_limit=rate_limit,
            clock=clock,
        )
        self._listener = Listener(self._handle, host=host, port=port)

    def __repr__(self) -> str:
        return f"<AuthorizationServer {self.base_url or 'not started'} [{self.issued} tokens issued]>"

    async def __aenter__(self) -> Self:
        await self._mint.open()
        await self._listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    @property
    def base_url(self) -> str:
        """The org's address, `http://127.0.0.1:PORT`; `""` before the start."""
        return self._listener.base_url

    @property
    def issuer(self) -> str:
        """The issuer of the authorization server `default`."""
        return documents.issuer(self.base_url, "default")

    @property
    def token_url(self) -> str:
        """The token endpoint of the authorization server `default`."""
        return f"{self.issuer}/v1/token"

    @property
    def token_requests(self) -> Journal[TokenRequest]:
        """The last token requests, oldest first, to all authorization servers of the org."""
        return self._token_endpoint.requests

    @property
    def issued(self) -> int:
        """How many tokens have been issued."""
        return self._mint.issued

    def accept(self, *secrets: str) -> None:
        """Accept these client secrets from now on, and no others."""
        self._secrets = tuple(Secret(secret) for secret in secrets)

    def fail(self, *faults: Fault) -> None:
        """Let the next token requests meet these faults, one each; they come before the one of `always`."""
        self._token_endpoint.queue.extend(faults)

    def always(self, fault: Fault | None) -> None:
        """Let every token request meet *fault* from now on; None for none."""
        self._token_endpoint.always = fault

    async def requested(self, total: int) -> None:
        """Wait until *total* token requests have arrived in all, answered or not."""
        await self.token_requests.reached(total)

    def revoke_all(self) -> None:
        """Have the echo API refuse every token issued so far."""
        self._mint.revoke_all()

    def claims(self, token: str) -> dict[str, object] | None:
        """Return the claims of *token* if this org's key signed it, else None."""
        return self._mint.key.claims(token)

    def is_revoked(self, jti: object) -> bool:
        """Tell whether the token with this `jti` has been revoked, or never was issued here."""
        return not self._mint.is_live(jti)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, query = split_target(request.raw_path)
        endpoint = documents.endpoint(path)
        if endpoint and endpoint.kind == "token" and request.method == "POST":
            return await self._token_endpoint.handle(request, endpoint.server, query)
        headers = [*answers.front_headers(self.clock()), *answers.okta_headers()]
        return sending.whole(self._document(endpoint, request.method), headers)

    def _document(self, endpoint: documents.Endpoint | None, method: str) -> Answer:
        """Return keys or metadata; Okta does not limit the rate of these."""
        if endpoint is None:
            return answers.no_such_path()
        if endpoint.kind == "token":
            return answers.method_not_allowed("POST")
        if method not in {"GET", "HEAD"}:
            return answers.method_not_allowed("GET")
        if endpoint.server not in (None, *documents.AUTHORIZATION_SERVERS):
            return answers.no_such_server(endpoint.server)
        if endpoint.kind == "keys":
            return answers.document(self._mint.key.jwks())
        openid = endpoint.kind == "openid"
        return answers.document(documents.metadata(self.base_url, endpoint.server, self.scopes, openid=openid))

    def _decide(self, call: Call, server: str | None) -> Grant | OAuthError:
        rules = Rules(
            client_id=self.client_id,
            secrets=self._secrets,
            scopes=self.scopes,
            default_scopes=self.default_scopes,
            policy=self.policy,
            dpop_required=self.dpop_required,
            org=server is None,
        )
        return decide(call, rules)

    def _issue(self, grant: Grant, server: str | None, altered: Altered) -> dict[str, object]:
        token = self._mint.token(
            issuer=documents.issuer(self.base_url, server),
            audience=self.audience,
            client_id=self.client_id,
            scopes=grant.scopes,
            now=self.clock(),
            lifetime=self.lifetime if altered.lives is None else altered.lives,
            revoked=altered.revoked,
        )
        return {
            "token_type": "Bearer",
            "expires_in": int(self.lifetime),
            "access_token": token,
            "scope": " ".join(grant.scopes),
        }
