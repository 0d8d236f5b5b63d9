"""What the process costs: bounded memory whatever is transferred, and cheap probes. Sizes, never times of the clock."""

import asyncio
import resource
import sys

import pytest
from command import Command, command, environment
from kit import GET, RawConnection, RawUpstream, raw_client

if sys.platform != "linux":
    pytest.skip("memory is read from /proc", allow_module_level=True)

MIB = 1024 * 1024
TOKEN = b'{"access_token":"tok-1","token_type":"Bearer","expires_in":3600}'
BLOCK = b"x" * 65536


class Bulk:
    """Gives a token, 400 MiB for a GET, and counts what a POST brings."""

    size = 400 * MIB

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.blocked = asyncio.Event()

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            head = await upstream.request(connection)
            length = int([*head.lower().split(b"content-length: "), b"0\r\n"][1].split(b"\r\n")[0])
            if head.startswith(b"POST /token"):
                await connection.exactly(length)
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(TOKEN), TOKEN))
            elif head.startswith(b"POST"):
                while self.received < length:
                    self.received += len(await connection.reader.read(MIB))
                await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                await self._send(connection)

    async def _send(self, connection: RawConnection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.size)
        while self.sent < self.size:
            writing = asyncio.ensure_future(connection.send(BLOCK))
            done, _ = await asyncio.wait({writing}, timeout=0.5)
            if not done:
                self.blocked.set()
                await writing
            self.sent += len(BLOCK)


async def warm(proxy: Command) -> int:
    """Let one small request through and return the memory in use then."""
    async with raw_client(proxy.url) as client:
        await client.send(b"POST /warm HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert (await client.response())[0] == 204
    return proxy.memory()


async def test_an_idle_proxy_is_small():
    """At most 55 MB are resident before and after the first request."""
    async with (
        RawUpstream(Bulk()) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
    ):
        assert await warm(proxy) <= 55_000_000


async def test_a_large_download_does_not_grow_it():
    """400 MiB pass through less than 24 MB."""
    bulk = Bulk()
    async with (
        RawUpstream(bulk) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
    ):
        before = await warm(proxy)
        async with raw_client(proxy.url) as client:
            await client.send(GET)
            await client.head()
            left = bulk.size
            while left:
                left -= len(await client.reader.read(MIB))
        assert proxy.memory("VmHWM") - before < 24_000_000


async def test_a_client_that_does_not_read_holds_the_upstream_back():
    """The upstream is blocked after some megabytes, and the proxy holds less than 24 MB of them."""
    bulk = Bulk()
    async with (
        RawUpstream(bulk) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
    ):
        before = await warm(proxy)
        async with raw_client(proxy.url) as client:
            client.writer.transport.pause_reading()
            await client.send(GET)
            await bulk.blocked.wait()
            assert bulk.sent < 40 * MIB
            assert proxy.memory() - before < 24_000_000


async def test_a_large_upload_does_not_grow_it():
    """200 MiB go up through less than 24 MB."""
    bulk = Bulk()
    size = 200 * MIB
    async with (
        RawUpstream(bulk) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
    ):
        before = await warm(proxy)
        async with raw_client(proxy.url) as client:
            await client.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(BLOCK)):
                await client.send(BLOCK)
            assert (await client.response())[0] == 204
        assert bulk.received == size
        assert proxy.memory("VmHWM") - before < 24_000_000


async def test_a_health_probe_is_cheap():
    """`okta-proxy health` takes at most 0.15 s of CPU, the interpreter's start included."""
    async with (
        RawUpstream(Bulk()) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
    ):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy", "health", "--url", proxy.admin_url
        )
        assert await process.wait() == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= 0.15
