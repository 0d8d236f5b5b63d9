"""
Time that is moved by hand, and a token endpoint that says what it is told to: what the tests of the token engine share.

`HandClock` stands in for `proxy.tokens.clock.Clock`. Its boot clock, its wall clock and its timers move separately, as
they do on a laptop: nothing in a test waits for time to pass.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from kit import CLIENT_ID, CLIENT_SECRET, settings

from proxy.app import App
from proxy.config import OAuth, Secret
from proxy.emulator import AuthorizationServer, EchoApi
from proxy.emulator.errors import oauth_error
from proxy.tokens.answer import Answer
from proxy.tokens.endpoint import Fetched
from proxy.tokens.failure import Failure
from proxy.tokens.refresher import Refresher
from proxy.tokens.source import Token

EPOCH = 1_800_000_000.0
"""The wall clock's first second: in 2027."""
TICK = 1e-6
"""Seconds: the finest wait, as with a real timer."""


async def settle() -> None:
    """Run the loop until nothing more can happen without time or a socket."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while loop._ready:  # type: ignore[attr-defined]  # noqa: ASYNC110  # a loop has no event for being idle
        await asyncio.sleep(0)


class HandClock:
    """A `Clock`. `advance` moves everything; `suspend` and `set_wall` move what a sleeping laptop or NTP moves."""

    def __init__(self) -> None:
        self._boot = 5000.0
        self._wall = EPOCH
        self._timer = 0.0
        self._sleepers: dict[asyncio.Timeout, float] = {}
        self._changed = asyncio.Event()

    def boot(self) -> float:
        return self._boot

    def wall(self) -> float:
        return self._wall

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as scope:
                self._sleepers[scope] = self._timer + max(seconds, TICK)
                self._changed.set()
                try:
                    await event.wait()
                finally:
                    self._sleepers.pop(scope, None)
                    self._changed.set()

    @property
    def running(self) -> float:
        """Seconds for which the machine has not slept: what timers count."""
        return self._timer

    @property
    def sleepers(self) -> int:
        """How many wait at this moment."""
        return len(self._sleepers)

    @property
    def next_timer(self) -> float:
        """Seconds to the first timer that is due; `inf` if nobody waits."""
        return min(self._sleepers.values(), default=float("inf")) - self._timer

    async def asleep(self, count: int) -> None:
        """Wait, in real time, until so many are waiting: with sockets in the play, that is when all else is done."""
        while len(self._sleepers) < count:
            await self._change()

    async def awake(self, count: int) -> None:
        """Wait, in real time, until no more than so many are waiting."""
        while len(self._sleepers) > count:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def advance(self, seconds: float, *, asleep: int = 0) -> None:
        """
        Let *seconds* pass, and each timer in them fire at its moment.

        Before each step the loop is idle, and at least *asleep* are waiting.
        """
        end = self._timer + seconds
        while True:
            await self.asleep(asleep)
            await settle()
            due = min(self._sleepers.values(), default=end)
            if due > end:
                break
            if not self._sleepers:
                break
            self._move(due - self._timer)
            self._fire()
        self._move(end - self._timer)
        await settle()

    async def suspend(self, seconds: float) -> None:
        """Let the machine sleep: both clocks go on, timers stand still."""
        self._boot += seconds
        self._wall += seconds
        await settle()

    async def set_wall(self, change: float) -> None:
        """Set the wall clock forward or back."""
        self._wall += change
        await settle()

    def _move(self, seconds: float) -> None:
        self._timer += seconds
        self._boot += seconds
        self._wall += seconds

    def _fire(self) -> None:
        past = asyncio.get_running_loop().time() - 1
        for scope in [scope for scope, due in self._sleepers.items() if due <= self._timer]:
            del self._sleepers[scope]
            scope.reschedule(past)


# What a token endpoint may say.


@dataclass(frozen=True)
class Says:
    """An answer of the scripted endpoint, *takes* virtual seconds after the request; with a *gate*, when it is set."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    takes: float = 0.0
    gate: asyncio.Event | None = None


def token(value: str = "token", expires_in: object = 3600, **more: Any) -> Says:
    """Return a success."""
    body = {"token_type": "Bearer", "access_token": value, "expires_in": expires_in}
    return Says(body=json.dumps(body).encode(), **more)


def refusal(name: str, *values: str, **more: Any) -> Says:
    """Return Okta's refusal that `proxy.emulator.errors` calls *name*."""
    error = oauth_error(name, *values)
    body = json.dumps({"error": error.error, "error_description": error.description}).encode()
    return Says(error.status, body, **more)


DOWN = Failure("unreachable", "The token endpoint was not reached: it refused the connection.")

Step = Says | Failure | Exception
Script = Callable[[int], Step]


class ScriptedEndpoint:
    """An endpoint that gives each answer of *script* once and the last one for ever, or asks it with the number."""

    def __init__(self, clock: HandClock, *script: Step | Script) -> None:
        self._clock = clock
        self.script = list(script)
        self.asked: list[float] = []
        """When each request was sent, on the boot clock."""
        self.running = 0
        self.most_at_once = 0
        self.cancelled = 0

    @property
    def count(self) -> int:
        return len(self.asked)

    async def fetch(self) -> Fetched | Failure:
        number = len(self.asked)
        sent = self._clock.boot(), self._clock.wall()
        self.asked.append(sent[0])
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(step):
            step = step(number)
        try:
            return await self._give(step, *sent)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _give(self, step: Step, sent_boot: float, sent_wall: float) -> Fetched | Failure:
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Failure):
            return step
        if step.takes:
            await self._clock.wait(asyncio.Event(), step.takes)
        if step.gate is not None:
            await step.gate.wait()
        return Fetched(Answer(step.status, step.headers, step.body, sent_boot, sent_wall), CLIENT_SECRET)


class Engine:
    """A refresher that runs, with its clock, its endpoint and what it logged."""

    def __init__(self, clock: HandClock, endpoint: ScriptedEndpoint, refresher: Refresher, log: list[Any]) -> None:
        self.clock = clock
        self.endpoint = endpoint
        self.refresher = refresher
        self.log = log
        self.born = clock.boot()

    @property
    def times(self) -> list[float]:
        """When each token request was sent, in seconds after the start."""
        return [moment - self.born for moment in self.endpoint.asked]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry["event"] == event]

    def usable(self) -> Token:
        current = self.refresher.usable()
        assert current is not None
        return current

    async def ask(self, count: int = 1) -> list[asyncio.Task[Token]]:
        """Start *count* callers that want a token, and let them come as far as they can."""
        callers = [asyncio.create_task(self.refresher.token()) for _ in range(count)]
        for caller in callers:
            # Not every test looks at every result.
            caller.add_done_callback(lambda done: done.cancelled() or done.exception())
        await settle()
        return callers


@contextlib.asynccontextmanager
async def engine(
    *script: Step | Script, chance: Callable[[], float] = lambda: 0.5, clock: HandClock | None = None, **oauth: Any
) -> AsyncIterator[Engine]:
    """Run a refresher on a scripted endpoint and a hand-moved clock. All that it does at once is done."""
    clock = clock or HandClock()
    endpoint = ScriptedEndpoint(clock, *script)
    with logs() as log:
        refresher = Refresher(oauth_settings(**oauth), endpoint, clock, chance=chance)
        running = asyncio.create_task(refresher.run())
        try:
            await settle()
            yield Engine(clock, endpoint, refresher, log)
        finally:
            running.cancel()
            await asyncio.wait({running})


def oauth_settings(**oauth: Any) -> OAuth:
    """Return the section with what it needs; *oauth* are its keys."""
    keys = {"token_url": "http://127.0.0.1:1/token", "client_id": CLIENT_ID, "client_secret": Secret(CLIENT_SECRET)}
    return OAuth(**(keys | oauth))


@contextlib.contextmanager
def logs() -> Iterator[list[Any]]:
    """Collect what is logged meanwhile, as dictionaries."""
    with structlog.testing.capture_logs() as entries:
        yield entries


async def gathered(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    """Return each task's result or exception."""
    return await asyncio.gather(*tasks, return_exceptions=True)


# The whole proxy.


@dataclass(frozen=True)
class Scene:
    """The whole proxy between an emulated Okta and the echo API, all on one hand-moved clock."""

    clock: HandClock
    okta: AuthorizationServer
    api: EchoApi
    app: App

    async def pass_time(self, seconds: float, *, waiting: int = 0) -> None:
        """Let *seconds* pass; the refresher and *waiting* callers are at rest before each step and at the end."""
        await self.clock.advance(seconds, asleep=1 + waiting)
        await self.clock.asleep(1 + waiting)


@contextlib.asynccontextmanager
async def scene(
    *,
    before: Callable[[AuthorizationServer], object] = lambda _: None,
    skew: float = 0.0,
    upstream: str | None = None,
    **options: Any,
) -> AsyncIterator[Scene]:
    """
    Run it all. *options* are the emulator's (`lifetime=`), or with a section's name the proxy's (`oauth={}`).

    *before* may prepare the emulator before the proxy sends its first token request; its clock is *skew* seconds
    ahead of ours; *upstream* stands in for the echo API.
    """
    sections = {name: options.pop(name) for name in list(options) if name in {"oauth", "inject", "limits"}}
    clock = HandClock()
    keys = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "clock": lambda: clock.wall() + skew} | options
    async with AuthorizationServer(**keys) as okta, EchoApi(okta) as api:
        before(okta)
        configuration = settings(upstream or api.base_url, okta.token_url, **sections)
        async with App(configuration, environ={}, clock=clock) as app:
            yield Scene(clock, okta, api, app)
