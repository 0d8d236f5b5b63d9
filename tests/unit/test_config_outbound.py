"""Which proxy the token endpoint and the upstream are reached through."""

import urllib.request

import pytest
from kit import settings

from proxy.config import outbound_proxy, parse_url
from proxy.config.outbound import read_proxy, with_outbound_proxy

OKTA = "https://dev-1.okta.com/oauth2/default/v1/token"
PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "configured", "environ", "proxy"),
    [
        (OKTA, None, {}, None),
        (OKTA, PROXY, {}, PROXY),
        (OKTA, PROXY, {"HTTPS_PROXY": "http://other:1", "NO_PROXY": "*"}, PROXY),
        (OKTA, None, {"HTTPS_PROXY": PROXY}, PROXY),
        (OKTA, None, {"https_proxy": PROXY}, PROXY),
        (OKTA, None, {"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, PROXY),
        (OKTA, None, {"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        (OKTA, None, {"ALL_PROXY": PROXY}, PROXY),
        (OKTA, None, {"all_proxy": "http://other:1", "HTTPS_PROXY": PROXY}, PROXY),
        (OKTA, None, {"HTTP_PROXY": PROXY, "http_proxy": PROXY}, None),
        (OKTA, None, {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        (OKTA, None, {"HTTPS_PROXY": "http://u:p@proxy.example:3128/"}, "http://u:p@proxy.example:3128"),
        (OKTA, None, {"HTTPS_PROXY": "socks5://proxy.example:1080", "ALL_PROXY": PROXY}, PROXY),
        (OKTA, None, {"HTTPS_PROXY": "http://proxy.example/path"}, None),
        (OKTA, None, {"HTTPS_PROXY": PROXY, "NO_PROXY": "okta.com"}, None),
        ("http://idp.example/token", None, {"HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY}, None),
        ("http://idp.example/token", PROXY, {}, PROXY),
        ("https://localhost:9/token", PROXY, {"HTTPS_PROXY": PROXY}, None),
        ("https://127.0.0.2/token", None, {"HTTPS_PROXY": PROXY}, None),
        ("http://[::1]:9/token", PROXY, {}, None),
    ],
)
def test_the_proxy_for_a_token_request(
    url: str, configured: str | None, environ: dict[str, str], proxy: str | None
) -> None:
    """`oauth.proxy` wins, the environment is for https beyond loopback, loopback is always reached directly."""
    assert outbound_proxy(parse_url(url), configured, environ) == proxy


@pytest.mark.parametrize("host", ["dev-1.okta.com", "okta.com", "notokta.com", "10.0.0.1", "[2001:db8::1]"])
@pytest.mark.parametrize(
    "no_proxy",
    [
        "",
        "*",
        "okta.com",
        ".okta.com",
        " OKTA.com , x",
        "dev-1.okta.com:443",
        "ta.com",
        "10.0.0.1",
        "[2001:db8::1]",
        ",",
    ],
)
def test_no_proxy_is_read_as_the_standard_library_reads_it(host: str, no_proxy: str) -> None:
    """Names include the names below them, case and blanks do not count, a port may stand behind."""
    bypassed = bool(urllib.request.proxy_bypass_environment(f"{host}:443", {"no": no_proxy}))  # type: ignore[attr-defined]
    url = parse_url(f"https://{host}/token")
    assert (outbound_proxy(url, None, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) is None) is bypassed
    assert (
        outbound_proxy(url, None, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*", "no_proxy": no_proxy}) is None
    ) is bypassed


@pytest.mark.parametrize(
    ("upstream", "configured", "environ", "proxy"),
    [
        ("https://api.example.com", None, {}, None),
        ("https://api.example.com", None, {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://api.example.com", None, {"HTTPS_PROXY": "https://u:p@proxy.example"}, "https://u:p@proxy.example"),
        ("https://api.example.com", PROXY, {"HTTPS_PROXY": "http://other:1", "NO_PROXY": "*"}, PROXY),
        ("https://api.example.com", None, {"HTTPS_PROXY": PROXY, "NO_PROXY": "example.com"}, None),
        ("http://api.example.com", None, {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, None),
        ("http://api.example.com", PROXY, {}, PROXY),
        ("https://localhost:8443", PROXY, {"HTTPS_PROXY": PROXY}, None),
    ],
)
def test_the_proxy_for_the_upstream(
    upstream: str, configured: str | None, environ: dict[str, str], proxy: str | None
) -> None:
    """The same rules as for the token endpoint, and https proxies too; all else of the settings stays as it is."""
    before = settings(upstream, upstream_={"proxy": configured})
    after = with_outbound_proxy(before, environ)
    assert after.upstream.proxy == proxy
    assert with_outbound_proxy(after, {}).upstream == after.upstream
    assert (after.upstream.url, after.oauth) == (before.upstream.url, before.oauth)


def test_a_proxys_password_is_in_no_repr() -> None:
    """Neither in the settings' nor in that of the parts that are read from its URL."""
    proxy = "http://user:s3cret@proxy.example"
    shown = repr(settings("https://api.example.com", upstream_={"proxy": proxy})) + repr(read_proxy(proxy))
    assert "s3cret" not in shown
    assert "dXNlcjpzM2NyZXQ" not in shown
