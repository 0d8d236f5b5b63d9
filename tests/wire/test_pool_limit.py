"""`upstream.connections`: who waits for a connection, who gets it, and that no turn is ever lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from kit import OK, RawConnection, RawUpstream, always, every_loop, settled
from pools import NONE, exchange, pool_for

from proxy.errors import TooBusyError, UpstreamError
from proxy.forwarding.pool import Pool
from proxy.forwarding.upstream import UpstreamConnection

Taking = asyncio.Task[UpstreamConnection]


async def holding(pool: Pool) -> UpstreamConnection:
    """Take a connection as a request does, and use it, so that it is clean when it comes back."""
    connection = pool.take_idle() or await pool.connect()
    assert await exchange(connection) == b"ok"
    return connection


async def queued(pool: Pool, *, new: bool = False) -> Taking:
    """Ask for a connection, and return when that waits in the line."""
    before = pool.counts()["waiting"]
    task = asyncio.ensure_future(pool.connect(new=new))
    await settled(lambda: pool.counts()["waiting"] == before + 1)
    return task


async def cancelled(task: Taking) -> None:
    """See that a task was cancelled, and gave nothing."""
    with pytest.raises(asyncio.CancelledError):
        await task


@every_loop
async def test_who_comes_first_gets_the_first_that_is_given_back():
    """No more connections than the limit; those who wait get clean ones in their order, and the same ones."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=2) as pool:
        one, two = await holding(pool), await holding(pool)
        waiting = [await queued(pool) for _ in range(3)]
        assert pool.counts() == NONE | {"active": 2, "waiting": 3}
        assert repr(pool).endswith("[2 active, 0 idle, 0 connecting, 3 waiting]>")
        pool.release(two)
        assert await waiting[0] is two
        pool.release(one)
        assert await waiting[1] is one
        assert await exchange(one) == b"ok"
        pool.release(one)
        assert await waiting[2] is one
        assert pool.counts() == NONE | {"active": 2}
        assert upstream.connections == 2


@every_loop
async def test_one_that_is_closed_makes_room_for_a_new_one():
    """Who waits opens a connection in the room of one that was not clean."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        connection = await pool.connect()
        waiting = await queued(pool)
        pool.release(connection)
        assert not connection.is_open
        other = await waiting
        assert other is not connection
        assert await exchange(other) == b"ok"
        assert upstream.connections == 2


async def test_nobody_who_comes_later_is_served_before():
    """While somebody waits, a newcomer finds nothing idle and stands at the end of the line."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        connection = await holding(pool)
        first = await queued(pool)
        pool.release(connection)
        # The first has its connection already, though its task has not run yet.
        assert pool.take_idle() is None
        second = asyncio.ensure_future(pool.connect())
        assert await first is connection
        assert await exchange(connection) == b"ok"
        assert pool.counts() == NONE | {"active": 1, "waiting": 1}
        pool.release(connection)
        assert await second is connection


async def test_a_newcomer_stands_behind_who_waits_although_there_is_room():
    """A connection that died while it was in use makes room that nobody saw yet: it is the first's."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        dead = await holding(pool)
        first = await queued(pool)
        dead.abort()
        second = asyncio.ensure_future(pool.connect())
        connection = await first
        assert pool.counts() == NONE | {"active": 2, "waiting": 1}
        pool.release(dead)
        assert pool.counts() == NONE | {"active": 1, "waiting": 1}
        assert await exchange(connection) == b"ok"
        pool.release(connection)
        assert await second is connection


@every_loop
async def test_who_waits_too_long_is_told_the_key():
    """After `upstream.connect_timeout` it is `too_busy`, and the line is as if nobody had stood there."""
    async with (
        RawUpstream(always(OK)) as upstream,
        pool_for(upstream.url, connections=1, connect_timeout=0.3) as pool,
    ):
        connection = await holding(pool)
        with pytest.raises(TooBusyError, match=r"upstream\.connections") as caught:
            await pool.connect()
        assert (caught.value.status, caught.value.code) == (503, "too_busy")
        assert caught.value.proxy_status == "connection_limit_reached"
        assert pool.counts() == NONE | {"active": 1}
        pool.release(connection)
        assert pool.take_idle() is connection


async def silent(_: RawUpstream, connection: RawConnection) -> None:
    """Accept, and say nothing."""
    await connection.rest()


@every_loop
async def test_waiting_and_connecting_have_one_time_together():
    """Who waited most of the time has little left to connect; then it is the upstream that did not answer in time."""
    async with (
        RawUpstream(silent) as upstream,
        pool_for(f"https://127.0.0.1:{upstream.port}", connections=1, connect_timeout=0.5) as pool,
    ):
        loop = asyncio.get_running_loop()
        started = loop.time()
        first = asyncio.ensure_future(pool.connect())
        await settled(lambda: pool.counts()["connecting"])
        second = await queued(pool)
        results = await asyncio.gather(first, second, return_exceptions=True)
        # With a time for each it would be a second.
        assert loop.time() - started < 0.95
        codes = [result.code for result in results if isinstance(result, UpstreamError | TooBusyError)]
        assert codes[0] == "upstream_timeout"
        # The second got its turn at the very end of its own time, or just missed it.
        assert codes[1] in {"upstream_timeout", "too_busy"}
        assert pool.counts() == NONE


@every_loop
async def test_a_failure_to_connect_is_the_next_ones_turn():
    """Who could not connect frees the room, and the next tries for itself."""
    async with RawUpstream(silent) as upstream, pool_for(upstream.url.replace("http", "https"), connections=1) as pool:
        first = asyncio.ensure_future(pool.connect())
        await settled(lambda: upstream.connections == 1)
        second, third = await queued(pool), await queued(pool)
        assert pool.counts() == NONE | {"connecting": 1, "waiting": 2}
        for number, task in enumerate((first, second, third), 1):
            await settled(lambda number=number: upstream.connections == number)
            for client in upstream._tasks:
                client.cancel()
            with pytest.raises(UpstreamError):
                await task
        assert pool.counts() == NONE


# Cancellation at each await.


async def test_who_is_cancelled_in_the_line_leaves_it():
    """The next one takes its place."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        connection = await holding(pool)
        first, second = await queued(pool), await queued(pool)
        first.cancel()
        # It is cancelled, but its task has not run yet.
        pool.release(connection)
        assert await second is connection
        await cancelled(first)
        assert pool.counts() == NONE | {"active": 1}
        for _ in range(3):
            task = await queued(pool)
            task.cancel()
            await cancelled(task)
        assert not pool._line


@pytest.mark.parametrize("others", [0, 1])
async def test_who_is_cancelled_when_it_is_given_a_connection_gives_it_on(others: int):
    """Given and cancelled in one turn of the loop: the next one gets the connection, or it is idle."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        connection = await holding(pool)
        first = await queued(pool)
        rest = [await queued(pool) for _ in range(others)]
        pool.release(connection)
        first.cancel()
        await cancelled(first)
        for task in rest:
            assert await task is connection
        assert pool.counts() == NONE | ({"active": 1} if others else {"idle": 1})


@pytest.mark.parametrize("others", [0, 1])
async def test_who_is_cancelled_when_it_may_connect_lets_the_next(others: int):
    """The right to open a connection, given and not taken, is the next one's."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        dirty = await pool.connect()
        first = await queued(pool)
        rest = [await queued(pool) for _ in range(others)]
        pool.release(dirty)
        assert pool.counts()["connecting"] == 1
        first.cancel()
        await cancelled(first)
        for task in rest:
            assert await exchange(await task) == b"ok"
        assert pool.counts() == NONE | {"active": others}
        if not others:
            assert await holding(pool)


@every_loop
async def test_who_is_cancelled_while_it_connects_lets_the_next():
    """A dial that is given up frees its room."""
    async with RawUpstream(silent) as upstream, pool_for(upstream.url.replace("http", "https"), connections=1) as pool:
        first = asyncio.ensure_future(pool.connect())
        await settled(lambda: upstream.connections == 1)
        second = await queued(pool)
        first.cancel()
        await cancelled(first)
        await settled(lambda: upstream.connections == 2)
        assert pool.counts() == NONE | {"connecting": 1}
        second.cancel()
        await cancelled(second)
        assert pool.counts() == NONE


# Connections that die on the way, and new ones.


@pytest.mark.parametrize("end", ["closed", "spoke"])
async def test_a_connection_that_dies_while_it_is_handed_over_is_replaced(end: str):
    """What is not clean any more when its new owner runs is closed, and a new one opened in its room."""
    go = asyncio.Event()

    async def script(upstream: RawUpstream, connection: RawConnection) -> None:
        await upstream.request(connection)
        await connection.send(OK)
        if upstream.connections > 1:
            await connection.rest()
            return
        await go.wait()
        if end == "spoke":
            await connection.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            await connection.ending()

    async with RawUpstream(script) as upstream, pool_for(upstream.url, connections=1) as pool:
        connection = await holding(pool)
        waiting = await queued(pool)
        go.set()
        # The loop has not read it yet: only the socket knows.
        await settled(lambda: not connection.is_ready())
        pool.release(connection)
        other = await waiting
        assert other is not connection
        assert await exchange(other) == b"ok"
        assert pool.counts() == NONE | {"active": 1}


async def test_the_room_of_one_that_died_in_between_may_be_taken():
    """Who was given a dead connection stands in front again when a newcomer has its room: never one too many."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        connection = await holding(pool)
        first = await queued(pool)
        second = await queued(pool)
        pool.release(connection)
        connection.abort()
        newcomer = asyncio.ensure_future(pool.connect())
        tasks = {first, second, newcomer}
        order = []
        while tasks:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            (task,) = done
            order.append(task)
            assert pool._open() == 1
            taken = task.result()
            assert await exchange(taken) == b"ok"
            pool.release(taken)
        assert order == [first, second, newcomer]


async def test_who_wants_a_new_one_gets_the_room_of_a_used_one():
    """For a request that must not meet a dying connection a used one is closed, whether idle or given back."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        used = await holding(pool)
        waiting = await queued(pool, new=True)
        pool.release(used)
        fresh = await waiting
        assert fresh is not used
        assert not used.is_open
        assert fresh.exchanges == 0
        assert await exchange(fresh) == b"ok"
        pool.release(fresh)
        assert pool.counts() == NONE | {"idle": 1}
        another = await pool.connect(new=True)
        assert another.exchanges == 0
        assert pool.counts() == NONE | {"active": 1}


async def test_an_idle_one_is_taken_rather_than_waited_for():
    """Who asks for a connection while all are open and one is idle gets that one."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        connection = await holding(pool)
        pool.release(connection)
        assert await pool.connect() is connection
        assert upstream.connections == 1


async def test_dead_idle_ones_take_no_room():
    """An idle connection that the upstream closed is in nobody's way, not even before it is noticed."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=2) as pool:
        dead, alive = await holding(pool), await holding(pool)
        pool.release(alive)
        pool.release(dead)
        dead.abort()
        taken = await pool.connect(new=True)
        assert taken not in {dead, alive}
        assert alive.is_open
        assert pool.counts() == NONE | {"active": 1, "idle": 1}


async def test_without_the_key_nobody_waits():
    """By default every request that finds nothing idle opens a connection."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url) as pool:
        made = await asyncio.gather(*(pool.connect() for _ in range(20)))
        assert len(set(made)) == 20
        assert pool.counts() == NONE | {"active": 20}


@every_loop
async def test_closing_the_pool_fails_who_waits_and_who_connects():
    """Nobody is left waiting, and no connection comes up afterwards."""
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=1) as pool:
        connecting = asyncio.ensure_future(pool.connect())
        waiting = asyncio.ensure_future(pool.connect())
        await asyncio.sleep(0)
        assert pool.counts() == NONE | {"connecting": 1, "waiting": 1}
        pool.close()
        for task in (connecting, waiting):
            with pytest.raises(UpstreamError):
                await task
        assert pool.counts() == NONE


@every_loop
@pytest.mark.parametrize("seed", range(4))
async def test_no_turn_is_lost_whatever_happens(seed: int):
    """Requests end well, end badly, die, are cancelled: the limit holds, and all of it is free at the end."""
    limit, chance = 3, random.Random(seed)  # noqa: S311 - repeatable, not secret
    async with RawUpstream(always(OK)) as upstream, pool_for(upstream.url, connections=limit) as pool:

        async def request() -> None:
            connection = pool.take_idle() or await pool.connect(new=chance.random() < 0.1)
            try:
                assert pool._open() <= limit
                fate = chance.random()
                if fate < 0.7:
                    assert await exchange(connection) == b"ok"
                elif fate < 0.8:
                    connection.abort()
                    await asyncio.sleep(0)
            finally:
                pool.release(connection)
                assert pool._open() <= limit

        await run_and_cancel(request, 300, chance)
        assert pool.counts()["waiting"] == pool.counts()["connecting"] == pool.counts()["active"] == 0
        taken = [await asyncio.wait_for(pool.connect(), 5) for _ in range(limit)]
        assert len(set(taken)) == limit


async def run_and_cancel(request: Callable[[], Awaitable[None]], count: int, chance: random.Random) -> None:
    """Run *count* requests at a time, a third of which are cancelled some turns of the loop later."""
    tasks = [asyncio.ensure_future(request()) for _ in range(count)]
    for task in chance.sample(tasks, count // 3):
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert result is None or isinstance(result, asyncio.CancelledError), result
