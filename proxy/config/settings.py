"""
The configuration as typed, frozen values: one class a section, one attribute a key of the file.

Durations are seconds (`float`, 0 for none), sizes are bytes (`int`). Nothing here reads a file or the environment.
`proxy.config.keys` derives from these classes what each key accepts.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Duration = Annotated[float, Meta(ge=0, le=365 * 86400)]
"""A year at most: event loops overflow somewhere beyond."""
HeadSize = Annotated[int, Meta(ge=1024, le=16 * 1024 * 1024, extra={"unit": "bytes"})]
BodySize = Annotated[int, Meta(ge=0, le=1024**4, extra={"unit": "bytes"})]
Command = Annotated[tuple[str, ...], Meta(extra={"kind": "command"})]
"""A program and its arguments: their order and their repetitions count."""
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "HS256", "HS384", "HS512"]
AuthMethod = Literal["client_secret_post", "client_secret_basic", "client_secret_jwt", "private_key_jwt"]


class Secret:
    """A string that cannot be printed: `repr`, `str` and formatting show stars; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class Url(msgspec.Struct, frozen=True):
    """An http or https URL in the parts that the proxy uses; no userinfo, no query, no fragment."""

    scheme: Literal["http", "https"]
    host: str
    """Lower-case name or IP literal, an IPv6 address without brackets."""
    port: int
    path: str
    """The path as written, without a trailing slash: `""` or `/v1`."""

    @property
    def authority(self) -> str:
        """`host[:port]` as a Host header has it (RFC 9110 7.2): the port only when it is not the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """Where clients connect."""

    host: str = "localhost"
    port: Port = 8080
    allow_remote: bool = False


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The one API that requests are forwarded to."""

    url: Url
    headers: dict[str, str] = {}
    allow_http: bool = False
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    """None: the key stands in `client_cert_file`."""
    proxy: str | None = None
    """May hold a password (`http://user:password@host:port`): never to be printed."""
    connections: Count | None = None
    """None: no more than `limits.requests`."""
    connect_timeout: Duration = 10.0
    response_timeout: Duration = 300.0
    idle_timeout: Duration = 300.0
    rewrite: bool = True
    via: Literal["auto", "on", "off"] = "auto"

    def __repr__(self) -> str:
        return _masked(self, "headers", "proxy")


KeyText = Annotated[Secret, Meta(extra={"kind": "key"})]
"""A private key as text: unlike any other secret it has lines."""


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """How the JWT is made that authenticates the client (RFC 7523)."""

    audience: str = "token_url"
    """`token_url`, `issuer`, or the `aud` itself."""
    algorithm: Algorithm | None = None
    """None: what the key says, else what its type gives; HS256 with a secret."""
    typ: str = "JWT"
    certificate_file: str | None = None
    """The certificate of the key, whose digest is sent as `x5t#S256`."""


class OAuth(msgspec.Struct, frozen=True, kw_only=True):
    """Where tokens come from. One of `issuer` and `token_url` is always set; `token_url` wins."""

    issuer: str | None = None
    """As the user wrote it, without a trailing slash."""
    token_url: str | None = None
    client_id: str
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    client_secret_command: Command = ()
    private_key: KeyText | None = None
    private_key_file: str | None = None
    private_key_id: str | None = None
    private_key_passphrase_file: str | None = None
    auth_method: AuthMethod | None = None
    """None: what the credentials are for; see `method`."""
    assertion: Assertion | None = None
    dpop: bool = False
    scopes: tuple[str, ...] = ()
    extra_params: dict[str, str] = {}
    ca_file: str | None = None
    allow_http: bool = False
    proxy: str | None = None
    """May hold a password (`http://user:password@host:port`): never to be printed."""
    patience: Duration = 10.0

    @property
    def method(self) -> AuthMethod:
        """How the client authenticates: `auth_method`, else `private_key_jwt` with a key, else `client_secret_post`."""
        if self.auth_method is not None:
            return self.auth_method
        return "private_key_jwt" if self.has_key else "client_secret_post"

    @property
    def has_key(self) -> bool:
        """Whether there is a private key."""
        return self.private_key is not None or self.private_key_file is not None

    def __repr__(self) -> str:
        return _masked(self, "client_secret_command", "extra_params", "proxy")


class Inject(msgspec.Struct, frozen=True, kw_only=True):
    """How the token is put into a request."""

    header: str = "Authorization"
    scheme: str | None = None
    """Overrides the scheme that `token_type` gives; `""` is the bare token, without a scheme and without a blank."""
    client_authorization: Literal["replace", "reject", "keep"] = "replace"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call."""

    allowed_hosts: tuple[str, ...] = ()
    """Lower-case names or IP literals, an IPv6 address without brackets."""
    browser: Literal["deny", "allow"] = "deny"


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """The operators' listener."""

    enabled: bool = True
    host: str = "localhost"
    port: Port | None = None
    """None: listen.port + 1, or a free one (0) when listen.port is 0."""
    allow_remote: bool = False


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds the clients."""

    connections: Count = 10000
    requests: Count = 1000
    header_timeout: Duration = 10.0
    keepalive_timeout: Duration = 75.0
    body_timeout: Duration = 60.0
    head_size: HeadSize = 64 * 1024
    body_size: BodySize | None = None


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """How the process ends."""

    drain: Duration = 20.0


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    listen: Listen = Listen()
    upstream: Upstream
    oauth: OAuth
    inject: Inject = Inject()
    guard: Guard = Guard()
    admin: Admin = Admin()
    limits: Limits = Limits()
    lifecycle: Lifecycle = Lifecycle()
    log: Log = Log()


def _masked(section: msgspec.Struct, *hidden: str) -> str:
    """Return the `repr` of *section* with stars for the *hidden* attributes that are set: they may hold passwords."""
    values = {name: getattr(section, name) for name in section.__struct_fields__}
    parts = (f"{name}={'***' if name in hidden and value else repr(value)}" for name, value in values.items())
    return f"{type(section).__name__}({', '.join(parts)})"
