"""When the refresher's loop ends by itself the process goes down with it, loudly: the token would run out."""

import asyncio

import pytest
from clocks import HandClock, logs, scene
from kit import GET, OK, FixedTokens, RawUpstream, always, ask, running, settings

from proxy.app import App
from proxy.errors import StartError


class BrokenClock(HandClock):
    """A clock whose boot time cannot be read any more once it is broken."""

    broken = False

    def boot(self):
        if self.broken:
            raise OSError("the clock is gone")
        return super().boot()


async def test_the_app_ends_with_an_error_when_the_loop_dies():
    """`run` raises, and the log has the reason with its traceback."""
    clock = BrokenClock()
    with logs() as log:
        async with App(settings("http://127.0.0.1:1"), environ={}, clock=clock) as app:
            serving = asyncio.create_task(app.run())
            await clock.asleep(1)
            assert not serving.done()
            clock.broken = True
            await clock.advance(30)
            with pytest.raises(StartError, match="refresher ended by itself"):
                await serving
    (entry,) = [entry for entry in log if entry["event"] == "refresher_died"]
    assert entry["log_level"] == "error"
    assert isinstance(entry["exc_info"], OSError)


async def test_a_failure_to_fetch_is_no_death():
    """However often and however badly fetching fails, the app goes on serving."""
    async with scene(oauth={"client_id": "0oa1unknown"}) as it:
        serving = asyncio.create_task(it.app.run())
        for _ in range(5):
            await it.pass_time(61)
            assert (await ask(it.app, GET))[0] == 502
        assert it.okta.token_requests.total >= 5
        assert not serving.done()
        serving.cancel()
        await asyncio.wait({serving})


async def test_a_cancelled_refresher_is_a_dead_one():
    """Whoever cancels the refresher's task ends the process, with the reason."""
    async with scene() as it:
        serving = asyncio.create_task(it.app.run())
        await asyncio.sleep(0)
        assert it.app._refreshing is not None
        it.app._refreshing.cancel()
        with pytest.raises(StartError):
            await serving


async def test_a_stop_is_no_death():
    """`stop` ends `run` without an error."""
    async with scene() as it:
        serving = asyncio.create_task(it.app.run())
        it.app.stop()
        assert await serving is None


async def test_without_a_refresher_nothing_can_die():
    """With a token source of another making the app runs until it is stopped."""
    async with RawUpstream(always(OK)) as upstream, running(settings(upstream.url), FixedTokens()) as app:
        serving = asyncio.create_task(app.run())
        assert (await ask(app, GET))[0] == 200
        assert not serving.done()
        serving.cancel()
        await asyncio.wait({serving})
