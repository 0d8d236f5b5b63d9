"""
A token endpoint that takes nothing for granted: it checks assertions (RFC 7523) and proofs (RFC 9449) with joserfc.

Its rules are written anew from the RFCs and from OKTA's documentation; nothing of the code under test is used.
"""

import asyncio
import hashlib
import itertools
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, KeySet, OctKey
from kit import CLIENT_ID
from private_keys import part
from token_servers import Request, response

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "HS256", "HS384", "HS512"]


class RefusedError(Exception):
    """The request is refused, with an error and a text that Okta has."""

    def __init__(self, status: int, error: str, text: str) -> None:
        super().__init__(text)
        self.answer = response(status, {"error": error, "error_description": text})


def invalid_client(text: str) -> RefusedError:
    """Return the refusal of an assertion."""
    return RefusedError(401, "invalid_client", text)


def invalid_proof(text: str) -> RefusedError:
    """Return the refusal of a proof."""
    return RefusedError(400, "invalid_dpop_proof", text)


class StrictIdp:
    """
    An answer for `RawServer`. *keys* are the registered public JWKs, *secrets* what assertions may be signed with.

    *audience* is what `aud` must be, None for the URL that was called. With *dpop* a proof is wanted, and `nonces` has
    the nonce that it must carry, from the first challenge on. `clock` is its time, *longest* the life it allows.
    """

    def __init__(
        self,
        *keys: dict[str, Any],
        secrets: tuple[str, ...] = (),
        audience: str | None = None,
        typ: str = "JWT",
        dpop: bool = False,
        nonce: str | None = None,
        clock: Callable[[], float] = time.time,
        scheme: str = "http",
        longest: int = 300,
    ) -> None:
        self.keys = list(keys)
        self.secrets = secrets
        self.audience = audience
        self.typ = typ
        self.dpop = dpop
        self.nonce = nonce
        self.clock = clock
        self.scheme = scheme
        self.longest = longest
        self.assertions: list[tuple[dict[str, Any], dict[str, Any]]] = []
        """Header and claims of each that came, taken or not."""
        self.proofs: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.spent: set[str] = set()
        self.errors: list[str] = []
        self.tokens: list[str] = []
        self.lifetime = 3600
        self._numbers = itertools.count(1)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        try:
            answer = self._granted(request)
        except RefusedError as error:
            self.errors.append(str(error))
            answer = error.answer
        if self.nonce is not None:
            head, _, body = answer.partition(b"\r\n\r\n")
            answer = head + f"\r\nDPoP-Nonce: {self.nonce}\r\n\r\n".encode() + body
        head, _, body = answer.partition(b"\r\n\r\n")
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.clock()))
        writer.write(head + f"\r\nDate: {date}\r\n\r\n".encode() + body)

    def _granted(self, request: Request) -> bytes:
        form = parse_qs(request.body.decode(), strict_parsing=True)
        assert all(len(values) == 1 for values in form.values()), "a parameter stands there twice"
        assert form["grant_type"] == ["client_credentials"]
        assert "client_secret" not in form
        assert request.value("Authorization") is None
        url = f"{self.scheme}://{request.value('Host')}{request.line.split(' ')[1]}"
        assertion = form["client_assertion"][0]
        header, claims, _ = (part(text) if place < 2 else {} for place, text in enumerate(assertion.split(".")))
        self.assertions.append((header, claims))
        assert form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
        assert form["client_id"] == [CLIENT_ID]
        self._check_signature(assertion, header)
        self._check_claims(claims, url)
        thumbprint = self._check_proof(request, url) if self.dpop else None
        token = f"token-{next(self._numbers)}-{thumbprint or 'bearer'}"
        self.tokens.append(token)
        kind = "DPoP" if self.dpop else "Bearer"
        return response(200, {"token_type": kind, "expires_in": self.lifetime, "access_token": token})

    def _check_signature(self, assertion: str, header: dict[str, Any]) -> None:
        assert header["typ"] == self.typ
        assert set(header) <= {"alg", "typ", "kid", "x5t#S256"}
        known: list[Any] = [JWKRegistry.import_key(key) for key in self.keys]
        if "kid" in header:
            known = [key for key, jwk in zip(known, self.keys, strict=True) if jwk.get("kid") == header["kid"]]
        elif len(known) > 1:
            known = []
        known += [OctKey.import_key(secret) for secret in self.secrets]
        if not known:
            raise invalid_client("The client_assertion JWT kid is invalid.")
        for key in known:
            try:
                jwt.decode(assertion, key, algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                continue
            return
        raise invalid_client("The client_assertion signature is invalid.")

    def _check_claims(self, claims: dict[str, Any], url: str) -> None:
        now = self.clock()
        assert claims["iss"] == claims["sub"] == CLIENT_ID
        assert set(claims) <= {"iss", "sub", "aud", "jti", "iat", "exp", "nbf"}
        assert all(type(claims[name]) is int for name in ("iat", "exp"))
        if claims["aud"] != (self.audience or url):
            raise invalid_client(
                "The audience claim for client_assertion must be the endpoint invoked for the request."
            )
        if claims["exp"] <= now:
            raise invalid_client("The client_assertion token is expired.")
        if claims["exp"] > now + self.longest:
            raise invalid_client("The client_assertion token has an expiration too far into the future.")
        if claims["iat"] > now:
            raise invalid_client("The client_assertion token must be issued before the current time.")
        if claims["jti"] in self.spent:
            raise invalid_client("The client_assertion token has already been used.")
        self.spent.add(claims["jti"])

    def _check_proof(self, request: Request, url: str) -> str:
        proof = request.value("DPoP")
        if proof is None:
            raise invalid_proof("The DPoP proof JWT header is missing.")
        header, claims, thumbprint = read_proof(proof)
        self.proofs.append((header, claims))
        check_proof(claims, "POST", url.partition("?")[0], self.clock(), self.spent)
        if claims.get("nonce") != self.nonce:
            raise RefusedError(400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof.")
        return thumbprint


def read_proof(proof: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return a proof's header, its claims and its key's RFC 7638 thumbprint, once its signature is right."""
    header = part(proof.split(".", maxsplit=1)[0])
    assert set(header) == {"typ", "alg", "jwk"}
    assert header["typ"] == "dpop+jwt"
    assert header["alg"] == "ES256"
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}, "the key must be the public one"
    key = ECKey.import_key(header["jwk"])
    content = jws.deserialize_compact(proof, key, algorithms=["ES256"])
    canonical = json.dumps(header["jwk"], sort_keys=True, separators=(",", ":"))
    digest = urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    assert KeySet([key]).keys[0].thumbprint() == digest
    return header, json.loads(content.payload), digest


def check_proof(claims: dict[str, Any], method: str, url: str, now: float, spent: set[str]) -> None:
    """Check what every proof must say (RFC 9449 4.3)."""
    if claims["htm"] != method:
        raise invalid_proof("'htm' claim in the DPoP proof JWT is invalid.")
    if claims["htu"] != url:
        raise invalid_proof("'htu' claim in the DPoP proof JWT is invalid.")
    if claims["iat"] > now:
        raise invalid_proof("The DPoP proof JWT is issued in the future.")
    if claims["iat"] < now - 300:
        raise invalid_proof("The DPoP proof JWT is issued more than five minutes in the past.")
    if claims["jti"] in spent:
        raise invalid_proof("The DPoP proof JWT has already been used.")
    spent.add(claims["jti"])
