"""Real tools call through the real command: what a legacy tool sends just works."""

import asyncio
import hashlib
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from command import Command, command, environment, tool
from kit import CLIENT_ID, CLIENT_SECRET, raw_client

from proxy.emulator import AuthorizationServer, EchoApi


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Command, EchoApi]]:
    """Run the command before an emulated Okta and its echo API."""
    async with (
        AuthorizationServer(client_id=CLIENT_ID, client_secret=(CLIENT_SECRET,), scopes=("api.read",)) as okta,
        EchoApi(okta, required_scope="api.read") as api,
        command("run", environ=environment(api.base_url, okta.token_url)) as proxy,
    ):
        yield proxy, api


def needs(name: str) -> str:
    """Return the program's path, or skip."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


async def test_curl():
    """Curl gets the API's answer, although it sends a Basic header of its own."""
    async with proxied() as (proxy, _):
        code, output = await tool(needs("curl"), "-sS", "-u", "user:password", proxy.url + "/hello?x=%41&y=a+b")
        assert code == 0
        answer = json.loads(output)
        assert answer["path"] == "/hello?x=%41&y=a+b"
        assert answer["token"]["scp"] == ["api.read"]


async def test_curl_uploads_with_expect():
    """Curl's large upload, which asks for 100-continue, arrives whole."""
    body = bytes(range(256)) * 8192
    async with proxied() as (proxy, _):
        process = await asyncio.create_subprocess_exec(
            needs("curl"), "-sS", "-H", "Expect: 100-continue", "--data-binary", "@-", proxy.url + "/up",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await process.communicate(body)
        assert json.loads(output)["body"]["sha256"] == hashlib.sha256(body).hexdigest()


async def test_wget():
    """Wget gets the API's answer."""
    async with proxied() as (proxy, _):
        code, output = await tool(needs("wget"), "-q", "-O", "-", proxy.url + "/hello")
        assert (code, json.loads(output)["method"]) == (0, "GET")


async def test_urllib():
    """Python's own client gets the API's answer."""
    program = "import urllib.request,sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
    async with proxied() as (proxy, _):
        code, output = await tool(sys.executable, "-c", program, proxy.url + "/hello")
        assert (code, json.loads(output)["path"]) == (0, "/hello")


async def test_a_tool_that_only_knows_http_proxy():
    """With http_proxy set to us, a call to the API's own address gets its token too."""
    async with proxied() as (proxy, api):
        code, output = await tool(needs("curl"), "-sS", "--noproxy", "", "-x", proxy.url, api.base_url + "/hello")
        assert (code, json.loads(output)["path"]) == (0, "/hello")


async def test_http_1_0_typed_by_hand():
    """A request of HTTP/1.0 without any header is answered, and the connection ends."""
    async with proxied() as (proxy, _), raw_client(proxy.url) as client:
        await client.send(b"GET /hello HTTP/1.0\r\n\r\n")
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["path"] == "/hello"
