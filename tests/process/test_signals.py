"""How the process ends: drained, or at once."""

import asyncio
import contextlib
import signal
import urllib.request

import pytest
from command import Command, command, environment
from kit import GET, OK, RawConnection, RawUpstream, raw_client

TOKEN = b'{"access_token":"tok-1","token_type":"Bearer","expires_in":3600}'


class Held:
    """A token endpoint and an upstream in one; `/slow` waits until `release` is set."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            head = await upstream.request(connection)
            if head.startswith(b"POST /token"):
                await connection.exactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(TOKEN), TOKEN))
            elif head.startswith(b"GET /slow"):
                self.arrived.set()
                await self.release.wait()
                await connection.send(OK)
            else:
                await connection.send(OK)


SLOW = GET.replace(b"/ ", b"/slow ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains(number: signal.Signals):
    """SIGTERM and SIGINT let the request in flight finish, say so to its client, and exit 0."""
    held = Held()
    async with (
        RawUpstream(held) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
        raw_client(proxy.url) as client,
    ):
        await client.send(SLOW)
        await held.arrived.wait()
        proxy.send(number)
        await proxy.event("stopping")
        held.release.set()
        status, headers, body = await client.response()
        assert (status, body) == (200, b"ok")
        assert ("Connection", "close") in headers
        assert await proxy.ended() == 0
        assert '"event":"stopped"' in "".join(proxy.output)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_the_second_signal_exits_at_once(number: signal.Signals, code: int):
    """A second signal does not wait for the request in flight."""
    held = Held()
    async with (
        RawUpstream(held) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
        raw_client(proxy.url) as client,
    ):
        await client.send(SLOW)
        await held.arrived.wait()
        proxy.send(number)
        await proxy.event("stopping")
        proxy.send(number)
        assert await proxy.ended() == code


async def test_a_hangup_without_a_terminal_is_ignored():
    """SIGHUP does not end a proxy that runs under a supervisor."""
    async with (
        RawUpstream(Held()) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
    ):
        proxy.send(signal.SIGHUP)
        async with raw_client(proxy.url) as client:
            await client.send(GET)
            assert (await client.response())[0] == 200


def post(url: str) -> int:
    """POST nothing to *url* and return the status."""
    with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:  # noqa: S310 - our own URL
        return int(answer.status)


async def test_quitquitquit_drains():
    """A POST to the admin listener ends the process as SIGTERM does."""
    async with (
        RawUpstream(Held()) as upstream,
        command("run", environ=environment(upstream.url, upstream.url + "/token")) as proxy,
    ):
        assert await asyncio.to_thread(post, proxy.admin_url + "/quitquitquit") in {200, 202}
        assert await proxy.ended() == 0


async def killed(proxy: Command) -> None:
    """End the process as `kill -9` does."""
    proxy.process.kill()
    await proxy.process.wait()


async def test_a_killed_proxy_cuts_and_its_successor_binds():
    """After kill -9 in mid-request the client sees a cut, and a new process gets the same port at once."""
    held = Held()
    async with RawUpstream(held) as upstream:
        environ = environment(upstream.url, upstream.url + "/token")
        async with command("run", environ=environ) as proxy, raw_client(proxy.url) as client:
            await client.send(SLOW)
            await held.arrived.wait()
            await killed(proxy)
            with contextlib.suppress(ConnectionResetError):
                assert await client.rest() == b""
            port = proxy.url.rsplit(":", 1)[1]
        async with command("run", "--port", port, environ=environ) as proxy:
            assert proxy.url.endswith(":" + port)
