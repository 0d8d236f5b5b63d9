"""What makes a signed statement one of now: names that may be used once, and nonces that a server has given out."""

import heapq
from secrets import token_urlsafe

RENEWED = 24 * 3600.0
"""Seconds after which Okta gives out another nonce."""

ACCEPTED = 72 * 3600.0
"""Seconds for which Okta takes a nonce."""


class Spent:
    """The `jti`s that have been used, each for as long as what carried it would be accepted again."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._ends: list[tuple[float, str]] = []

    def __repr__(self) -> str:
        return f"<Spent [{len(self._names)}]>"

    def spend(self, name: str, until: float, now: float) -> bool:
        """Use *name*, which nobody may do again before *until*; False if somebody has. Times in seconds."""
        while self._ends and self._ends[0][0] <= now:
            self._names.discard(heapq.heappop(self._ends)[1])
        if name in self._names:
            return False
        self._names.add(name)
        heapq.heappush(self._ends, (until, name))
        return True


class Nonces:
    """
    The nonces of one server (RFC 9449 8 and 9). The newest is given out; older ones are accepted until they end.

    Not bound to a key, as at Okta.
    """

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._newest = ""
        self._renew_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Nonces [{len(self._ends)}]>"

    def current(self, now: float) -> str:
        """Return the nonce to give out at *now*, in seconds."""
        if now >= self._renew_at:
            self.rotate(now)
        return self._newest

    def accepts(self, nonce: object, now: float) -> bool:
        """Tell whether *nonce* is from here and still good at *now*."""
        return isinstance(nonce, str) and now < self._ends.get(nonce, float("-inf"))

    def rotate(self, now: float, *, forget: bool = False) -> None:
        """Give out another nonce from *now* on. The others stay good for a while, or with *forget* not at all."""
        self._ends = {} if forget else {nonce: end for nonce, end in self._ends.items() if end > now}
        self._newest = token_urlsafe(24)
        self._ends[self._newest] = now + ACCEPTED
        self._renew_at = now + RENEWED
