"""
The one interface between where tokens come from and how a request travels.

This is the only module of `proxy.tokens` that `proxy.forwarding` may import; it imports nothing of either.
"""

from typing import Protocol


class Token:
    """
    An access token as the request path needs it.

    `scheme` is the authentication scheme that its `token_type` gives (`Bearer`). Two tokens are the same only if
    they are the same object: each successful fetch makes a new one.
    """

    __slots__ = (
        "expires_boot",
        "expires_wall",
        "lifetime",
        "scheme",
        "unusable_boot",
        "unusable_wall",
        "value",
    )

    def __init__(self, value: str, scheme: str, *, sent_boot: float, sent_wall: float, lifetime: float) -> None:
        """
        Make a token that lives for *lifetime* seconds from just before its request was sent.

        *sent_boot* and *sent_wall* are that moment on the boot clock and on the wall clock, in seconds: the token
        is expired when either clock says so.
        """
        margin = unusable_margin(lifetime)
        self.value = value
        self.scheme = scheme
        self.lifetime = lifetime
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
