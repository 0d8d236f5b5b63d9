"""`okta-proxy token`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment, output_of
from kit import CLIENT_ID, CLIENT_SECRET
from private_keys import make, pem, public_jwk
from strict_idp import StrictIdp
from token_servers import RawServer

from proxy.emulator import AuthorizationServer


def okta() -> AuthorizationServer:
    """Make the emulated Okta of these tests."""
    return AuthorizationServer(client_id=CLIENT_ID, client_secret=(CLIENT_SECRET,), scopes=("api.read",))


async def test_it_prints_the_token():
    """The bare token is all that is printed, so that a script can take it."""
    async with okta() as server:
        code, output = await output_of("token", environ=environment("https://api.example", server.token_url))
    assert code == 0
    assert output.count(".") == 2
    assert output.strip().isascii()
    assert len(output.splitlines()) == 1


async def test_it_prints_the_header_line():
    """`--header` gives the line that `curl -H @file` reads."""
    async with okta() as server:
        environ = environment("https://api.example", server.token_url)
        code, output = await output_of("token", "--header", environ=environ)
    assert code == 0
    assert output.startswith("Authorization: Bearer eyJ")


async def test_it_prints_the_claims():
    """`--claims` decodes the token, and shows no signature that could be used."""
    async with okta() as server:
        environ = environment("https://api.example", server.token_url)
        code, output = await output_of("token", "--claims", environ=environ)
    assert code == 0
    assert json.loads(output)["scp"] == ["api.read"]
    assert "eyJ" not in output


@pytest.mark.parametrize("shape", [(), ("--header",), ("--claims",)])
async def test_no_token_is_exit_3(shape: tuple[str, ...]):
    """A refusal is told with its cause and remedy, and nothing that could be taken for a token."""
    async with okta() as server:
        environ = environment("https://api.example", server.token_url, OKTA_PROXY_OAUTH__CLIENT_SECRET="wrong-secret")
        code, output = await output_of("token", *shape, environ=environ)
    assert code == 3
    assert "invalid_client" in output
    assert "oauth.client_secret" in output
    assert "wrong-secret" not in output


async def test_a_bound_token_comes_with_a_warning():
    """With DPoP the token is printed as it is asked for, and standard error says that nobody else can use it."""
    idp = StrictIdp(public_jwk(make("P-256")), dpop=True, nonce="n")
    async with RawServer(idp) as server:
        environ = environment("https://api.example", f"{server.url}/token", OKTA_PROXY_OAUTH__DPOP="true")
        del environ["OKTA_PROXY_OAUTH__CLIENT_SECRET"]
        environ["OKTA_PROXY_OAUTH__PRIVATE_KEY"] = pem(make("P-256")).decode().replace("\n", "\\n")
        code, output = await output_of("token", "--header", environ=environ)
        warning, header = sorted(output.splitlines(), key=lambda line: line.startswith("Authorization"))
        assert header == f"Authorization: DPoP {idp.tokens[0]}"
        assert "bound to a key" in warning
        assert (code, idp.errors) == (0, ["Authorization server requires nonce in DPoP proof."])


async def test_without_a_configuration_it_says_where_to_begin(tmp_path):
    """Nothing at all is configured: the demo and the example are named, as `run` does."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OKTA_PROXY_")}
    code, output = await output_of("token", environ=environ, cwd=tmp_path)
    assert code == 2
    assert "okta-proxy demo" in output
    assert "config.example.yaml" in output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [("schema",), ("check", "--offline")])
def test_output_that_cannot_be_written_is_one_line(arguments: tuple[str, ...]):
    """A full disk is told in a line with exit code 1, and no traceback."""
    environ = environment("https://api.example", "https://tokens.example/token")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "proxy", *arguments],
            env=environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert done.stderr == "okta-proxy: the output cannot be written: No space left on device\n"
