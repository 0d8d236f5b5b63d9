"""The access tokens of an org: made, remembered while they live, and revoked."""

from secrets import token_urlsafe
from typing import cast

from proxy.emulator.keys import SigningKey, signing_key

REMEMBERED = 3600.0
"""Seconds for which an opaque token is known after its end."""


class Mint:
    """Makes access tokens with Okta's claims for client credentials, and knows which of them are good."""

    def __init__(self) -> None:
        self.issued = 0
        self._key: SigningKey | None = None
        self._live: dict[str, int] = {}
        """`jti` to expiry of what has not been revoked, in the order of issue."""
        self._opaque: dict[str, dict[str, object]] = {}
        """What tokens say that are no JWT, in the order of issue."""

    def __repr__(self) -> str:
        return f"<Mint [{self.issued} issued, {len(self._live)} live]>"

    async def open(self) -> None:
        """Get the key ready."""
        self._key = await signing_key()

    @property
    def key(self) -> SigningKey:
        """The key that signs; `RuntimeError` before `open`."""
        if self._key is None:
            raise RuntimeError("the authorization server has not been started")
        return self._key

    def token(
        self,
        *,
        issuer: str,
        audience: str,
        client_id: str,
        scopes: tuple[str, ...],
        now: float,
        lifetime: float,
        revoked: bool = False,
        opaque: bool = False,
        thumbprint: str | None = None,
    ) -> str:
        """
        Return a new token that expires *lifetime* whole seconds after *now*; negative makes an expired one.

        An *opaque* one says nothing to anybody but `claims`. *thumbprint* is the key that it is bound to (RFC 9449 6).
        """
        self._forget(now)
        jti = f"AT.{token_urlsafe(32)}"
        issued_at = int(now)
        expires_at = issued_at + int(lifetime)
        if not revoked:
            self._live[jti] = expires_at
        self.issued += 1
        claims: dict[str, object] = {
            "ver": 1,
            "jti": jti,
            "iss": issuer,
            "aud": audience,
            "iat": issued_at,
            "exp": expires_at,
            "cid": client_id,
            "scp": list(scopes),
            # Okta's default expression for the subject gives the client's id when there is no user.
            "sub": client_id,
        }
        if thumbprint is not None:
            claims["cnf"] = {"jkt": thumbprint}
        if not opaque:
            return self.key.sign(claims)
        token = f"00{token_urlsafe(60)}"
        self._opaque[token] = claims
        return token

    def claims(self, token: str) -> dict[str, object] | None:
        """Return what *token* says if it is from here, else None; whether it is still good is not looked at."""
        return self._opaque.get(token) or self.key.claims(token)

    def revoke_all(self) -> None:
        """Make every token issued so far a revoked one."""
        self._live.clear()

    def is_live(self, jti: object) -> bool:
        """Tell whether the token with this `jti` is from here and not revoked; its expiry is not looked at."""
        return jti in self._live

    def _forget(self, now: float) -> None:
        """Drop the oldest tokens if they have expired: a demo may run for weeks."""
        for jti, expires_at in list(self._live.items())[:2]:
            if expires_at <= now:
                del self._live[jti]
        for token, claims in list(self._opaque.items())[:2]:
            # Expired long ago: until then its claims tell why it is refused.
            if cast("int", claims["exp"]) + REMEMBERED <= now:
                del self._opaque[token]
