"""What a process does not load: cryptography and joserfc take 14 MB, which a proxy with a plain secret does without."""

import subprocess
import sys

import pytest
from command import environment
from private_keys import make, pem

HEAVY = ("cryptography", "joserfc")
KEY = {"OKTA_PROXY_OAUTH__CLIENT_SECRET": "", "OKTA_PROXY_OAUTH__PRIVATE_KEY": pem(make("P-256")).decode()}
SIGNED = {
    "OKTA_PROXY_OAUTH__CLIENT_SECRET": "x" * 32,
    "OKTA_PROXY_OAUTH__AUTH_METHOD": "client_secret_jwt",
}

PROGRAM = """if True:
    import asyncio, os, sys
    from proxy.app import App
    from proxy.cli import run
    from proxy.config import load

    async def serve():
        async with App(load(None, os.environ).settings, environ={}) as app:
            # Nobody listens at the token endpoint, so the first fetch has gone its whole way.
            await app.tokens.first_result(10)
            app.stop()
            await app.run()

    asyncio.run(serve())
    print(*(name for name in ("cryptography", "joserfc") if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("keys", "loaded"),
    [
        ({}, ""),
        ({"OKTA_PROXY_OAUTH__AUTH_METHOD": "client_secret_basic"}, ""),
        (SIGNED, ""),
        (KEY, "cryptography"),
        ({"OKTA_PROXY_OAUTH__DPOP": "true"}, "cryptography"),
    ],
    ids=["secret", "basic", "client_secret_jwt", "private_key_jwt", "DPoP"],
)
def test_what_is_loaded_is_what_is_needed(keys: dict[str, str], loaded: str):
    """The whole proxy, from its configuration to the end of a token request."""
    environ = environment("http://127.0.0.1:1", "http://127.0.0.1:1/token", **keys)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == loaded
