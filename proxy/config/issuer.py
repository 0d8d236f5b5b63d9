"""Okta's addresses: which hosts are Okta's, and where an Okta issuer has its token endpoint."""

import re

from proxy.config.urls import parse_url

_DOMAINS = (".okta.com", ".oktapreview.com", ".okta-emea.com", ".okta-gov.com")


def okta_token_url(issuer: str) -> str | None:
    """
    Return the token endpoint of an Okta *issuer*, None for any other: that has to be asked (RFC 8414).

    A custom authorization server (`/oauth2/{id}`) has it at `/v1/token` below itself, the org authorization server
    (no path) at `/oauth2/v1/token`. A custom domain in front of Okta is not known to be Okta's.
    """
    issuer = issuer.rstrip("/")
    try:
        url = parse_url(issuer)
    except ValueError:
        return None
    if not url.host.endswith(_DOMAINS) or organization_of(url.host) is not None:
        return None
    if not url.path:
        return f"{issuer}/oauth2/v1/token"
    return f"{issuer}/v1/token" if re.fullmatch(r"/oauth2/[^/]+", url.path) else None


def organization_of(host: str) -> str | None:
    """Return the organization's host if *host* is that of its admin console (`dev-1-admin.okta.com`), else None."""
    name, dot, domain = host.partition(".")
    is_console = name.endswith("-admin") and f".{domain}" in _DOMAINS
    return f"{name.removesuffix('-admin')}{dot}{domain}" if is_console else None
