"""Which paths an Okta org has, which issuer stands behind each, and the documents that describe them."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple
from urllib.parse import unquote

AUTHORIZATION_SERVERS = ("default", "aus9o8wzkhckw9TLa0h7z")
"""The custom authorization servers that there are: Okta's built-in one, and one as an administrator makes them."""


class Endpoint(NamedTuple):
    """What a path means. *server* is the id of a custom authorization server, None for the org's own."""

    kind: Literal["token", "keys", "openid", "oauth"]
    server: str | None


_PATHS: tuple[tuple[str, Literal["token", "keys", "openid", "oauth"]], ...] = (
    (r"/oauth2/v1/token", "token"),
    (r"/oauth2/v1/keys", "keys"),
    (r"/oauth2/([^/]+)/v1/token", "token"),
    (r"/oauth2/([^/]+)/v1/keys", "keys"),
    (r"/\.well-known/openid-configuration", "openid"),
    (r"/\.well-known/oauth-authorization-server", "oauth"),
    (r"/oauth2/([^/]+)/\.well-known/openid-configuration", "openid"),
    (r"/oauth2/([^/]+)/\.well-known/oauth-authorization-server", "oauth"),
    # RFC 8414 section 3.1 puts the well-known part before the issuer's path; Okta has both.
    (r"/\.well-known/oauth-authorization-server/oauth2/([^/]+)", "oauth"),
)


def endpoint(path: str) -> Endpoint | None:
    """Return what *path* means, None for nothing. Whether its authorization server exists is not looked at."""
    for pattern, kind in _PATHS:
        if found := re.fullmatch(pattern, path):
            return Endpoint(kind, unquote(found[1]) if found.groups() else None)
    return None


def issuer(base_url: str, server: str | None) -> str:
    """Return the issuer: the org's has no path, a custom server's is `/oauth2/{id}`."""
    return base_url if server is None else f"{base_url}/oauth2/{server}"


def metadata(base_url: str, server: str | None, scopes: Sequence[str], *, openid: bool) -> dict[str, object]:
    """
    Return the authorization server's metadata (RFC 8414), with OpenID Connect's own fields if *openid*.

    It names what Okta names, also the endpoints that are not emulated.
    """
    base = f"{base_url}/oauth2" if server is None else issuer(base_url, server)
    content: dict[str, object] = {
        "issuer": issuer(base_url, server),
        "authorization_endpoint": f"{base}/v1/authorize",
        "token_endpoint": f"{base}/v1/token",
        "jwks_uri": f"{base}/v1/keys",
        "response_types_supported": ["code", "token", "id_token"],
        "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "scopes_supported": list(scopes),
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "client_secret_jwt",
            "private_key_jwt",
            "none",
        ],
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"],
    }
    if openid:
        content["id_token_signing_alg_values_supported"] = ["RS256"]
        content["userinfo_endpoint"] = f"{base}/v1/userinfo"
        content["claims_supported"] = ["ver", "jti", "iss", "aud", "iat", "exp", "cid", "scp", "sub"]
    return content
