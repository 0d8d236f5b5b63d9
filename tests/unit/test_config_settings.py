"""The settings as values: what they print, and what importing them costs."""

import subprocess
import sys

from proxy.config import OAuth, Secret, Settings, Upstream, load
from proxy.config.urls import parse_url


def test_a_secret_cannot_be_printed() -> None:
    """`repr`, `str` and formatting show stars; only `reveal` gives it."""
    secret = Secret("s3cret")
    assert "s3cret" not in f"{secret} {secret!r} {secret!s} {[secret]}"
    assert secret.reveal() == "s3cret"
    assert secret == Secret("s3cret")
    assert secret != Secret("other")
    assert secret != "s3cret"
    assert len({secret, Secret("s3cret")}) == 1


def test_settings_print_no_secret() -> None:
    """Neither the client secret, nor a proxy's password, nor what further parameters and header fields hold."""
    settings = Settings(
        upstream=Upstream(url=parse_url("https://api.example.com"), headers={"X-Api-Key": "s3cret"}),
        oauth=OAuth(
            client_id="id",
            client_secret=Secret("s3cret"),
            extra_params={"key": "s3cret"},
            proxy="http://user:s3cret@proxy:3128",
        ),
    )
    assert "s3cret" not in repr(settings)
    assert "client_id='id'" in repr(settings)
    assert "headers={}" in repr(Upstream(url=parse_url("https://api.example.com")))


def test_importing_the_configuration_is_cheap() -> None:
    """YAML, TLS and the standard library's HTTP are imported when they are needed; by environment alone, never."""
    program = """if True:
        import sys
        from proxy.config import load
        heavy = ("yaml", "ssl", "urllib.request", "jsonschema", "asyncio", "aiohttp", "difflib", "logging")
        load(None, {
            "OKTA_PROXY_UPSTREAM__URL": "https://api.example.com",
            "OKTA_PROXY_OAUTH__ISSUER": "https://dev-1.okta.com",
            "OKTA_PROXY_OAUTH__CLIENT_ID": "id",
            "OKTA_PROXY_OAUTH__CLIENT_SECRET": "s3cret",
        })
        print([name for name in heavy if name in sys.modules])
    """
    done = subprocess.run(  # our own interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_defaults_are_the_documented_ones() -> None:
    """The classes alone, without a file, have them too."""
    settings = load(
        None,
        {
            "OKTA_PROXY_UPSTREAM__URL": "https://api.example.com",
            "OKTA_PROXY_OAUTH__TOKEN_URL": "https://idp.example/token",
            "OKTA_PROXY_OAUTH__CLIENT_ID": "id",
            "OKTA_PROXY_OAUTH__CLIENT_SECRET": "s3cret",
        },
    ).settings
    oauth = OAuth(token_url="https://idp.example/token", client_id="id", client_secret=Secret("s3cret"))
    assert settings == Settings(upstream=Upstream(url=parse_url("https://api.example.com")), oauth=oauth)
