"""Where an issuer's token endpoint is looked for, and which of the answers are believed."""

import json

import pytest

from proxy.config import okta_token_url
from proxy.tokens.discovery import is_acceptable, metadata_urls, read_metadata

ISSUER = "https://login.example.com/tenant"


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://login.example.com",
            [
                "https://login.example.com/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server",
            ],
        ),
        (
            "https://login.example.com/realms/main",
            [
                "https://login.example.com/realms/main/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server/realms/main",
                "https://login.example.com/realms/main/.well-known/oauth-authorization-server",
            ],
        ),
        (
            "https://login.example.com:8443/t/",
            [
                "https://login.example.com:8443/t/.well-known/openid-configuration",
                "https://login.example.com:8443/.well-known/oauth-authorization-server/t",
                "https://login.example.com:8443/t/.well-known/oauth-authorization-server",
            ],
        ),
    ],
)
def test_the_metadata_is_looked_for_in_each_form_once(issuer, urls):
    """OpenID's form, then RFC 8414's, then the appended one; without a path the last two are the same."""
    assert list(metadata_urls(issuer)) == urls


@pytest.mark.parametrize(
    ("issuer", "token_url"),
    [
        ("https://dev-1.okta.com", "https://dev-1.okta.com/oauth2/v1/token"),
        ("https://dev-1.okta.com/", "https://dev-1.okta.com/oauth2/v1/token"),
        ("https://dev-1.okta.com/oauth2/default", "https://dev-1.okta.com/oauth2/default/v1/token"),
        ("https://dev-1.oktapreview.com/oauth2/aus1", "https://dev-1.oktapreview.com/oauth2/aus1/v1/token"),
        ("https://dev-1.okta-emea.com/oauth2/aus1", "https://dev-1.okta-emea.com/oauth2/aus1/v1/token"),
        ("https://dev-1.okta-gov.com", "https://dev-1.okta-gov.com/oauth2/v1/token"),
        ("https://dev-1-admin.okta.com", None),
        ("https://okta.com.example.com/oauth2/default", None),
        ("https://notokta.com/oauth2/default", None),
        ("https://login.example.com/oauth2/default", None),
    ],
)
def test_oktas_issuers_need_no_discovery(issuer, token_url):
    """The hosts under Okta's domains, and no other, have their token endpoint where Okta documents it."""
    assert okta_token_url(issuer) == token_url


def metadata(**changed):
    """Return our issuer's document, *changed*."""
    return json.dumps({"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"} | changed).encode()


def test_a_metadata_document_names_the_token_endpoint():
    """The document of our issuer is believed."""
    assert read_metadata(metadata(), ISSUER) == f"{ISSUER}/token"


@pytest.mark.parametrize("named", [ISSUER + "/", ISSUER])
@pytest.mark.parametrize("ours", [ISSUER + "/", ISSUER])
def test_a_trailing_slash_makes_no_other_issuer(named, ours):
    """Auth0's issuer has one, and people leave it out."""
    assert read_metadata(metadata(issuer=named), ours) == f"{ISSUER}/token"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://evil.example.com/tenant",
        "https://login.example.com",
        "https://login.example.com/tenant2",
        "https://login.example.com/Tenant",
        "http://login.example.com/tenant",
        "",
        None,
        7,
        [ISSUER],
    ],
)
def test_another_issuers_document_is_not_believed(issuer):
    """The `issuer` must be ours, exactly (RFC 8414 3.3): a secret is about to be sent where it points."""
    assert read_metadata(metadata(issuer=issuer), ISSUER) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"<html></html>",
        b'{"issuer":"https://login.example.com/tenant"',
        b'{"issuer":"https://login.example.com/tenant"}',
        b"\xff\xfe\xfd",
        b"[" * 60_000,
        metadata(token_endpoint=None),
        metadata(token_endpoint=["https://login.example.com/token"]),
        metadata(token_endpoint=7),
    ],
)
def test_what_is_no_metadata_names_nothing(body):
    """HTML, cut JSON, other values than an object and missing endpoints are no document."""
    assert read_metadata(body, ISSUER) is None


@pytest.mark.parametrize(
    ("url", "allow_http", "accepted"),
    [
        ("https://login.example.com/token", False, True),
        ("https://login.example.com:8443/token?tenant=1", False, True),
        ("http://127.0.0.1:8000/token", False, True),
        ("http://localhost/token", False, True),
        ("http://[::1]:8000/token", False, True),
        ("http://login.example.com/token", False, False),
        ("http://login.example.com/token", True, True),
        ("http://localhost.example.com/token", False, False),
        ("http://127.0.0.1.example.com/token", False, False),
        ("https://user:pass@login.example.com/token", False, False),
        ("https://login.example.com/token#fragment", False, False),
        ("https://login.example.com:0/token", False, False),
        ("https://login.example.com:99999/token", False, False),
        ("https://login.example.com:port/token", False, False),
        ("https:///token", False, False),
        ("//login.example.com/token", False, False),
        ("/token", False, False),
        ("ftp://login.example.com/token", True, False),
        ("file:///etc/passwd", True, False),
        ("javascript:alert(1)", True, False),
        ("https://login.ex\u00e4mple.com/token", False, False),
        ("https://login.example.com/to\r\nken", False, False),
        ("https://[::1/token", False, False),
        ("", True, False),
    ],
)
def test_a_secret_is_sent_over_https_or_to_this_machine(url, allow_http, accepted):
    """A discovered endpoint must be https, loopback, or http with `oauth.allow_http`; and a plain URL in any case."""
    assert is_acceptable(url, allow_http=allow_http) is accepted
