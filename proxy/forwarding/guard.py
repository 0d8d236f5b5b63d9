"""
Who may call: the Host and browser rules of both listeners. Pure: what is to be answered is returned, not raised.

Whoever reaches the listener acts with the credential, so a web page must not: neither from another origin (Origin,
Sec-Fetch-Site) nor by rebinding a name of its own to loopback (Host). GET is no exception: the token makes reading
worth an attack too.
"""

import ipaddress
import re

from proxy.config import Settings
from proxy.errors import BadRequestError, BrowserRequestDeniedError, HostNotAllowedError, ProxyError
from proxy.forwarding.headers import Classifier, RawHeaders, RequestHeaders

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.~-]+)(?::([0-9]{1,5}))?")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_REMEMBERED = 256

NOT_A_HOST = "The Host header is missing, repeated or not a host name."


class Guard:
    """
    The rules of one listener.

    *names* are the hosts it answers to beside loopback's; *any_address* (a remote listener) accepts every IP literal,
    because published and pod addresses are not known to the process.
    """

    def __init__(self, names: tuple[str, ...], *, any_address: bool, browser_allowed: bool, injected: str) -> None:
        self._names = frozenset(name.lower() for name in (*_LOOPBACK, *map(bracketed, names)))
        self._any_address = any_address
        self._browser_allowed = browser_allowed
        self._classifier = Classifier(injected)
        # Values that passed: the same one comes with every request. Bounded, for its port can be any.
        self._passed: set[bytes] = set()

    def host_error(self, host: bytes) -> ProxyError | None:
        """Return why a Host value (RFC 9110 7.2) or an absolute-form authority is not accepted, None if it is."""
        if host in self._passed:
            return None
        name = host_name(host)
        if name is None:
            return BadRequestError(NOT_A_HOST)
        if name not in self._names and not (self._any_address and _is_address(name)):
            return HostNotAllowedError(
                "The Host is not one of this proxy's names. If it should be, add it to guard.allowed_hosts."
            )
        if len(self._passed) < _REMEMBERED:
            self._passed.add(host)
        return None

    def request_error(self, headers: RequestHeaders, *, host_required: bool) -> ProxyError | None:
        """
        Return why a request with these *headers* is not served, None if it is.

        *host_required*: HTTP/1.1. An HTTP/1.0 request may lack the Host (no browser sends that).
        """
        hosts = headers.hosts
        if len(hosts) == 1:
            error = self.host_error(hosts[0])
            if error is not None:
                return error
        elif hosts or host_required:
            return BadRequestError(NOT_A_HOST)
        if self._browser_allowed:
            return None
        # Only same-origin requests and what a person typed carry these two values; a newer value is not trusted.
        if headers.origin or headers.preflight or headers.fetch_site not in {None, b"same-origin", b"none"}:
            return BrowserRequestDeniedError(
                "A web page made this request, and it would act with this proxy's credential. "
                "If that is intended, set guard.browser: allow."
            )
        return None

    def check(self, raw: RawHeaders) -> ProxyError | None:
        """
        Return why a request with the header lines *raw* is not served: for the admin listener.

        A missing Host is that listener's parser's to refuse, which knows the HTTP version.
        """
        return self.request_error(RequestHeaders(raw, self._classifier), host_required=False)


def bracketed(name: str) -> str:
    """Return *name* as a Host header spells it: IPv6 literals in brackets."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


def host_name(host: bytes) -> str | None:
    """Return the lower-case host of a `host[:port]`, None if that is not what it is."""
    match = _HOST.fullmatch(host)
    if match is None or (match[2] is not None and int(match[2]) > 65535):
        return None
    return match[1].lower().decode("ascii")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def for_listener(settings: Settings) -> Guard:
    """Return the guard of the listener that forwards."""
    return Guard(
        (settings.listen.host, settings.upstream.url.host, *settings.guard.allowed_hosts),
        any_address=settings.listen.allow_remote,
        browser_allowed=settings.guard.browser == "allow",
        injected=settings.inject.header,
    )


def for_admin(settings: Settings) -> Guard:
    """Return the guard of the admin listener: web pages never reach it, whatever `guard.browser` says."""
    return Guard(
        (settings.admin.host, *settings.guard.allowed_hosts),
        any_address=settings.admin.allow_remote,
        browser_allowed=False,
        injected=settings.inject.header,
    )
