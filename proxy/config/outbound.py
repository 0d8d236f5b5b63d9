"""
Which proxy a server is reached through: `oauth.proxy` and `upstream.proxy`, else what the environment says.

The environment is read as `urllib.request` reads it: a lower-case name beats an upper-case one, NO_PROXY lists host
names that include their subdomains. The token endpoint can use http:// proxies only, the upstream https:// ones too.
"""

from collections.abc import Iterator, Mapping

import msgspec

from proxy.config.settings import Secret, Settings, Url
from proxy.config.urls import is_loopback, parse_url

Schemes = tuple[str, ...]
FOR_TOKENS: Schemes = ("http",)
FOR_UPSTREAM: Schemes = ("http", "https")


class OutboundProxy(msgspec.Struct, frozen=True):
    """A proxy in the parts that who connects through it uses."""

    url: Url
    authorization: Secret | None
    """The value of Proxy-Authorization."""


def outbound_proxy(
    url: Url, configured: str | None, environ: Mapping[str, str], schemes: Schemes = FOR_TOKENS
) -> str | None:
    """
    Return the proxy for a request to *url*, None for a direct connection. It may hold a password.

    *configured* (`oauth.proxy`) is for every host but loopback; HTTPS_PROXY and ALL_PROXY are for https URLs whose
    host NO_PROXY does not name.
    """
    if is_loopback(url.host):
        return None
    if configured is not None:
        return configured
    return next((proxy for _, proxy in environment_proxies(url, environ, schemes) if proxy is not None), None)


def with_outbound_proxy(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return *settings* with the `upstream.proxy` that is in force: what is configured, or the environment's."""
    upstream = settings.upstream
    proxy = outbound_proxy(upstream.url, upstream.proxy, environ, FOR_UPSTREAM)
    return msgspec.structs.replace(settings, upstream=msgspec.structs.replace(upstream, proxy=proxy))


def environment_proxies(
    url: Url, environ: Mapping[str, str], schemes: Schemes = FOR_TOKENS
) -> Iterator[tuple[str, str | None]]:
    """Yield variables that name a proxy for *url*, best first, and the proxy; None for one that cannot be used."""
    if url.scheme != "https" or is_loopback(url.host) or _bypassed(url, environ):
        return
    for name in ("https_proxy", "all_proxy"):
        variable, value = _lookup(name, environ)
        if value:
            yield variable, usable_proxy(value if "://" in value else f"http://{value}", schemes)


def usable_proxy(text: str, schemes: Schemes = FOR_TOKENS) -> str | None:
    """Return *text* without a slash at its end if it is the URL of a proxy with one of *schemes*, else None."""
    try:
        url = parse_url(text, schemes=schemes, parts=("userinfo",))
    except ValueError:
        return None
    return None if url.path else text.rstrip("/")


def read_proxy(text: str) -> OutboundProxy:
    """Return the parts of a proxy's URL, one that `usable_proxy` gave."""
    credentials = text.partition("://")[2].rpartition("@")[0]
    authorization = Secret(basic_authorization(credentials)) if credentials else None
    return OutboundProxy(parse_url(text, schemes=FOR_UPSTREAM, parts=("userinfo",)), authorization)


def basic_authorization(credentials: str) -> str:
    """Return `Basic ...` (RFC 7617) for the `user:password` of a URL, in which other characters are percent-encoded."""
    import base64  # noqa: PLC0415  # few have such a proxy
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415

    user, _, password = credentials.partition(":")
    plain = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {base64.b64encode(plain).decode('ascii')}"


def _lookup(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the spelling of a variable that counts, and its value."""
    variable = name if name in environ else name.upper()
    return variable, environ.get(variable, "").strip()


def _bypassed(url: Url, environ: Mapping[str, str]) -> bool:
    """Tell whether NO_PROXY names the host: itself, a domain above it, with its port or without, or `*`."""
    _, value = _lookup("no_proxy", environ)
    if value == "*":
        return True
    host = f"[{url.host}]" if ":" in url.host else url.host
    addresses = (url.host, host, f"{host}:{url.port}")
    names = {name.strip().lstrip(".").lower() for name in value.split(",")} - {""}
    return any(address == name or address.endswith(f".{name}") for address in addresses for name in names)
