"""An API that checks access tokens and their proofs by the RFCs, with another library than the proxy signs with."""

import hashlib
import json
import ssl
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from kit import Message, RawConnection, RawUpstream
from oidc import RESOURCE, SCOPE
from strict_idp import RefusedError, check_proof, read_proof


class RefusedCallError(Exception):
    """A 401; the message is the challenge's `error`."""


class Api:
    """
    A script for `RawUpstream`: it takes tokens that *issuer* has signed with a key of *keys*, and echoes bodies.

    Bound tokens need a proof with the nonce `nonce`, which every answer carries.
    """

    def __init__(self, issuer: str, keys: KeySet) -> None:
        self.issuer = issuer
        self.nonce = "first"
        self.tokens: list[dict[str, Any]] = []
        """The claims of the token of each good call."""
        self.refused: list[str] = []
        self._keys = keys
        self._spent: set[str] = set()

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            request = await upstream.take(connection)
            try:
                self.tokens.append(self._check(request, upstream.url))
                await connection.send(self._answer(b"200 OK", request.body))
            except (RefusedCallError, RefusedError, JoseError, AssertionError) as error:
                self.refused.append(str(error))
                challenge = f'WWW-Authenticate: DPoP error="{error}"\r\n'.encode()
                await connection.send(self._answer(b"401 Unauthorized", b"", challenge))

    def _answer(self, status: bytes, body: bytes, more: bytes = b"") -> bytes:
        lines = b"Content-Length: %d\r\nDPoP-Nonce: %b\r\n%b" % (len(body), self.nonce.encode(), more)
        return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, lines, body)

    def _check(self, request: Message, base_url: str) -> dict[str, Any]:
        """Return the claims of the request's token if it is good (RFC 9068 4), and so is its proof (RFC 9449 7)."""
        scheme, _, token = (request.value(b"authorization") or b"").decode().partition(" ")
        decoded = jwt.decode(token, self._keys, algorithms=["RS256"])
        claims = decoded.claims
        assert decoded.header["typ"] == "at+jwt"
        assert (claims["iss"], claims["aud"], claims["scope"]) == (self.issuer, RESOURCE, SCOPE)
        assert claims["iat"] <= time.time() < claims["exp"]
        bound_to = claims.get("cnf", {}).get("jkt")
        if bound_to is None:
            assert (scheme, request.value(b"dpop")) == ("Bearer", None)
            return claims
        assert scheme == "DPoP"
        method, target, _ = request.first.decode().split(" ")
        _, said, thumbprint = read_proof((request.value(b"dpop") or b"").decode())
        assert thumbprint == bound_to
        assert said["ath"] == urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        check_proof(said, method, base_url + target.partition("?")[0], time.time(), self._spent)
        if said.get("nonce") != self.nonce:
            raise RefusedCallError("use_dpop_nonce")
        return claims


async def keys_of(issuer: str, authority: Path) -> KeySet:
    """Return the keys that *issuer* publishes; *authority* is the root of its certificate."""
    context = ssl.create_default_context(cafile=str(authority))
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{issuer}/.well-known/openid-configuration", ssl=context) as answer:
            metadata = await answer.json()
        async with client.get(metadata["jwks_uri"], ssl=context) as answer:
            return KeySet.import_key_set(json.loads(await answer.text()))
