"""
The one interface between where tokens come from and how a request travels.

This is the only module of `proxy.tokens` that `proxy.forwarding` may import; it imports nothing of either.
"""

from typing import Protocol


class Prover(Protocol):
    """
    Proves with each request that we hold the key which one token is bound to (DPoP, RFC 9449).

    It belongs to its token as long as anybody has that: a proof by another token's prover is worthless. Neither method
    waits, blocks or raises. Both belong on the event loop's thread.
    """

    def proof(self, method: str, url: str) -> str:
        """
        Return the value of the one `DPoP` header field of a request, a compact JWT of printable ASCII.

        *method* is sent as it is. *url* is the whole URL that the request goes to, with scheme and authority as the
        upstream has them, and the path byte for byte; a query and a fragment are ignored. Every sending needs a proof
        of its own, a repeated one too: each has a fresh `jti` and the newest nonce of the URL's origin. About 30 us.
        """
        ...

    def note_nonce(self, url: str, nonce: str) -> None:
        """
        Keep the `DPoP-Nonce` that an answer from *url* (its origin is enough) carried: for the next proofs there.

        For every answer that has one, whatever its status (RFC 9449 8.2). What is no nonce is ignored. Another token's
        prover knows it too.
        """
        ...


class Token:
    """
    An access token as the request path needs it.

    `scheme` is the authentication scheme that its `token_type` gives (`Bearer`). Two tokens are the same only if
    they are the same object: each successful fetch makes a new one.

    `prover` is None for a bearer token. With one, `scheme` is `DPoP`, and each request needs a `DPoP` header field with
    `prover.proof(method, url)` beside the token. A 401 whose challenge says `use_dpop_nonce` is about the proof and not
    about the token: note the nonce, and send the request once more with a new proof and the same token, where its body
    allows that; a second such answer is the client's. It is no reason for `TokenSource.suspect`.
    """

    __slots__ = (
        "expires_boot",
        "expires_wall",
        "lifetime",
        "prover",
        "scheme",
        "unusable_boot",
        "unusable_wall",
        "value",
    )

    def __init__(
        self,
        value: str,
        scheme: str,
        *,
        sent_boot: float,
        sent_wall: float,
        lifetime: float,
        prover: Prover | None = None,
    ) -> None:
        """
        Make a token that lives for *lifetime* seconds from just before its request was sent.

        *sent_boot* and *sent_wall* are that moment on the boot clock and on the wall clock, in seconds: the token
        is expired when either clock says so.
        """
        margin = unusable_margin(lifetime)
        self.value = value
        self.scheme = scheme
        self.lifetime = lifetime
        self.prover = prover
        self.expires_boot = sent_boot + lifetime
        self.expires_wall = sent_wall + lifetime
        self.unusable_boot = self.expires_boot - margin
        self.unusable_wall = self.expires_wall - margin

    def __repr__(self) -> str:
        return f"<Token {self.scheme} *** lives {self.lifetime:.0f} s>"


def unusable_margin(lifetime: float) -> float:
    """
    Return the last seconds of a *lifetime* in which the token is not sent any more.

    A tenth, at least 1 s (the request has to travel) and at most 10 s (what x/oauth2 takes).
    """
    return max(1.0, min(10.0, lifetime / 10))


class TokenSource(Protocol):
    """Where the request path gets its token."""

    def usable(self) -> Token | None:
        """Return the current token if it can be sent now, without waiting and without a lock; else None."""
        ...

    async def token(self) -> Token:
        """
        Return a token that can be sent now, waiting up to the patience (`oauth.patience`, seconds) for one.

        Raises `TokenUnavailableError` or `TokenRefusedError`. A caller that is cancelled disturbs no one else.
        """
        ...

    def suspect(self, token: Token) -> None:
        """
        Report that the upstream answered 401 to *token*: fetch another soon, if it is still the current one.

        It stays in use for others until a newer one is published. A late report for an older token changes nothing.
        """
        ...

    async def successor(self, token: Token) -> Token | None:
        """
        Return a token newer than *token* that can be sent now, waiting up to the patience if one is being fetched.

        None: no newer one comes, so the upstream's 401 is the client's.
        """
        ...
