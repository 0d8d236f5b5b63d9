"""The documents that describe an authorization server (RFC 8414, OpenID Connect Discovery 1.0)."""

from collections.abc import Sequence

from proxy.emulator.jose import ASYMMETRIC
from proxy.emulator.manner import OKTA, Manner


def metadata(
    base_url: str, server: str | None, scopes: Sequence[str], *, openid: bool, manner: Manner = OKTA
) -> dict[str, object]:
    """
    Return the metadata of *server*, with OpenID Connect's own fields if *openid*.

    Okta's names what Okta's does, also the endpoints that are not emulated.
    """
    token_url = manner.token_url(base_url, server)
    content: dict[str, object] = {
        "issuer": manner.issuer(base_url, server),
        "token_endpoint": token_url,
        "jwks_uri": manner.keys_url(base_url, server),
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": list(scopes),
        "token_endpoint_auth_methods_supported": list(manner.methods),
        "token_endpoint_auth_signing_alg_values_supported": list(manner.algorithms),
    }
    if manner.dpop:
        content["dpop_signing_alg_values_supported"] = list(ASYMMETRIC)
    if manner.is_okta:
        content |= _oktas(token_url.removesuffix("/token"), openid=openid)
    return content


def _oktas(base: str, *, openid: bool) -> dict[str, object]:
    """Return the rest of Okta's metadata; *base* is what its endpoints have in common."""
    content: dict[str, object] = {
        "authorization_endpoint": f"{base}/authorize",
        "response_types_supported": ["code", "token", "id_token"],
        "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": [*OKTA.methods, "none"],
        "code_challenge_methods_supported": ["S256"],
    }
    if openid:
        content["id_token_signing_alg_values_supported"] = ["RS256"]
        content["userinfo_endpoint"] = f"{base}/userinfo"
        content["claims_supported"] = ["ver", "jti", "iss", "aud", "iat", "exp", "cid", "scp", "sub"]
    return content
