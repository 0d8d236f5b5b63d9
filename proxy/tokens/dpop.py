"""
DPoP (RFC 9449): proofs that we hold the key which a token is bound to. Only imported with `oauth.dpop`.

One ES256 key for the life of the process, made at its start, held nowhere else and used for nothing else. Each token
carries its own `TokenProver`, so a token can never meet a key that it is not bound to.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric import ec

from proxy.config import okta_token_url, parse_url
from proxy.tokens.jws import base64url, compact, part
from proxy.tokens.signatures import with_key

MOST_ORIGINS = 16
"""Nonces are kept for so many; a process has two: the token endpoint's and the upstream's."""
_OKTA_PATH = re.compile(r"/oauth2(/[^/]+)?/v1/token")
"""Where Okta has its token endpoints, behind a custom domain too."""
_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}")
"""RFC 9449 8.1, and bounded: it goes into a header field of every request."""


class ProofKey:
    """
    The key, and the newest nonce of each origin. *now* gives the seconds since the epoch at the server.

    Okta does not bind a nonce to the key; a nonce is the origin's, whichever token it came with (RFC 9449 8.2 and 9).
    """

    def __init__(self, now: Callable[[], float]) -> None:
        private = ec.generate_private_key(ec.SECP256R1())
        numbers = private.public_key().public_numbers()
        x, y = (base64url(number.to_bytes(32, "big")).decode() for number in (numbers.x, numbers.y))
        self._sign = with_key(private, "ES256")
        self._now = now
        self._nonces: dict[str, str] = {}
        self._header = part({"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}})

    def __repr__(self) -> str:
        return f"<ProofKey ES256, nonces of {len(self._nonces)} origins>"

    def proof(self, method: str, url: str, *, htu: str, ath: str | None = None) -> str:
        """Return a proof for one request to *url*, written as *htu*; *ath* is that of the token it carries."""
        claims: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": htu,
            "iat": int(self._now()),
        }
        if ath is not None:
            claims["ath"] = ath
        nonce = self._nonces.get(origin_of(url))
        if nonce is not None:
            claims["nonce"] = nonce
        return compact(self._header, claims, self._sign)

    def token_proof(self, token_url: str) -> str:
        """Return a proof for a token request."""
        return self.proof("POST", token_url, htu=without_query(token_url))

    def bind(self, token: str, *, token_url: str) -> "TokenProver":
        """Return what proves with each request that carries *token*, which came from *token_url* for this key."""
        return TokenProver(self, token, token_url)

    def note_nonce(self, url: str, nonce: str) -> bool:
        """Keep the nonce of an answer from *url*; tell whether it is one."""
        origin = origin_of(url)
        if not _NONCE.fullmatch(nonce) or (len(self._nonces) >= MOST_ORIGINS and origin not in self._nonces):
            return False
        self._nonces[origin] = nonce
        return True


class TokenProver:
    """A `Prover` of one token. *token_url* tells which host is the authorization server's own, if that is an Okta."""

    __slots__ = ("_ath", "_key", "_own_host")

    def __init__(self, key: ProofKey, token: str, token_url: str) -> None:
        self._key = key
        self._ath = base64url(hashlib.sha256(token.encode("ascii")).digest()).decode()
        self._own_host = _own_host(token_url)

    def __repr__(self) -> str:
        return f"<TokenProver {self._key!r}>"

    def proof(self, method: str, url: str) -> str:
        """See `Prover.proof`."""
        target = without_query(url)
        if "%" in target and is_oktas(origin_of(url), self._own_host):
            target = okta_htu(target)
        return self._key.proof(method, url, htu=target, ath=self._ath)

    def note_nonce(self, url: str, nonce: str) -> None:
        """See `Prover.note_nonce`."""
        self._key.note_nonce(url, nonce)


@lru_cache(maxsize=MOST_ORIGINS)
def is_oktas(origin: str, own_host: str) -> bool:
    """Tell whether at *origin* are Okta's own APIs: below one of its domains, or on *own_host*, a custom domain."""
    return (own_host != "" and _host(origin) == own_host) or okta_token_url(origin) is not None


def without_query(url: str) -> str:
    """Return *url* as `htu` has it: without query and fragment (RFC 9449 4.2)."""
    return url.partition("#")[0].partition("?")[0]


def okta_htu(url: str) -> str:
    """
    Return `htu` as Okta's own APIs compare it: with the decoded path, but for four characters.

    RFC 9449 4.3 has servers compare what was sent, and others do. Okta refuses an `%40` (okta-sdk-python#541); what it
    takes is the rule of its Java SDK.
    """
    origin = origin_of(url)
    path = unquote(url[len(origin) :])
    for character in '% "#':
        path = path.replace(character, f"%{ord(character):02X}")
    return origin + path


def origin_of(url: str) -> str:
    """Return scheme and authority of *url*, as they are written."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + re.split(r"[/?#]", rest, maxsplit=1)[0]


def _own_host(token_url: str) -> str:
    """Return the host of an Okta's token endpoint, `""` for another server's, beside which there may be any API."""
    try:
        url = parse_url(without_query(token_url))
    except ValueError:
        return ""
    return url.host if _OKTA_PATH.fullmatch(url.path) else ""


def _host(url: str) -> str:
    try:
        return parse_url(without_query(url)).host
    except ValueError:
        return ""
