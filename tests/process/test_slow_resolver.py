"""A resolver that takes for ever does not keep the process from ending."""

import asyncio
import os
import signal
from pathlib import Path

from command import command, environment
from kit import GET, raw_client

from proxy.emulator import AuthorizationServer

ROOT = Path(__file__).parents[2]

STUCK = """
# Stands in for DNS in each Python process that has this folder on its path: whoever asks for a name waits.
import socket, threading

system = socket.getaddrinfo

def getaddrinfo(host, *arguments, **options):
    if host == "stuck.test":
        open("asked", "w").close()
        threading.Event().wait(120)
    return system(host, *arguments, **options)

socket.getaddrinfo = getaddrinfo
"""


async def test_a_look_up_under_way_does_not_keep_the_process(tmp_path: Path):
    """A request waits for DNS, SIGTERM comes, the drain ends: so does the process, with 0, long before the resolver."""
    (tmp_path / "sitecustomize.py").write_text(STUCK)
    async with AuthorizationServer(client_id="0oa1client", client_secret="the-client-secret-4711") as okta:
        environ = environment(
            "https://stuck.test",
            okta.token_url,
            PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]),
            OKTA_PROXY_LIFECYCLE__DRAIN="100ms",
        )
        async with command("run", environ=environ, cwd=tmp_path) as proxy, raw_client(proxy.url) as client:
            await client.send(GET)
            async with asyncio.timeout(20):
                while not (tmp_path / "asked").exists():  # noqa: ASYNC110 - another process makes it
                    await asyncio.sleep(0.01)  # a file of another process has no event here
            proxy.send(signal.SIGTERM)
            assert await asyncio.wait_for(proxy.ended(), 20) == 0
    assert '"error":"cut_at_drain_end"' in "".join(proxy.output)


async def test_nor_does_the_look_up_of_the_token_endpoint(tmp_path: Path):
    """The same where it is the token endpoint whose name is waited for."""
    (tmp_path / "sitecustomize.py").write_text(STUCK)
    environ = environment(
        "http://127.0.0.1:1",
        "https://stuck.test/token",
        PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]),
        OKTA_PROXY_LIFECYCLE__DRAIN="100ms",
    )
    async with command("run", environ=environ, cwd=tmp_path) as proxy:
        async with asyncio.timeout(20):
            while not (tmp_path / "asked").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)  # a file of another process has no event here
        proxy.send(signal.SIGTERM)
        assert await asyncio.wait_for(proxy.ended(), 20) == 0
