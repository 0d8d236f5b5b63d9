"""Where the proxy connects to: each with the keys that say so, for the messages. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from proxy.config import OAuth, Upstream, Url, okta_token_url, outbound_proxy, parse_url
from proxy.config.outbound import environment_proxies


@dataclass(frozen=True, slots=True)
class Place:
    """A server that the proxy connects to."""

    role: Literal["issuer", "token endpoint", "upstream"]
    url: Url
    key: str
    """The key that names it, `oauth.issuer`."""
    ca_file: str | None = None
    proxy: Url | None = None
    """The outbound proxy through which it is reached."""
    proxy_key: str = ""
    """The key or variable that names the outbound proxy."""
    proxy_credentials: str = field(default="", repr=False)
    """`user:password` for the outbound proxy."""

    @property
    def ca_key(self) -> str:
        """The key for a certificate authority of one's own."""
        return f"{self.key.partition('.')[0]}.ca_file"

    @property
    def name(self) -> str:
        """What messages call it: `token endpoint dev-1.okta.com`."""
        return f"{self.role} {self.url.authority}"


def first_asked(settings: OAuth, environ: Mapping[str, str]) -> Place:
    """Return the token endpoint, or the issuer if that has to be asked where its token endpoint is."""
    if settings.token_url is not None:
        return _place("token endpoint", settings.token_url, "oauth.token_url", settings, environ)
    issuer = settings.issuer or ""
    token_url = okta_token_url(issuer)
    if token_url is not None:
        return _place("token endpoint", token_url, "oauth.issuer", settings, environ)
    return _place("issuer", issuer, "oauth.issuer", settings, environ)


def discovered(token_url: str, settings: OAuth, environ: Mapping[str, str]) -> Place:
    """Return the token endpoint that the issuer named."""
    return _place("token endpoint", token_url, "oauth.issuer", settings, environ)


def upstream(settings: Upstream) -> Place:
    """Return the upstream, which is never reached through an outbound proxy."""
    return Place("upstream", settings.url, "upstream.url", settings.ca_file)


def is_same_server(one: Place, other: Place) -> bool:
    """Tell whether two places are the same scheme, host and port: what is true of one is true of the other."""
    return (one.url.scheme, one.url.host, one.url.port) == (other.url.scheme, other.url.host, other.url.port)


def _place(
    role: Literal["issuer", "token endpoint"], text: str, key: str, settings: OAuth, environ: Mapping[str, str]
) -> Place:
    url = parse_url(text, parts=("query",))
    proxy = outbound_proxy(url, settings.proxy, environ)
    if proxy is None:
        return Place(role, url, key, settings.ca_file)
    named = "oauth.proxy" if settings.proxy is not None else next(
        variable for variable, usable in environment_proxies(url, environ) if usable is not None
    )  # fmt: skip
    authority = proxy.partition("://")[2]
    return Place(
        role,
        url,
        key,
        settings.ca_file,
        proxy=parse_url(proxy, schemes=("http",), parts=("userinfo",)),
        proxy_key=named,
        proxy_credentials=authority.rpartition("@")[0],
    )
