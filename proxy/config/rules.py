"""
What keys must be to each other, and what deserves a warning.

A value that failed its own check is absent here, and a rule that needs it is silent: one mistake, one line.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config.checks import normal
from proxy.config.outbound import environment_proxies
from proxy.config.settings import Url
from proxy.config.urls import is_loopback, parse_url, reaches

Values = Mapping[str, Any]
"""Values by full key, defaults included."""


def problems(values: Values, empty: frozenset[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong between keys. *empty* are those that were set, but to nothing."""
    yield from _missing(values, empty)
    yield from _listeners(values)
    yield from _unencrypted(values)
    yield from _loops(values, environ)
    yield from _injected_twice(values)


def warnings(values: Values, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what works but is dangerous, or not what one may think."""
    if not is_loopback(values["listen.host"]):
        yield "listen.host: whoever reaches this listener uses the upstream with the proxy's token"
    if values["admin.enabled"] and not is_loopback(values["admin.host"]):
        yield "admin.host: whoever reaches the admin listener sees the probes and the metrics"
    if _is_exposed(values["upstream.url"]):
        yield "upstream.allow_http: tokens travel to the upstream unencrypted"
    token_url = _token_target(values)
    if _is_exposed(token_url):
        yield "oauth.allow_http: the client secret travels to the token endpoint unencrypted"
    if token_url is not None and values["oauth.proxy"] is None:
        for variable, proxy in environment_proxies(token_url, environ):
            if proxy is not None:
                break
            yield f"oauth.proxy: {variable} is ignored, because it is not the URL of an http proxy"


def _missing(values: Values, empty: frozenset[str]) -> Iterator[str]:
    def missing(*names: str) -> bool:
        return all(name in values and values[name] is None for name in names)

    def say(name: str, what: str) -> str:
        return f"{name}: is {'empty' if name in empty else 'required'}: {what}"

    if missing("upstream.url"):
        yield say("upstream.url", "set it to the API's address, as in https://api.example.com/v1")
    if missing("oauth.issuer", "oauth.token_url"):
        what = "set it to the Issuer URI of Okta's console, as in https://dev-123456.okta.com/oauth2/default"
        yield say("oauth.issuer", f"{what} (or set oauth.token_url)")
    if missing("oauth.client_id"):
        yield say("oauth.client_id", "set it to the application's client ID")
    if missing("oauth.client_secret", "oauth.client_secret_file"):
        yield say("oauth.client_secret", "set it, or oauth.client_secret_file")
    # One that is absent was set, and wrong in itself.
    if all(values.get(name, name) is not None for name in ("oauth.client_secret", "oauth.client_secret_file")):
        yield "oauth.client_secret: stands beside oauth.client_secret_file: remove one of the two"


def _listeners(values: Values) -> Iterator[str]:
    sections = ["listen", "admin"] if values.get("admin.enabled") else ["listen"]
    for section in sections:
        host, allowed = values.get(f"{section}.host"), values.get(f"{section}.allow_remote")
        if host is not None and not is_loopback(host) and allowed is False:
            yield f"{section}.host: other machines can reach it: set {section}.allow_remote: true, or use localhost"
    if sections == ["listen"]:
        return
    port, admin_port = values.get("listen.port"), _admin_port(values)
    if admin_port == 65536:
        yield "admin.port: is required when listen.port is 65535: there is no port after it"
    elif port and admin_port == port:
        yield "admin.port: must differ from listen.port: the admin listener is one of its own"


def _unencrypted(values: Values) -> Iterator[str]:
    for name, allowed in (
        ("upstream.url", "upstream.allow_http"),
        ("oauth.token_url", "oauth.allow_http"),
        ("oauth.issuer", "oauth.allow_http"),
    ):
        if _is_exposed(_url(values, name)) and values.get(allowed) is False:
            yield f"{name}: must be https:// beyond loopback; where the network is trusted, set {allowed}: true"


def _loops(values: Values, environ: Mapping[str, str]) -> Iterator[str]:
    for name in ("upstream.url", "oauth.token_url", "oauth.issuer"):
        if _is_ours(_url(values, name), values):
            yield f"{name}: is this proxy's own listener: set another address, or another listen.port or admin.port"
    proxy = values.get("oauth.proxy")
    if proxy is not None:
        if _is_ours(_proxy_url(proxy), values):
            yield "oauth.proxy: is this proxy's own listener: no token can be fetched through it"
        return
    target = _token_target(values) if "oauth.proxy" in values else None
    candidates = environment_proxies(target, environ) if target is not None else ()
    variable, proxy = next((candidate for candidate in candidates if candidate[1] is not None), ("", None))
    if proxy is not None and _is_ours(_proxy_url(proxy), values):
        remedy = "put the token endpoint's host into NO_PROXY, or set oauth.proxy"
        yield f"oauth.proxy: {variable} names this proxy's own listener: {remedy}"


def _injected_twice(values: Values) -> Iterator[str]:
    header = values.get("inject.header")
    for name in values.get("upstream.headers") or {}:
        if header is not None and normal(name) == normal(header):
            yield f"upstream.headers: must not name {name}: inject.header puts the token there"


def _admin_port(values: Values) -> int | None:
    """Return the admin listener's port, 0 for a free one, None if it is not known."""
    port, listen_port = values.get("admin.port"), values.get("listen.port")
    if port is not None or "admin.port" not in values or listen_port is None:
        return port
    return int(listen_port) + 1 if listen_port else 0


def _is_exposed(url: Url | None) -> bool:
    return url is not None and url.scheme == "http" and not is_loopback(url.host)


def _is_ours(url: Url | None, values: Values) -> bool:
    """Tell whether connecting to *url* would end at one of our listeners."""
    listeners = [(values.get("listen.host"), values.get("listen.port"))]
    if values.get("admin.enabled"):
        listeners.append((values.get("admin.host"), _admin_port(values)))
    return url is not None and any(host and port == url.port and reaches(url.host, host) for host, port in listeners)


def _url(values: Values, name: str) -> Url | None:
    value = values.get(name)
    return parse_url(value, parts=("query",)) if isinstance(value, str) else value


def _token_target(values: Values) -> Url | None:
    """Return where the token request goes, as far as the configuration knows."""
    return _url(values, "oauth.token_url") or _url(values, "oauth.issuer")


def _proxy_url(proxy: str) -> Url:
    return parse_url(proxy, schemes=("http",), parts=("userinfo",))
