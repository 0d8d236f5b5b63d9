"""Okta's issuers and their token endpoints."""

import pytest

from proxy.config import okta_token_url
from proxy.config.issuer import organization_of


@pytest.mark.parametrize(
    ("issuer", "token_url"),
    [
        ("https://dev-1.okta.com/oauth2/default", "https://dev-1.okta.com/oauth2/default/v1/token"),
        ("https://dev-1.okta.com/oauth2/default/", "https://dev-1.okta.com/oauth2/default/v1/token"),
        ("https://dev-1.okta.com/oauth2/aus9o8wzkhck", "https://dev-1.okta.com/oauth2/aus9o8wzkhck/v1/token"),
        ("https://dev-1.okta.com", "https://dev-1.okta.com/oauth2/v1/token"),
        ("https://dev-1.okta.com/", "https://dev-1.okta.com/oauth2/v1/token"),
        ("https://Dev-1.Okta.com", "https://Dev-1.Okta.com/oauth2/v1/token"),
        ("https://a.oktapreview.com", "https://a.oktapreview.com/oauth2/v1/token"),
        ("https://a.okta-emea.com/oauth2/x", "https://a.okta-emea.com/oauth2/x/v1/token"),
        ("https://a.okta-gov.com", "https://a.okta-gov.com/oauth2/v1/token"),
        ("https://dev-1-admin.okta.com", None),
        ("https://dev-1-admin.oktapreview.com/oauth2/default", None),
        ("https://okta.com", None),
        ("https://notokta.com", None),
        ("https://dev-1.notokta.com", None),
        ("https://okta.com.evil.example", None),
        ("https://dev-1.okta.com.evil.example/oauth2/default", None),
        ("https://evil.example/dev-1.okta.com", None),
        ("https://dev-1.okta.com@evil.example", None),
        ("https://dev-1.okta.com/oauth2", None),
        ("https://dev-1.okta.com/oauth2/default/v1", None),
        ("https://dev-1.okta.com/other", None),
        ("https://login.example.com/oauth2/default", None),
        ("https://tenant.auth0.com", None),
        ("dev-1.okta.com", None),
        ("", None),
    ],
)
def test_an_okta_issuer_has_a_known_token_endpoint(issuer: str, token_url: str | None) -> None:
    """Only Okta's own hosts, in Okta's two forms, are known; whatever looks like them is asked."""
    assert okta_token_url(issuer) == token_url


@pytest.mark.parametrize(
    ("host", "organization"),
    [
        ("dev-1-admin.okta.com", "dev-1.okta.com"),
        ("a-admin.okta-emea.com", "a.okta-emea.com"),
        ("dev-1.okta.com", None),
        ("a-admin.example.com", None),
        ("a-admin.b.okta.com", None),
    ],
)
def test_the_admin_console_is_known_by_its_name(host: str, organization: str | None) -> None:
    """The organization's host is the console's without `-admin`."""
    assert organization_of(host) == organization
