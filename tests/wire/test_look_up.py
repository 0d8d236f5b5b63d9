"""How the upstream's name becomes an address: asked anew for each connection, and never in the way of anything."""

import asyncio
import socket
import threading
from typing import Any

import pytest
from kit import OK, RawUpstream, always, every_loop, settled
from pools import NONE, exchange, pool_for

from proxy.errors import UpstreamError
from proxy.off_loop import Shared, in_thread


class Resolver:
    """Stands in for the system's: gives the *ports* of this machine one after the other, the last for ever."""

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        self.asked: list[tuple[str, int]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append((host, port))
        assert self.may_answer.wait(30)
        if not self.ports:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        found = self.ports.pop(0) if len(self.ports) > 1 else self.ports[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", found))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Give the resolver that everybody asks."""
    mine = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", mine)
    return mine


@every_loop
async def test_each_connection_asks_anew(resolver: Resolver):
    """A name that moves to another address is followed without a restart."""
    async with (
        RawUpstream(always(OK)) as old,
        RawUpstream(always(OK)) as new,
        pool_for("http://api.test:8000") as pool,
    ):
        resolver.ports = [old.port, new.port]
        for _ in range(2):
            await exchange(await pool.connect())
        assert (old.connections, new.connections) == (1, 1)
        assert resolver.asked == [("api.test", 8000)] * 2


@every_loop
async def test_all_who_connect_at_a_time_ask_once(resolver: Resolver):
    """However many wait for a slow resolver, it is asked once; who leaves takes the answer from nobody."""
    resolver.may_answer.clear()
    async with RawUpstream(always(OK)) as upstream, pool_for("http://api.test:8000") as pool:
        resolver.ports = [upstream.port]
        tasks = [asyncio.ensure_future(pool.connect()) for _ in range(10)]
        await settled(lambda: resolver.asked)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        resolver.may_answer.set()
        assert len(set(await asyncio.gather(*tasks[1:]))) == 9
        assert len(resolver.asked) == 1


@every_loop
async def test_a_resolver_that_fails_is_asked_again(resolver: Resolver):
    """A failure is `dns_error` for this connection, and the next one asks anew."""
    async with RawUpstream(always(OK)) as upstream, pool_for("http://api.test:8000") as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.connect()
        assert caught.value.proxy_status == "dns_error"
        resolver.ports = [upstream.port]
        assert await exchange(await pool.connect()) == b"ok"


@every_loop
async def test_a_resolver_that_hangs_is_left_behind(resolver: Resolver):
    """The look-up is within `upstream.connect_timeout`, and what the resolver says later disturbs nobody."""
    resolver.may_answer.clear()
    async with pool_for("http://api.test:8000", connect_timeout=0.05) as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.connect()
        assert caught.value.proxy_status == "connection_timeout"
        assert pool.counts() == NONE
    resolver.may_answer.set()
    await settled(lambda: not [one for one in threading.enumerate() if one.name == "resolver"])


@every_loop
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_needs_no_resolver(resolver: Resolver, host: str):
    """What is an address already is not asked for."""
    async with RawUpstream(always(OK), host=host) as upstream, pool_for(upstream.url) as pool:
        assert await exchange(await pool.connect()) == b"ok"
        assert resolver.asked == []


def test_a_resolver_does_not_keep_the_loop_from_ending(resolver: Resolver):
    """The loop ends though the resolver has not answered yet; its late answer finds no loop, which is all right."""
    resolver.may_answer.clear()

    async def main() -> None:
        async with pool_for("http://api.test:8000") as pool:
            task = asyncio.ensure_future(pool.connect())
            await settled(lambda: resolver.asked)
            task.cancel()

    asyncio.run(main())
    (thread,) = [one for one in threading.enumerate() if one.name == "resolver"]
    assert thread.daemon
    resolver.may_answer.set()
    thread.join(10)
    assert not thread.is_alive()


async def test_no_more_threads_is_a_failure_like_others(monkeypatch: pytest.MonkeyPatch):
    """Where no thread can be started the connection fails, and nothing else."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OSError, match="no more threads"):
        await in_thread(lambda: 1, "test")
    async with pool_for("http://api.test:8000") as pool:
        with pytest.raises(UpstreamError):
            await pool.connect()


async def test_who_asks_after_the_answer_gets_a_new_one():
    """Only what is under way is shared, and whatever the work raises is raised."""
    results = iter([1, 2])
    shared = Shared(lambda: next(results), "test")
    assert await asyncio.gather(shared.result(), shared.result()) == [1, 1]
    assert await shared.result() == 2
    broken = Shared(lambda: 1 // 0, "test")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await broken.result()
