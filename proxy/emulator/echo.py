"""
An API that accepts the org's access tokens and tells what it received, byte for byte.

Everything is echoed, whatever the method and the path, but for the few routes of `showcase`. A body is hashed as it
comes and never held; a refusal comes after it, so that the record of a refused request is whole too.
"""

import hashlib
import ssl
from dataclasses import dataclass, replace
from typing import Literal, Self

from aiohttp import web

from proxy.emulator import proofs, showcase
from proxy.emulator.bearer import Accepted, Refusal, Wanted, check, hidden
from proxy.emulator.freshness import Nonces, Spent
from proxy.emulator.jose import Jwt, read
from proxy.emulator.journal import Journal
from proxy.emulator.listener import Listener, split_target
from proxy.emulator.okta import AuthorizationServer

SHOWN = 64 * 1024
"""A body up to this many bytes is shown as text, if it is UTF-8."""

_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """A request as it came. Recorded when its head arrives, completed with its body and when it is answered."""

    time: float
    method: str
    target: str
    """The request target, byte for byte."""
    headers: tuple[tuple[bytes, bytes], ...]
    """The header lines in their order and spelling; credentials are replaced by a digest of them."""
    body_length: int = 0
    body_sha256: str = hashlib.sha256().hexdigest()
    complete: bool = False
    """Whether the body came to its end."""
    status: int | None = None
    """None as long as the request has not been answered."""

    def values(self, name: str) -> list[str]:
        """Return the values of all header lines with this *name*, as ISO 8859-1: each byte is one character."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    @property
    def proof(self) -> Jwt | None:
        """What the request's DPoP proof says, None without exactly one that is a JWT."""
        values = self.values("DPoP")
        return read(values[0]) if len(values) == 1 else None


class EchoApi:
    """
    An async context manager: the API behind *okta*, for tokens that have *required_scope*.

    With *org* it is one of Okta's own APIs, for the tokens of Okta's own authorization server. *htu* says how the path
    must stand in a DPoP proof: decoded as Okta's APIs want it, or as it was `sent` (RFC 9449 4.3). *tls* makes it
    https. The last *keep* requests are in `requests`, oldest first.

    These attributes may be changed at any time: `dpop_nonce` (whether proofs need a nonce of this API), and `pace`,
    which is for tests of streaming: while it is a semaphore, each event of `/stream` takes one permit.
    """

    def __init__(
        self,
        okta: AuthorizationServer,
        *,
        required_scope: str = "api.read",
        org: bool = False,
        dpop_nonce: bool = False,
        htu: Literal["okta", "sent"] = "okta",
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        keep: int = 2000,
    ) -> None:
        self.requests: Journal[ApiRequest] = Journal(keep)
        self.pace: showcase.Pace = None
        self.dpop_nonce = dpop_nonce
        self._okta = okta
        self._scope = required_scope
        self._org = org
        self._htu = htu
        self._nonces, self._spent = Nonces(), Spent()
        self._listener = Listener(self._handle, host=host, port=port, tls=tls)

    def __repr__(self) -> str:
        return f"<EchoApi {self.base_url or 'not started'} [{self.requests.total} requests]>"

    async def __aenter__(self) -> Self:
        await self._listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    @property
    def base_url(self) -> str:
        """The API's address, `http://127.0.0.1:PORT`; `""` before the start."""
        return self._listener.base_url

    async def requested(self, total: int) -> None:
        """Wait until *total* requests have arrived in all, answered or not."""
        await self.requests.reached(total)

    def rotate_nonce(self, *, forget: bool = False) -> None:
        """Give out another nonce from now on; with *forget* those given out before are refused at once."""
        self._nonces.rotate(self._okta.clock(), forget=forget)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        record = ApiRequest(
            time=self._okta.clock(),
            method=request.method,
            target=request.raw_path,
            headers=tuple((name, _shown(name, value)) for name, value in request.raw_headers),
        )
        self.requests.arrive(record)
        body = _Body()
        try:
            await body.read(request)
        finally:
            # Also when the client broke off: what had come until then is what a test asks for.
            record = self._update(record, body.into(record))
        path, query = split_target(request.raw_path)
        decision = self._decide(request, path)
        headers = {"DPoP-Nonce": self._nonces.current(self._okta.clock())} if self.dpop_nonce else {}
        if isinstance(decision, Refusal):
            response: web.StreamResponse = self._refused(decision)
        else:
            routed = await showcase.respond(request, path, query, self.pace, headers)
            response = routed or _echo(record, body.text, decision)
        if not response.prepared:
            response.headers.update(headers)
        self._update(record, replace(record, status=response.status))
        return response

    def _update(self, old: ApiRequest, new: ApiRequest) -> ApiRequest:
        self.requests.replace(old, new)
        return new

    def _decide(self, request: web.BaseRequest, path: str) -> Accepted | Refusal:
        okta, now = self._okta, self._okta.clock()
        expected = proofs.Expected(
            method=request.method,
            urls=(self._listener.origin(request) + (proofs.okta_path(path) if self._htu == "okta" else path),),
            now=now,
            spent=self._spent,
            nonces=self._nonces if self.dpop_nonce else None,
        )
        issuer = okta.issuer_of(None) if self._org else okta.issuer
        wanted = Wanted(issuer, issuer if self._org else okta.audience, self._scope, now)
        authorization, proof_headers = (request.headers.getall(name, ()) for name in ("Authorization", "DPoP"))
        return check(authorization, proof_headers, okta, wanted, expected)

    def _refused(self, refusal: Refusal) -> web.Response:
        if refusal.error is None and self._okta.dpop_required:
            refusal = refusal._replace(scheme="DPoP")
        challenge = refusal.challenge(self._okta.audience, self._scope)
        return showcase.document(
            {"error": refusal.error, "error_description": refusal.description},
            status=refusal.status,
            headers={"WWW-Authenticate": challenge},
        )


class _Body:
    """Hashes a body as it comes, and keeps the beginning that may be shown."""

    def __init__(self) -> None:
        self.length = 0
        self.complete = False
        self._hash = hashlib.sha256()
        self._start = b""

    async def read(self, request: web.BaseRequest) -> None:
        async for part in request.content.iter_any():
            self.length += len(part)
            self._hash.update(part)
            if self.length <= SHOWN:
                self._start += part
        self.complete = True

    @property
    def text(self) -> str | None:
        """The whole body if it is small and UTF-8, else None."""
        if self.length > SHOWN:
            return None
        try:
            return self._start.decode()
        except UnicodeDecodeError:
            return None

    def into(self, record: ApiRequest) -> ApiRequest:
        """Return *record* with what is known of the body."""
        return replace(record, body_length=self.length, body_sha256=self._hash.hexdigest(), complete=self.complete)


def _shown(name: bytes, value: bytes) -> bytes:
    if name.lower() not in _CREDENTIALS:
        return value
    return hidden(value.decode("latin-1")).encode("latin-1")


def _echo(record: ApiRequest, text: str | None, token: Accepted) -> web.Response:
    """Return what the API received. A header's bytes are ISO 8859-1, so that each one is a character."""
    return showcase.document(
        {
            "method": record.method,
            "path": record.target,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in record.headers],
            "token": {
                "sub": token.subject,
                "scp": token.scopes,
                "expires_in": token.expires_at - int(record.time),
            },
            "body": {"length": record.body_length, "sha256": record.body_sha256, "text": text},
        }
    )
