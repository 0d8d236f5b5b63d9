"""The machine's clocks, and the hand-moved one that stands in for them in the tests."""

import asyncio
import time

import pytest
from clocks import EPOCH, HandClock, settle

from proxy.tokens import clock as module
from proxy.tokens.clock import ServerTime, SystemClock


def test_the_boot_clock_never_jumps_back_and_counts_suspended_time():
    """On Linux it is CLOCK_BOOTTIME, which no one can set."""
    clock = SystemClock()
    assert clock.boot() <= clock.boot()
    if hasattr(time, "CLOCK_BOOTTIME"):
        assert abs(clock.boot() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_the_wall_clock_is_the_time_of_day():
    """Seconds since the epoch."""
    assert abs(SystemClock().wall() - time.time()) < 1


def test_on_macos_the_boot_clock_is_the_one_that_counts_sleep(monkeypatch):
    """CLOCK_MONOTONIC counts sleep there, and Python's `monotonic` reads another clock that does not."""
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert module._boot_clock_id() == time.CLOCK_MONOTONIC
    assert SystemClock().boot() == pytest.approx(time.monotonic(), abs=1)


def test_without_such_clocks_the_monotonic_one_must_do(monkeypatch):
    """Windows has no `clock_gettime`."""
    monkeypatch.setattr(module.sys, "platform", "win32")
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.delattr(time, "CLOCK_MONOTONIC")
    monkeypatch.delattr(time, "clock_gettime")
    assert SystemClock().boot() == pytest.approx(time.monotonic(), abs=1)


async def test_a_wait_ends_with_its_time():
    """Also at once, and without an error."""
    for seconds in (0.0, 0.01, -1.0):
        await SystemClock().wait(asyncio.Event(), seconds)


async def test_a_wait_ends_with_its_event():
    """An event that is set, before or meanwhile, ends an hour's wait."""
    event = asyncio.Event()
    waiting = asyncio.create_task(SystemClock().wait(event, 3600))
    await settle()
    assert not waiting.done()
    event.set()
    await waiting
    await SystemClock().wait(event, 3600)


async def test_a_wait_can_be_cancelled():
    """A cancellation goes through; it is not taken for the end of the time."""
    waiting = asyncio.create_task(SystemClock().wait(asyncio.Event(), 3600))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_hand_clock_fires_each_timer_at_its_moment():
    """Timers end in their order, at their own times, and only when time is moved."""
    clock = HandClock()
    ended = []

    async def nap(seconds):
        await clock.wait(asyncio.Event(), seconds)
        ended.append((seconds, round(clock.boot() - 5000, 3), round(clock.wall() - EPOCH, 3)))

    naps = [asyncio.create_task(nap(seconds)) for seconds in (3.0, 1.0, 2.0, 9.0)]
    await clock.asleep(4)
    assert (ended, clock.next_timer) == ([], 1.0)
    await clock.advance(5)
    assert ended == [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (3.0, 3.0, 3.0)]
    assert clock.sleepers == 1
    naps[3].cancel()
    await asyncio.wait(naps)
    assert clock.sleepers == 0


async def test_the_hand_clocks_timers_stand_still_while_the_machine_sleeps():
    """A suspend moves both clocks and no timer; setting the wall moves the wall alone."""
    clock = HandClock()
    event = asyncio.Event()
    nap = asyncio.create_task(clock.wait(event, 15))
    await clock.asleep(1)
    await clock.suspend(8 * 3600)
    assert (clock.boot(), clock.wall()) == (5000 + 8 * 3600, EPOCH + 8 * 3600)
    assert not nap.done()
    await clock.set_wall(-3600)
    assert (clock.boot(), clock.wall()) == (5000 + 8 * 3600, EPOCH + 7 * 3600)
    event.set()
    await nap


async def test_a_server_has_our_time_until_it_says_otherwise():
    """What was learned holds when our wall clock is set, back or forward, and while the machine sleeps."""
    clock = HandClock()
    server = ServerTime(clock)
    await clock.set_wall(7)
    assert server.now() == clock.wall()
    assert server.learn(clock.wall() - 90) == -90
    for change in (3600, -7200):
        before = server.now()
        await clock.set_wall(change)
        assert server.now() == before
    await clock.suspend(100)
    assert server.now() == before + 100
