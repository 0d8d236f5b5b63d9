"""
Which of several credentials is tried, and which next: what makes a rotation pass without a failed request. Pure.

Okta accepts two secrets of an app at a time, and up to 50 keys.
"""

from proxy.tokens.credentials import Credential


class Rotation:
    """
    Remembers which credential worked. The first is the one to begin with, until it is refused.

    When the credentials change it begins with the first again: a new secret is written above the old one, or a new key
    before it, to be used at once.
    """

    def __init__(self) -> None:
        self._known: tuple[Credential, ...] = ()
        self._first = 0

    def candidates(self, credentials: tuple[Credential, ...]) -> tuple[Credential, ...]:
        """Return what to try in one fetch: the one that is thought to work, and one more in case it is refused."""
        if credentials != self._known:
            self._known, self._first = credentials, 0
        following = (self._first + 1) % len(credentials)
        return tuple(credentials[place] for place in dict.fromkeys((self._first, following)))

    def worked(self, credential: Credential) -> None:
        """Begin with this one from now on."""
        self._first = self._known.index(credential)

    def refused(self, credential: Credential) -> None:
        """Begin with the one after it: with more than two, each gets its turn."""
        self._first = (self._known.index(credential) + 1) % len(self._known)
