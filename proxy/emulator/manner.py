"""
What differs between token endpoints, as data: addresses, client authentication, scopes, words.

Here is Okta's manner. Those of the others are in `proxy.emulator.providers`, which is loaded when one is asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args
from urllib.parse import unquote

from proxy.emulator.errors import OAuthError, oauth_error
from proxy.emulator.jose import ASYMMETRIC, SYMMETRIC

Name = Literal["okta", "auth0", "entra", "keycloak", "cognito", "pingone", "pingfederate"]

Kind = Literal["token", "keys", "openid", "oauth"]

Audience = Literal["token_url", "issuer"]


class Endpoint(NamedTuple):
    """What a path means. *server* is the id of the authorization server in it, None if there is none."""

    kind: Kind
    server: str | None


class Layout(NamedTuple):
    """Where things are, below the base URL. `{server}` stands for an authorization server, a realm, a tenant."""

    issuer: str
    token: str
    keys: str
    openid: tuple[str, ...]
    oauth: tuple[str, ...] = ()

    def endpoint(self, path: str) -> Endpoint | None:
        """Return what *path* means, None for nothing."""
        kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
            ("token", (self.token,)),
            ("keys", (self.keys,)),
            ("openid", self.openid),
            ("oauth", self.oauth),
        )
        for kind, templates in kinds:
            for template in templates:
                pattern = re.escape(template).replace(r"\{server\}", "([^/]+)")
                if found := re.fullmatch(pattern, path):
                    return Endpoint(kind, unquote(found[1]) if found.groups() else None)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one product behaves. Times are in seconds."""

    name: Name
    layouts: tuple[Layout, ...]
    """For servers with an id first, for the one without behind it."""
    servers: tuple[str | None, ...] = (None,)
    """The authorization servers that there are; the first one is what `AuthorizationServer.issuer` names."""
    methods: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt")
    algorithms: tuple[str, ...] = ASYMMETRIC + SYMMETRIC
    """Of assertions."""
    audiences: tuple[Audience, ...] = ("token_url",)
    """What an assertion's `aud` may be."""
    longest: float = 3600.0
    """How far ahead an assertion's `exp` may be."""
    skew: float = 0.0
    """How far the client's clock may be off."""
    jti_required: bool = False
    key_header: Literal["kid", "x5t#S256"] = "kid"
    """The header by which an assertion names its key."""
    dpop: bool = True
    """Whether it knows DPoP at all; if not, proofs are ignored."""
    dpop_nonce: bool = False
    proof_age: float = 300.0
    required: tuple[str, ...] = ()
    """Parameters that each token request must have; the error is called `missing_` and the parameter."""
    scopes: Literal["okta", "resource", "granted"] = "granted"
    """
    `granted`: those of the client, all of them if none is asked for. `resource`: one, the API's `/.default`.
    """
    shape: Literal["oauth", "bare", "entra"] = "oauth"
    """A refusal's body: with a description, without one, with Entra's fields."""
    texts: Mapping[str, tuple[int, str, str]]
    """What stands for Okta's error of that name, or for all whose names begin so: status, `error`, description."""
    fields: Mapping[str, object]
    """What a success has beside `access_token`, `token_type` and `expires_in`; None stands for the granted scopes."""
    lifetime: float = 3600.0

    @property
    def is_okta(self) -> bool:
        """Whether this is Okta itself, with its own headers and its second shape of errors."""
        return self.name == "okta"

    def endpoint(self, path: str) -> Endpoint | None:
        """Return what *path* means, None for nothing. Whether its authorization server exists is not looked at."""
        return next((found for layout in self.layouts if (found := layout.endpoint(path))), None)

    def issuer(self, base_url: str, server: str | None) -> str:
        """Return the issuer of *server*."""
        return base_url + self._layout(server).issuer.format(server=server)

    def token_url(self, base_url: str, server: str | None) -> str:
        """Return the token endpoint of *server*."""
        return base_url + self._layout(server).token.format(server=server)

    def keys_url(self, base_url: str, server: str | None) -> str:
        """Return the address of the JWK set of *server*."""
        return base_url + self._layout(server).keys.format(server=server)

    def error(self, name: str, *values: str) -> OAuthError:
        """Return what is said where Okta's error would be *name*: in this product's words, or in Okta's."""
        beginning = max((key for key in self.texts if name.startswith(key)), key=len, default=None)
        if beginning is None:
            return oauth_error(name, *values) if self.is_okta else oauth_error(name)
        status, error, text = self.texts[beginning]
        return OAuthError(name, status, error, text.format(*(values or ("...",))))

    def _layout(self, server: str | None) -> Layout:
        return self.layouts[-1] if server is None else self.layouts[0]


OKTA = Manner(
    name="okta",
    layouts=(
        Layout(
            issuer="/oauth2/{server}",
            token="/oauth2/{server}/v1/token",  # noqa: S106  # a path
            keys="/oauth2/{server}/v1/keys",
            openid=("/oauth2/{server}/.well-known/openid-configuration",),
            oauth=(
                "/oauth2/{server}/.well-known/oauth-authorization-server",
                # RFC 8414 section 3.1 puts the well-known part before the issuer's path; Okta has both.
                "/.well-known/oauth-authorization-server/oauth2/{server}",
            ),
        ),
        Layout(
            issuer="",
            token="/oauth2/v1/token",  # noqa: S106  # a path
            keys="/oauth2/v1/keys",
            openid=("/.well-known/openid-configuration",),
            oauth=("/.well-known/oauth-authorization-server",),
        ),
    ),
    # Okta's built-in one, one as an administrator makes them, and the org's own.
    servers=("default", "aus9o8wzkhckw9TLa0h7z", None),
    dpop_nonce=True,
    scopes="okta",
    texts={},
    fields={"scope": None},
)


def manner_of(name: Name) -> Manner:
    """Return the manner called *name*; `ValueError` if there is none."""
    if name == "okta":
        return OKTA
    from proxy.emulator import providers  # noqa: PLC0415  # most runs need Okta's only

    if name not in providers.MANNERS:
        raise ValueError(f"no such manner: {name}; there are {', '.join(get_args(Name))}")
    return providers.MANNERS[name]
