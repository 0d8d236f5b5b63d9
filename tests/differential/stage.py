"""A running proxy, to which the examples of a property come one after the other: after each it is as before."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from kit import LOOPS, FixedTokens, RawUpstream, Script, fetch, get, proxied, settled
from promise_kit import logged

from proxy.app import App

T = TypeVar("T")
HANGS = 3.0
"""Seconds for an example, which nothing holds up."""
GOOD = get(b"/good", b"Connection: close")


class Stage:
    """The proxy before an upstream, on a loop of their own."""

    def __init__(self, runner: asyncio.Runner, app: App, upstream: RawUpstream) -> None:
        self._runner = runner
        self.app = app
        self.upstream = upstream
        self.host = b"127.0.0.1:%d" % upstream.port
        self._unseen: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: self._unseen.append(context))
        self._tasks = self._ours()

    def run(self, example: Coroutine[Any, Any, T], seconds: float = HANGS) -> T:
        """
        Run *example*, which takes so many *seconds* at most, and return what it returns.

        Behind it the proxy serves a good request, has no task more than before, and nobody missed an exception.
        """
        return self._runner.run(self._run(example, seconds))

    async def _run(self, example: Coroutine[Any, Any, T], seconds: float) -> T:
        async with asyncio.timeout(seconds):
            result = await example
            good = await fetch(self.app, GOOD)
            assert good.value(b"x-seen") == b"GET /good", good
            await settled(lambda: self._ours() <= self._tasks)
        unseen, self._unseen = self._unseen, []
        assert unseen == [], unseen
        return result

    def _ours(self) -> int:
        """Return how many tasks there are that are neither the upstream's nor the one that asks."""
        loop = self._runner.get_loop()
        return len(asyncio.all_tasks(loop) - self.upstream._tasks - {asyncio.current_task(loop)})


@contextlib.contextmanager
def stage(script: Script, *tokens: str, **overrides: dict[str, Any]) -> Iterator[Stage]:
    """Run the proxy before an upstream with *script*, on the loop that the command uses. No exception may be logged."""
    with logged("warning") as log, asyncio.Runner(loop_factory=LOOPS["uvloop"]) as runner:
        running = proxied(script, FixedTokens("token-1", *tokens), **overrides)
        app, upstream = runner.run(running.__aenter__())
        try:
            yield Stage(runner, app, upstream)
        finally:
            runner.run(running.__aexit__(None, None, None))
    assert "Traceback" not in log.text, log.text
    assert log.named("internal_error") == []
