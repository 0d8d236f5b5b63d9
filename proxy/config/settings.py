"""
The configuration as typed, frozen values: one class a section, one attribute a key of DESIGN's table.

Durations are seconds (`float`, 0 for none), sizes are bytes (`int`). Nothing here reads a file or the environment.
"""

from typing import Literal

import msgspec


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
    port: int = 8080
    allow_remote: bool = False


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The one API that requests are forwarded to."""

    url: Url
    headers: dict[str, str] = {}
    allow_http: bool = False
    ca_file: str | None = None
    connect_timeout: float = 10.0
    response_timeout: float = 300.0
    idle_timeout: float = 300.0
    rewrite: bool = True
    via: Literal["auto", "on", "off"] = "auto"


class OAuth(msgspec.Struct, frozen=True, kw_only=True):
    """Where tokens come from. One of `issuer` and `token_url` is always set."""

    issuer: str | None = None
    """As the user wrote it, without a trailing slash."""
    token_url: str | None = None
    client_id: str
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    auth_method: Literal["client_secret_post", "client_secret_basic"] = "client_secret_post"
    scopes: tuple[str, ...] = ()
    extra_params: dict[str, str] = {}
    ca_file: str | None = None
    allow_http: bool = False
    proxy: str | None = None
    patience: float = 10.0


class Inject(msgspec.Struct, frozen=True, kw_only=True):
    """How the token is put into a request."""

    header: str = "Authorization"
    scheme: str | None = None
    """Overrides the scheme that `token_type` gives."""
    client_authorization: Literal["replace", "reject", "keep"] = "replace"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call."""

    allowed_hosts: tuple[str, ...] = ()
    browser: Literal["deny", "allow"] = "deny"


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """The operators' listener."""

    enabled: bool = True
    host: str = "localhost"
    port: int | None = None
    """None: listen.port + 1, or a free one when listen.port is 0."""
    allow_remote: bool = False


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds the clients."""

    connections: int = 10000
    requests: int = 1000
    header_timeout: float = 10.0
    keepalive_timeout: float = 75.0
    body_timeout: float = 60.0
    head_size: int = 64 * 1024
    body_size: int | None = None


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """How the process ends."""

    drain: float = 20.0


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
