"""Where an issuer's token endpoint is: known for Okta, asked for elsewhere (OpenID Discovery 1.0, RFC 8414). Pure."""

import json
from urllib.parse import urlsplit

from proxy.config import is_loopback, parse_url


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """
    Return the addresses at which *issuer*'s metadata may stand, in the order to ask.

    OpenID's form first (every server has it), then RFC 8414 3.1's, then the appended form that some serve instead.
    """
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    urls = (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/oauth-authorization-server",
    )
    return tuple(dict.fromkeys(urls))


def read_metadata(body: bytes, issuer: str) -> str | None:
    """
    Return the token endpoint that a metadata document names, or None if it is not *issuer*'s.

    The document's `issuer` must be ours (RFC 8414 3.3), but for a trailing slash: Auth0's has one.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    named, endpoint = document.get("issuer"), document.get("token_endpoint")
    if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
        return None
    return endpoint if isinstance(endpoint, str) else None


def issuer_in(body: bytes) -> str:
    """
    Return the issuer as a document spells it that `read_metadata` has believed.

    An assertion for the issuer must have the same slash at its end, or none.
    """
    return str(json.loads(body)["issuer"])


def is_acceptable(url: str, *, allow_http: bool) -> bool:
    """Tell whether a secret may be sent to *url*: https, or http to loopback or with `oauth.allow_http`."""
    try:
        parts = parse_url(url, parts=("query",))
    except ValueError:
        return False
    return parts.scheme == "https" or allow_http or is_loopback(parts.host)
