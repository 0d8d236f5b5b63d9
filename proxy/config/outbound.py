"""
Which proxy the token endpoint is reached through: `oauth.proxy`, else what the environment says.

The environment is read as `urllib.request` reads it: a lower-case name beats an upper-case one, NO_PROXY lists host
names that include their subdomains. Only http:// proxies can be used.
"""

from collections.abc import Iterator, Mapping

from proxy.config.settings import Url
from proxy.config.urls import is_loopback, parse_url


def outbound_proxy(url: Url, configured: str | None, environ: Mapping[str, str]) -> str | None:
    """
    Return the proxy for a request to *url*, None for a direct connection. It may hold a password.

    *configured* (`oauth.proxy`) is for every host but loopback; HTTPS_PROXY and ALL_PROXY are for https URLs whose
    host NO_PROXY does not name.
    """
    if is_loopback(url.host):
        return None
    if configured is not None:
        return configured
    return next((proxy for _, proxy in environment_proxies(url, environ) if proxy is not None), None)


def environment_proxies(url: Url, environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield variables that name a proxy for *url*, best first, and the proxy; None for one that cannot be used."""
    if url.scheme != "https" or is_loopback(url.host) or _bypassed(url, environ):
        return
    for name in ("https_proxy", "all_proxy"):
        variable, value = _lookup(name, environ)
        if value:
            yield variable, usable_proxy(value if "://" in value else f"http://{value}")


def usable_proxy(text: str) -> str | None:
    """Return *text* without a slash at its end if it is the URL of an http proxy, else None."""
    try:
        url = parse_url(text, schemes=("http",), parts=("userinfo",))
    except ValueError:
        return None
    return None if url.path else text.rstrip("/")


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
