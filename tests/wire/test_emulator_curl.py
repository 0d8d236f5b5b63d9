"""The calls that people make by hand: the token request and the API call with curl, and the example of the docs."""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from proxy.emulator import AuthorizationServer, EchoApi

DOCS = Path(__file__).parents[2] / "docs" / "emulator.md"


async def run(*command, cwd):
    """The standard output of a command that succeeds and says nothing on standard error."""
    # No proxy and no ~/.curlrc of whoever runs the tests.
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "NO_PROXY": "*", "PYTHONPATH": str(DOCS.parents[1])}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_documented_curl_calls_work(tmp_path):
    """The token request with the credentials in the body, then the API call with the token, as people type them."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    async with (
        AuthorizationServer(
            client_id="your_client_id", client_secret="your_client_secret", scopes=("api.read",)
        ) as okta,
        EchoApi(okta, required_scope="api.read") as api,
    ):
        answer = await run(
            curl,
            "-X",
            "POST",
            f"{okta.base_url}/oauth2/default/v1/token",
            "-H",
            "Content-Type: application/x-www-form-urlencoded",
            "-d",
            "client_id=your_client_id&client_secret=your_client_secret&grant_type=client_credentials&scope=api.read",
            cwd=tmp_path,
        )
        body = json.loads(answer)
        assert (body["token_type"].lower(), body["expires_in"], body["scope"]) == ("bearer", 3600, "api.read")
        answer = await run(
            curl,
            "-X",
            "GET",
            f"{api.base_url}/resource",
            "-H",
            f"Authorization: Bearer {body['access_token']}",
            cwd=tmp_path,
        )
        echoed = json.loads(answer)
        assert (echoed["method"], echoed["path"], echoed["token"]["scp"]) == ("GET", "/resource", ["api.read"])
        assert (okta.token_requests[0].method, api.requests[0].status) == ("client_secret_post", 200)


async def test_the_docs_example_prints_what_the_docs_say(tmp_path):
    """The Python program on the emulator's page runs and prints the block below it."""
    page = DOCS.read_text()
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    printed = re.search(r"prints\n\n```\n(.*?)```", page, re.DOTALL)[1]
    assert await run(sys.executable, "-W", "error", "-c", program, cwd=tmp_path) == printed
