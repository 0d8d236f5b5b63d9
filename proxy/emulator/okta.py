"""
An authorization server with one service app, on loopback: token endpoints, keys and metadata.

An Okta org, unless told to behave as another product. It is strict where Okta is strict, and speaks Okta's words;
what it does not emulate is on `docs/emulator.md`.
"""

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from aiohttp import web

from proxy.emulator import answers, documents, grants, sending
from proxy.emulator.answers import Answer
from proxy.emulator.call import Call, Grant, Rules
from proxy.emulator.client import Client, KeySource
from proxy.emulator.errors import OAuthError
from proxy.emulator.faults import KEEP, OMIT, Altered, Fault
from proxy.emulator.freshness import Nonces, Spent
from proxy.emulator.journal import Journal
from proxy.emulator.listener import Listener, split_target
from proxy.emulator.manner import Endpoint, Name, manner_of
from proxy.emulator.mint import Mint
from proxy.emulator.record import TokenRequest
from proxy.emulator.token_endpoint import Desk, TokenEndpoint


class AuthorizationServer:
    """
    An async context manager; its addresses are known once it is entered.

    *client_secret* is one secret, or several that are accepted at the same time as during a rotation. *client_keys*
    are the public keys registered for the client, see `proxy.emulator.client.KeySource`. *manner* is the product that
    it behaves as. *scopes* that begin with `okta.` are those of Okta's own server, the others those of the custom
    ones. *lifetime* is the tokens' life in seconds, at least 1; None is what the product gives. *rate_limit* is a
    number of token requests a minute, None for no limit. *host* is a loopback address, *tls* makes it https. *clock*
    gives wall-clock seconds.

    These attributes may be changed at any time: `lifetime`, `scopes`, `default_scopes`, `dpop_required`, `dpop_nonce`
    (whether proofs need a nonce), and `policy` (False: no access policy matches).
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | Iterable[str] = (),
        client_keys: KeySource | Iterable[KeySource] = (),
        scopes: Iterable[str] = ("api.read",),
        default_scopes: Iterable[str] = (),
        audience: str = "api://default",
        lifetime: float | None = None,
        rate_limit: int | None = None,
        dpop_required: bool = False,
        manner: Name = "okta",
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._manner = manner_of(manner)
        self.lifetime = self._manner.lifetime if lifetime is None else lifetime
        if self.lifetime < 1:
            raise ValueError(f"lifetime is {lifetime}, and expires_in counts whole seconds: at least 1")
        if dpop_required and not self._manner.dpop:
            raise ValueError(f"{manner} does not know DPoP")
        self.scopes = tuple(scopes)
        self.default_scopes = tuple(default_scopes)
        self.audience = audience
        self.policy = True
        self.dpop_required = dpop_required
        self.dpop_nonce = self._manner.dpop_nonce
        self.clock = clock
        secrets = [client_secret] if isinstance(client_secret, str) else client_secret
        keys = [client_keys] if isinstance(client_keys, str | bytes | Mapping) else client_keys
        self._client = Client(client_id, secrets, keys)
        self._assertions, self._proofs, self._nonces = Spent(), Spent(), Nonces()
        self._mint = Mint()
        desk = Desk(self._decide, self._issue, self._nonce)
        self._token_endpoint = TokenEndpoint(desk, self._manner, rate_limit=rate_limit, clock=clock)
        self._listener = Listener(self._handle, host=host, port=port, tls=tls)

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
    def client_id(self) -> str:
        """The id of the one client."""
        return self._client.id

    @property
    def issuer(self) -> str:
        """The issuer of the authorization server `default`, or the only one of another product."""
        return self.issuer_of(self._manner.servers[0])

    @property
    def token_url(self) -> str:
        """The token endpoint of that server."""
        return self.token_url_of(self._manner.servers[0])

    def issuer_of(self, server: str | None) -> str:
        """Return the issuer of the server with this id, of Okta's own with None."""
        return self._manner.issuer(self.base_url, server)

    def token_url_of(self, server: str | None) -> str:
        """Return the token endpoint of the server with this id, of Okta's own with None."""
        return self._manner.token_url(self.base_url, server)

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
        self._client.accept(*secrets)

    def accept_keys(self, *keys: KeySource) -> None:
        """Accept these public keys of the client from now on, and no others. Raises `ValueError` for what is none."""
        self._client.accept_keys(*keys)

    def retire(self, kid: str) -> None:
        """Accept the client's public key *kid* no more. Raises `KeyError` if there is none."""
        self._client.retire(kid)

    def rotate_nonce(self, *, forget: bool = False) -> None:
        """Give out another DPoP nonce from now on; with *forget* those given out before are refused at once."""
        self._nonces.rotate(self.clock(), forget=forget)

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
        """Return the claims of *token* if this org issued it, else None; also of one that is no JWT."""
        return self._mint.claims(token)

    def is_revoked(self, jti: object) -> bool:
        """Tell whether the token with this `jti` has been revoked, or never was issued here."""
        return not self._mint.is_live(jti)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, query = split_target(request.raw_path)
        endpoint = self._manner.endpoint(path)
        if endpoint and endpoint.kind == "token" and request.method == "POST":
            url = self._listener.origin(request) + path
            return await self._token_endpoint.handle(request, endpoint.server, url, query)
        headers = answers.front_headers(self.clock())
        if self._manner.is_okta:
            headers += answers.okta_headers()
        return sending.whole(self._document(endpoint, request.method), headers)

    def _document(self, endpoint: Endpoint | None, method: str) -> Answer:
        """Return keys or metadata; Okta does not limit the rate of these."""
        if endpoint is None:
            return answers.no_such_path() if self._manner.is_okta else answers.front_end(404)
        allowed = ("POST",) if endpoint.kind == "token" else ("GET", "HEAD")
        if method not in allowed:
            return answers.method_not_allowed(allowed[0])
        if endpoint.server not in self._manner.servers:
            return self._token_endpoint.unknown(endpoint.server)
        if endpoint.kind == "keys":
            return answers.document(self._mint.key.jwks())
        openid = endpoint.kind == "openid"
        content = documents.metadata(self.base_url, endpoint.server, self.scopes, openid=openid, manner=self._manner)
        return answers.document(content)

    def _decide(self, call: Call, server: str | None) -> Grant | OAuthError:
        rules = Rules(
            client=self._client,
            scopes=self.scopes,
            default_scopes=self.default_scopes,
            audience=self.audience,
            policy=self.policy,
            dpop_required=self.dpop_required,
            org=self._is_org(server),
            issuer=self.issuer_of(server),
            manner=self._manner,
            now=self.clock(),
            assertions=self._assertions,
            proofs=self._proofs,
            nonces=self._nonces if self.dpop_nonce else None,
        )
        return grants.decide(call, rules)

    def _is_org(self, server: str | None) -> bool:
        return self._manner.is_okta and server is None

    def _issue(self, grant: Grant, server: str | None, altered: Altered) -> dict[str, object]:
        issuer, is_org = self.issuer_of(server), self._is_org(server)
        thumbprint = grant.thumbprint if altered.jkt is KEEP else None if altered.jkt is OMIT else str(altered.jkt)
        token = self._mint.token(
            issuer=issuer,
            # Okta's own tokens are for Okta's own APIs, and nobody else is to look into them.
            audience=issuer if is_org else self.audience,
            opaque=is_org,
            client_id=self.client_id,
            scopes=grant.scopes,
            now=self.clock(),
            lifetime=self.lifetime if altered.lives is None else altered.lives,
            revoked=altered.revoked,
            thumbprint=thumbprint,
        )
        granted = " ".join(grant.scopes)
        return {
            "token_type": "DPoP" if grant.thumbprint else "Bearer",
            "expires_in": int(self.lifetime),
            "access_token": token,
            **{name: granted if value is None else value for name, value in self._manner.fields.items()},
        }

    def _nonce(self, call: Call, error: str | None) -> str | None:
        wanted = self._manner.dpop and self.dpop_nonce and (call.proofs or self.dpop_required)
        return self._nonces.current(self.clock()) if wanted or error == "use_dpop_nonce" else None
