"""
What one key's value must be beyond its kind. Each check returns the value as the settings have it.

ValueError carries the messages, which continue `section.key: ` and never quote a value.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args

import msgspec

from proxy.config.issuer import okta_token_url, organization_of
from proxy.config.names import shown
from proxy.config.outbound import FOR_UPSTREAM, usable_proxy
from proxy.config.settings import Algorithm, Assertion, Url
from proxy.config.urls import parse_host, parse_url

T = TypeVar("T")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 5.6.2."""
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 3.3, scope-token."""
_OWN_FIELDS = {
    # Framing and what belongs to one connection (RFC 9110 7.6.1), and what is the proxy's own to set.
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    *("content-length", "expect", "host", "proxy-authenticate", "proxy-authorization", "via"),
}
_OWN_PARAMS = ("grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope")
_FILE_LIMIT = 4 * 1024 * 1024


def check(full: str, value: Any) -> Any:
    """Return *value* of the key *full* as the settings have it."""
    return _CHECKS[full](value) if full in _CHECKS else value


def normal(field: str) -> str:
    """Return a field name in the one spelling in which names are compared: some servers read `_` as `-`."""
    return field.lower().replace("_", "-")


def _injected(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("must be a header field's name: letters, digits and hyphens")
    if normal(name) in _OWN_FIELDS:
        raise ValueError(f"must not be {name}: the proxy sets that field itself")
    return name


def _scheme(scheme: str) -> str:
    if scheme and not _TOKEN.fullmatch(scheme):
        raise ValueError("must be one word, as in Bearer, or empty for the bare token")
    return scheme


def _fields(headers: dict[str, str]) -> dict[str, str]:
    problems = []
    seen: set[str] = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            problems.append(f"{shown(name)} is not a header field's name: letters, digits and hyphens")
        if normal(name) in _OWN_FIELDS:
            problems.append(f"must not name {name}: the proxy sets that field itself")
        if not value.isascii() or value != value.strip(" "):
            problems.append(f"the value of {shown(name)} must be ASCII without blanks at its ends")
        if normal(name) in seen:
            problems.append(f"{shown(name)} stands there twice, in different spellings: keep one")
        seen.add(normal(name))
    return _unless(problems, headers)


def _params(params: dict[str, str]) -> dict[str, str]:
    problems = [f"must not name {name}: the proxy sets it itself" for name in params if name in _OWN_PARAMS]
    if "" in params:
        problems.append("has a parameter without a name")
    return _unless(problems, params)


def _scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    bad = [number for number, scope in enumerate(scopes, 1) if not _SCOPE.fullmatch(scope)]
    what = "must be one scope: ASCII without blanks, quotes and backslashes"
    return _unless([f"entry {number} {what}" for number in bad], scopes)


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    problems = []
    names = []
    for number, host in enumerate(hosts, 1):
        try:
            if "://" in host or "/" in host:
                raise ValueError("must be a name without scheme and path, as in api.example.com")  # noqa: TRY301
            if "*" in host:
                raise ValueError("must be one exact name: wildcards are not supported")  # noqa: TRY301
            names.append(parse_host(host))
        except ValueError as error:
            problems.append(f"entry {number}: {error}")
    return _unless(problems, tuple(names))


def _issuer(text: str) -> str:
    if "://" not in text:
        raise ValueError("must begin with https://, as in https://dev-123456.okta.com/oauth2/default")
    issuer = text.rstrip("/")
    url = parse_url(issuer)
    _refuse_console(url)
    if issuer.endswith("/v1/token"):
        raise ValueError("is a token endpoint: leave /v1/token out, or write it as oauth.token_url")
    if "/.well-known/" in issuer:
        raise ValueError("is a discovery document: leave out /.well-known/ and what follows")
    return issuer


def _token_url(text: str) -> str:
    url = parse_url(text, parts=("query",))
    _refuse_console(url)
    if okta_token_url(text) is not None:
        raise ValueError("is an issuer, no token endpoint: write it as oauth.issuer")
    return text


def _refuse_console(url: Url) -> None:
    organization = organization_of(url.host)
    if organization is not None:
        # Any other path is a page of the console's.
        path = url.path if re.fullmatch(r"/oauth2/[\w/.-]+", url.path) else ""
        raise ValueError(
            f"is the address of the admin console, which gives no tokens: write https://{organization}{path}"
        )


def _client_id(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", text):
        raise ValueError("must be ASCII without blanks at its ends: copy it again from Okta's console")
    return text


def _proxy(text: str) -> str:
    proxy = usable_proxy(text)
    if proxy is None:
        raise ValueError("must be the URL of an http proxy without a path, as in http://proxy.example.com:3128")
    return proxy


def _upstream_proxy(text: str) -> str:
    proxy = usable_proxy(text, FOR_UPSTREAM)
    if proxy is None:
        what = "must be the URL of an http or https proxy without a path"
        raise ValueError(f"{what}, as in http://proxy.example.com:3128")
    return proxy


def _filled_file(what: str) -> Callable[[str], str]:
    """Return the check of a file that must hold *what*."""

    def check_file(path: str) -> str:
        if not _read(path).strip(b"\r\n"):
            raise ValueError(f"names a file that is empty: put {what} into it")
        return path

    return check_file


def _key_id(text: str) -> str:
    if not re.fullmatch(r"[\x20-\x7e]{1,512}", text):
        raise ValueError("must be ASCII: copy the kid again from Okta's console")
    return text


def _assertion(entries: dict[str, str]) -> Assertion | None:
    """Return how assertions are made; None, as without the key, if nothing is said."""
    names = [field.name for field in msgspec.structs.fields(Assertion)]
    problems = [f"has no {shown(name)}: it has {', '.join(names)}" for name in entries if name not in names]
    algorithms = get_args(Algorithm)
    if entries.get("algorithm", algorithms[0]) not in algorithms:
        problems.append(f"algorithm must be one of {', '.join(algorithms)}")
    if not re.fullmatch(r"[\x21-\x7e]+", entries.get("audience", "issuer")):
        problems.append("audience must be token_url, issuer, or the audience itself: ASCII without blanks")
    if not re.fullmatch(r"[\w+./-]+", entries.get("typ", "JWT"), re.ASCII):
        problems.append("typ must be a media type without blanks, as in JWT or client-authentication+jwt")
    if "certificate_file" in entries:
        try:
            _certificate_file(entries["certificate_file"])
        except ValueError as error:
            problems.append(f"certificate_file {error}")
    _unless(problems, None)
    return msgspec.convert(entries, Assertion) if entries else None


def _certificate_file(path: str) -> str:
    if b"-----BEGIN " not in _read(path):
        raise ValueError("names a file that has no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return path


def _client_key_file(path: str) -> str:
    if b"PRIVATE KEY-----" not in _read(path):
        raise ValueError("names a file that has no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
    return path


def _read(path: str) -> bytes:
    """Return the beginning of a file; ValueError says why it cannot be read."""
    import os  # noqa: PLC0415
    import stat  # noqa: PLC0415

    try:
        # A pipe would be empty for the next reader, and its opening may wait for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # pathlib is slow to import
            raise ValueError("names something that is not a regular file")
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(_FILE_LIMIT)
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from None


def _unless(problems: Iterable[str], value: T) -> T:
    """Return *value* unless there are problems."""
    messages = list(problems)
    if messages:
        raise ValueError(*messages)
    return value


def _none_if_zero(size: int) -> int | None:
    return size or None


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "listen.host": parse_host,
    "upstream.headers": _fields,
    "upstream.ca_file": _certificate_file,
    "upstream.client_cert_file": _certificate_file,
    "upstream.client_key_file": _client_key_file,
    "upstream.proxy": _upstream_proxy,
    "oauth.issuer": _issuer,
    "oauth.token_url": _token_url,
    "oauth.client_id": _client_id,
    "oauth.client_secret_file": _filled_file("the client secret"),
    "oauth.private_key_file": _filled_file("the private key"),
    "oauth.private_key_id": _key_id,
    "oauth.private_key_passphrase_file": _filled_file("the passphrase"),
    "oauth.assertion": _assertion,
    "oauth.scopes": _scopes,
    "oauth.extra_params": _params,
    "oauth.ca_file": _certificate_file,
    "oauth.proxy": _proxy,
    "inject.header": _injected,
    "inject.scheme": _scheme,
    "guard.allowed_hosts": _hosts,
    "admin.host": parse_host,
    "limits.body_size": _none_if_zero,
}
