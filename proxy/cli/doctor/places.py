"""Where the proxy connects to: each with the keys that say so, for the messages. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from proxy.config import OAuth, Upstream, Url, okta_token_url, outbound_proxy, parse_url
from proxy.config.outbound import FOR_TOKENS, FOR_UPSTREAM, Schemes, environment_proxies


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
    cert_file: str | None = None
    """The client certificate that is shown to it."""
    key_file: str | None = None

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


def upstream(settings: Upstream, environ: Mapping[str, str]) -> Place:
    """Return the upstream."""
    place = Place(
        "upstream",
        settings.url,
        "upstream.url",
        settings.ca_file,
        cert_file=settings.client_cert_file,
        key_file=settings.client_key_file,
    )
    return _behind(place, "upstream.proxy", settings.proxy, environ, FOR_UPSTREAM)


def is_oktas(settings: OAuth) -> bool:
    """Tell whether tokens come from a host of Okta's; a custom domain in front of it is not known before it answers."""
    address = parse_url(settings.token_url or settings.issuer or "", parts=("query",))
    return okta_token_url(f"{address.scheme}://{address.authority}") is not None


def is_same_server(one: Place, other: Place) -> bool:
    """Tell whether two places are the same scheme, host and port: what is true of one is true of the other."""
    return (one.url.scheme, one.url.host, one.url.port) == (other.url.scheme, other.url.host, other.url.port)


def _place(
    role: Literal["issuer", "token endpoint"], text: str, key: str, settings: OAuth, environ: Mapping[str, str]
) -> Place:
    place = Place(role, parse_url(text, parts=("query",)), key, settings.ca_file)
    return _behind(place, "oauth.proxy", settings.proxy, environ, FOR_TOKENS)


def _behind(
    place: Place, proxy_key: str, configured: str | None, environ: Mapping[str, str], schemes: Schemes
) -> Place:
    """Return *place* with the outbound proxy that it is reached through, if there is one."""
    proxy = outbound_proxy(place.url, configured, environ, schemes)
    if proxy is None:
        return place
    if configured is None:
        candidates = environment_proxies(place.url, environ, schemes)
        proxy_key = next(variable for variable, usable in candidates if usable is not None)
    return replace(
        place,
        proxy=parse_url(proxy, schemes=schemes, parts=("userinfo",)),
        proxy_key=proxy_key,
        proxy_credentials=proxy.partition("://")[2].rpartition("@")[0],
    )
