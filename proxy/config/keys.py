"""
Every key of the configuration, with what it accepts: derived from the classes in `proxy.config.settings`.

A key is a row here, in the JSON Schema, in `config.example.yaml` and in docs/configuration.md; tests hold them equal.
"""

from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta

from proxy.config.settings import Assertion, Secret, Settings, Url

Kind = Literal["text", "secret", "url", "flag", "count", "size", "duration", "choice", "list", "command", "key", "map"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key: its `default` is None if it has none, `low` and `high` bound a number."""

    section: str
    name: str
    kind: Kind
    type: Any
    default: Any
    required: bool
    description: str
    choices: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """What a map may name; empty for any name."""
    low: int | None = None
    high: int | None = None

    @property
    def full(self) -> str:
        """`section.name`, as messages name it."""
        return f"{self.section}.{self.name}"


SECTIONS = {
    "listen": "Where clients connect.",
    "upstream": "The one API that requests are forwarded to.",
    "oauth": "Where tokens come from.",
    "inject": "How the token is put into a request.",
    "guard": "Who may call.",
    "admin": "The operators' listener: probes, metrics and the status page.",
    "limits": "What bounds the clients.",
    "lifecycle": "How the process ends.",
    "log": "What is printed.",
}

DESCRIPTIONS = {
    "listen.host": "The address to listen on. localhost is 127.0.0.1 and ::1; any address that is not loopback needs "
    "listen.allow_remote.",
    "listen.port": "The port to listen on; 0 picks a free one.",
    "listen.allow_remote": "Allow a listen.host that other machines can reach: whoever reaches it uses the API with "
    "the proxy's token.",
    "upstream.url": "Where requests are forwarded to: scheme, host, optional port and base path. Required.",
    "upstream.headers": "Header fields that are added where the client sent none of that name.",
    "upstream.allow_http": "Allow an http:// upstream that is not loopback: the token travels unencrypted.",
    "upstream.ca_file": "A PEM file with certificate authorities that are trusted beside the system's.",
    "upstream.client_cert_file": "A PEM file with the client certificate that the upstream asks for, the certificates "
    "between it and its authority behind it; read again for new connections when it changes.",
    "upstream.client_key_file": "A PEM file with that certificate's private key, not encrypted; unset, the key stands "
    "in upstream.client_cert_file.",
    "upstream.proxy": "The http:// or https:// proxy through which the upstream is reached; unset, HTTPS_PROXY, "
    "ALL_PROXY and NO_PROXY decide.",
    "upstream.connections": "Connections to the upstream at a time; a request that finds all of them busy waits its "
    "turn, for upstream.connect_timeout at most. Unset, limits.requests is the only limit.",
    "upstream.connect_timeout": "How long connecting may take, TLS included, and the wait for upstream.connections.",
    "upstream.response_timeout": "How long the head of the response may take, from the last byte of the request.",
    "upstream.idle_timeout": "How long the upstream may be silent between two pieces of a body.",
    "upstream.rewrite": "Make Location, Content-Location, Link and Set-Cookie that name the upstream fit the address "
    "that the client used.",
    "upstream.via": "Send a Via header field, which detects loops; auto sends it to a loopback upstream only.",
    "oauth.issuer": "The authorization server, as Okta's console shows it under Issuer URI. This or oauth.token_url "
    "is required.",
    "oauth.token_url": "The token endpoint of any OAuth 2.0 server; wins over oauth.issuer.",
    "oauth.client_id": "The application's client ID. Required.",
    "oauth.client_secret": "The application's client secret, best written ${OKTA_CLIENT_SECRET}. This, its file, its "
    "command or a private key is required.",
    "oauth.client_secret_file": "A file that holds the client secret; read again for each token request. A second line "
    "is a second secret, tried when the first is refused.",
    "oauth.client_secret_command": "A program with its arguments that prints the client secret: [op, read, ...]. Run "
    "without a shell, before a token request.",
    "oauth.private_key": "The application's private key (PEM or JWK), best written ${OKTA_PRIVATE_KEY}; \\n in it is a "
    "line break.",
    "oauth.private_key_file": "A file that holds the private key: PEM, JWK, or a JWK set of several; read again for "
    "each token request.",
    "oauth.private_key_id": "The key's kid, as Okta's console shows it; a JWK brings its own. It chooses one of a set.",
    "oauth.private_key_passphrase_file": "A file that holds the passphrase of an encrypted PEM key.",
    "oauth.auth_method": "How the client proves who it is: private_key_jwt if there is a private key, else "
    "client_secret_post, unless it is set.",
    "oauth.assertion": "How the JWT of private_key_jwt and client_secret_jwt is made: audience, algorithm, typ, "
    "certificate_file.",
    "oauth.dpop": "Ask for tokens that are bound to a key of this process, and prove it with each request (RFC 9449).",
    "oauth.scopes": "The scopes to ask for.",
    "oauth.extra_params": "Further form parameters of every token request, such as audience.",
    "oauth.ca_file": "A PEM file with certificate authorities that are trusted beside the system's.",
    "oauth.allow_http": "Allow an http:// token endpoint that is not loopback: the client secret travels unencrypted.",
    "oauth.proxy": "The http:// proxy through which the token endpoint is reached; unset, HTTPS_PROXY, ALL_PROXY and "
    "NO_PROXY decide.",
    "oauth.patience": "How long a request waits for a usable token.",
    "inject.header": "The header field that carries the token.",
    "inject.scheme": "The word before the token, instead of the one that token_type gives; empty for the bare token.",
    "inject.client_authorization": "What happens when the client sends that header field itself: replace it, reject "
    "the request with 400, or keep it and inject nothing.",
    "guard.allowed_hosts": "Names that a Host header may have beside the listener's own; without scheme and port.",
    "guard.browser": "Whether requests that a web page makes are let through.",
    "admin.enabled": "Whether there is an admin listener.",
    "admin.host": "The address of the admin listener; any that is not loopback needs admin.allow_remote.",
    "admin.port": "The port of the admin listener: listen.port + 1 if unset; 0 picks a free one.",
    "admin.allow_remote": "Allow an admin.host that other machines can reach: they get GET /livez, /readyz and "
    "/metrics and nothing else.",
    "limits.connections": "Clients' connections at a time.",
    "limits.requests": "Requests in flight at a time.",
    "limits.header_timeout": "How long a client may take to send a request's head.",
    "limits.keepalive_timeout": "How long an idle client connection is kept.",
    "limits.body_timeout": "How long a client may be silent while it sends a request's body.",
    "limits.head_size": "The largest request head, its URL included.",
    "limits.body_size": "The largest request body; unset or 0 is no limit.",
    "lifecycle.drain": "How long requests in flight may take to end when the process stops.",
    "log.level": "The least important events that are printed.",
    "log.format": "How events are printed; auto is text on a terminal and JSON lines elsewhere.",
}


def _keys() -> dict[str, Key]:
    """Return all keys by their full names, in the order of the classes."""
    keys = {}
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            key = _key(section.name, field)
            keys[key.full] = key
    return keys


def _key(section: str, field: msgspec.structs.FieldInfo) -> Key:
    base, metas = _unwrap(field.type)
    default = field.default if field.default_factory is NODEFAULT else field.default_factory()
    return Key(
        section=section,
        name=field.name,
        kind=_kind(base, metas),
        type=field.type,
        default=None if default is NODEFAULT else default,
        required=default is NODEFAULT,
        description=DESCRIPTIONS[f"{section}.{field.name}"],
        choices=get_args(base) if get_origin(base) is Literal else (),
        names=tuple(field.name for field in msgspec.structs.fields(Assertion)) if base is Assertion else (),
        low=next((int(meta.ge) for meta in metas if meta.ge is not None), None),
        high=next((int(meta.le) for meta in metas if meta.le is not None), None),
    )


def _unwrap(annotation: Any) -> tuple[Any, tuple[Meta, ...]]:
    """Return the type without `None` and without its annotations, and the annotations."""
    if get_origin(annotation) is Annotated:
        base, *metas = get_args(annotation)
        return base, tuple(metas)
    arms = [arm for arm in get_args(annotation) if arm is not NoneType]
    if NoneType in get_args(annotation) and len(arms) == 1:
        return _unwrap(arms[0])
    return annotation, ()


def _kind(base: Any, metas: tuple[Meta, ...]) -> Kind:
    if get_origin(base) is Literal:
        return "choice"
    if base is int and any(meta.extra for meta in metas):
        return "size"
    named: Kind | None = next((meta.extra["kind"] for meta in metas if meta.extra and "kind" in meta.extra), None)
    if named is not None:
        return named
    return _KINDS[get_origin(base) or base]


_KINDS: dict[Any, Kind] = {
    str: "text",
    Secret: "secret",
    Url: "url",
    bool: "flag",
    int: "count",
    float: "duration",
    tuple: "list",
    dict: "map",
    Assertion: "map",
}

KEYS = _keys()
