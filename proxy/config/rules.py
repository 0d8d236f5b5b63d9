"""
What keys must be to each other, and what deserves a warning.

A value that failed its own check is absent here, and a rule that needs it is silent: one mistake, one line.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config import credentials
from proxy.config.checks import normal
from proxy.config.client_certificate import ClientCertificateError, load_client_certificate
from proxy.config.outbound import FOR_TOKENS, FOR_UPSTREAM, environment_proxies
from proxy.config.settings import Url
from proxy.config.urls import is_loopback, parse_url, reaches

Values = Mapping[str, Any]
"""Values by full key, defaults included."""

_OUTBOUND = {"oauth.proxy": ("the token endpoint", FOR_TOKENS), "upstream.proxy": ("the upstream", FOR_UPSTREAM)}
"""For each key of an outbound proxy what is reached through it, and the schemes that such a proxy may have."""


def problems(values: Values, empty: frozenset[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong between keys. *empty* are those that were set, but to nothing."""
    yield from _missing(values, empty)
    yield from credentials.problems(values, empty)
    yield from _listeners(values)
    yield from _unencrypted(values)
    yield from _loops(values, environ)
    yield from _client_certificate(values)
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
    yield from credentials.warnings(values)
    for name, url in (("oauth.proxy", token_url), ("upstream.proxy", values["upstream.url"])):
        if url is None or values[name] is not None:
            continue
        schemes = _OUTBOUND[name][1]
        for variable, proxy in environment_proxies(url, environ, schemes):
            if proxy is not None:
                break
            yield f"{name}: {variable} is ignored, because it is not the URL of an {' or '.join(schemes)} proxy"
    if values["upstream.client_cert_file"] is not None and values["upstream.url"].scheme == "http":
        yield "upstream.client_cert_file: is not used, because upstream.url is no https address"


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
    yield from _loop_through(values, environ, "oauth.proxy", _token_target(values))
    yield from _loop_through(values, environ, "upstream.proxy", values.get("upstream.url"))


def _loop_through(values: Values, environ: Mapping[str, str], name: str, target: Url | None) -> Iterator[str]:
    """Yield the problem if the outbound proxy that *name*, or else the environment, gives for *target* is ourselves."""
    whose, schemes = _OUTBOUND[name]
    proxy = values.get(name)
    if proxy is not None:
        if _is_ours(_proxy_url(proxy), values):
            yield f"{name}: is this proxy's own listener: {whose} cannot be reached through it"
        return
    candidates = environment_proxies(target, environ, schemes) if target is not None and name in values else ()
    variable, proxy = next((candidate for candidate in candidates if candidate[1] is not None), ("", None))
    if proxy is not None and _is_ours(_proxy_url(proxy), values):
        yield f"{name}: {variable} names this proxy's own listener: put {whose}'s host into NO_PROXY, or set {name}"


def _client_certificate(values: Values) -> Iterator[str]:
    names = ("upstream.client_cert_file", "upstream.client_key_file")
    if not all(name in values for name in names):
        return
    cert_file, key_file = (values[name] for name in names)
    if cert_file is None:
        if key_file is not None:
            yield "upstream.client_cert_file: is required with upstream.client_key_file: name the key's certificate"
        return
    import ssl  # noqa: PLC0415  # a configuration without certificates does without

    try:
        load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert_file, key_file)
    except ClientCertificateError as error:
        yield f"{error.key}: {error}"


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
    return parse_url(proxy, schemes=FOR_UPSTREAM, parts=("userinfo",))
