"""The refresher under any sequence of callers, clocks and answers: what holds after every step."""

import asyncio
import contextlib
from bisect import bisect_left

from clocks import DOWN, Engine, HandClock, Says, engine, refusal, token
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.errors import TokenRefusedError, TokenUnavailableError

PATIENCE = 10.0
ANSWERS = {
    "hour": token("hour", 3600),
    "short": token("short", 6),
    "shortest": token("shortest", 2),
    "slow": token("slow", 20, takes=3.0),
    "too slow": token("too slow", 5, takes=7.0),
    "down": DOWN,
    "html": Says(200, b"<html>"),
    "error": Says(500),
    "limited": Says(429, headers={"retry-after": "30"}),
    "refused": refusal("no_matching_policy"),
    "bug": RuntimeError("our bug"),
}


class Machine(RuleBasedStateMachine):
    """A refresher, an endpoint whose answers change, and callers that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = contextlib.AsyncExitStack()
        self.clock = HandClock()
        self.it: Engine = self.do(
            self.stack.enter_async_context(
                engine(token("first"), chance=lambda: 0.3, clock=self.clock, patience=PATIENCE)
            )
        )
        self.callers: dict[asyncio.Task[None], float] = {}
        self.by_hand = 0

    def do(self, awaitable):
        """Run it on the machine's loop."""
        return self.loop.run_until_complete(awaitable)

    def teardown(self) -> None:
        for task in self.callers:
            task.cancel()
        self.do(asyncio.sleep(0))
        self.do(self.stack.aclose())
        self.loop.close()

    async def _call(self) -> None:
        with contextlib.suppress(TokenUnavailableError, TokenRefusedError):
            given = await self.it.refresher.token()
            assert self.clock.boot() < given.unusable_boot
            assert self.clock.wall() < given.unusable_wall

    async def _start(self, count: int) -> None:
        for _ in range(count):
            self.callers[asyncio.ensure_future(self._call())] = self.clock.running
        await self.clock.advance(0)

    @rule(count=st.integers(1, 3))
    def callers_come(self, count):
        self.do(self._start(count))

    @rule()
    def a_caller_leaves(self):
        for task in list(self.callers)[:1]:
            task.cancel()
            del self.callers[task]
        self.do(self.clock.advance(0))

    @rule(seconds=st.sampled_from([0.05, 0.4, 1.0, 3.0, 7.0, 20.0, 100.0, 2000.0]))
    def time_passes(self, seconds):
        self.do(self.clock.advance(seconds))

    @rule(seconds=st.sampled_from([2.0, 60.0, 8 * 3600.0]))
    def the_machine_sleeps(self, seconds):
        self.do(self.clock.suspend(seconds))

    @rule(change=st.sampled_from([-3600.0, -5.0, 5.0, 3600.0, 8 * 3600.0]))
    def the_wall_clock_is_set(self, change):
        self.do(self.clock.set_wall(change))

    @rule(name=st.sampled_from(sorted(ANSWERS)))
    def the_endpoint_changes(self, name):
        self.it.endpoint.script = [ANSWERS[name]]

    @rule()
    def the_upstream_refuses(self):
        current = self.it.refresher.usable()
        if current is not None:
            self.it.refresher.suspect(current)
            self.do(self.clock.advance(0))

    @rule()
    def a_person_refreshes(self):
        self.by_hand += 1
        self.callers[self.loop.create_task(self._by_hand())] = self.clock.running
        self.do(self.clock.advance(0))

    async def _by_hand(self) -> None:
        await self.it.refresher.refresh()

    @invariant()
    def what_is_given_out_is_usable(self):
        current = self.it.refresher.usable()
        assert current is None or self.clock.boot() < current.unusable_boot
        assert current is None or self.clock.wall() < current.unusable_wall

    @invariant()
    def one_fetch_at_a_time(self):
        assert self.it.endpoint.most_at_once <= 1
        assert self.it.endpoint.cancelled == 0

    @invariant()
    def fetches_are_few(self):
        times = self.it.endpoint.asked
        # One a second for the shortest tokens, a pull in 5 s, two forced in 30 s; and what people ask for.
        most = 60 + 12 + 4 + 1 + self.by_hand
        assert all(bisect_left(times, start + 60) - number <= most for number, start in enumerate(times))

    @invariant()
    def nobody_waits_beyond_the_patience(self):
        for task, since in list(self.callers.items()):
            if task.done():
                task.result()
                del self.callers[task]
            else:
                assert self.clock.running - since <= PATIENCE

    @invariant()
    def the_loop_lives(self):
        assert self.it.endpoint.running or self.clock.sleepers


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
