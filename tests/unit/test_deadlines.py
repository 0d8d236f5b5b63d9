"""The sweep over all deadlines: `proxy.forwarding.deadlines`."""

import asyncio

import pytest

from proxy.forwarding.deadlines import NEVER, Deadlines, sweep_interval


class Waiting:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.fired = asyncio.Event()

    def on_deadline(self) -> None:
        self.fired.set()


class Faulty(Waiting):
    def on_deadline(self) -> None:
        super().on_deadline()
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("timeouts", "expected"),
    [
        ((), 1.0),
        ((0, 0), 1.0),
        ((300, 300, 10, 60), 1.0),
        ((2, 300), 0.5),
        ((0, 0.4), 0.1),
        ((0.001,), 0.02),
    ],
)
def test_the_sweep_is_a_quarter_of_the_shortest_time(timeouts: tuple[float, ...], expected: float):
    """It bounds how late a time-out is: a quarter of it, at least 20 ms and at most a second."""
    assert sweep_interval(*timeouts) == pytest.approx(expected)


async def test_a_deadline_fires_once():
    """What is due is told once, and its deadline is set to never before."""
    deadlines = Deadlines(0.001)
    one = Waiting(asyncio.get_running_loop().time())
    deadlines.watch(one)
    await one.fired.wait()
    assert one.deadline == NEVER
    deadlines.close()


async def test_what_is_forgotten_or_never_due_is_left_alone():
    """Only what is watched and due fires; to forget it again is no error."""
    deadlines = Deadlines(0.001)
    now = asyncio.get_running_loop().time()
    due, forgotten, never = Waiting(now + 0.003), Waiting(now), Waiting(NEVER)
    for one in (due, forgotten, never):
        deadlines.watch(one)
    deadlines.forget(forgotten)
    deadlines.forget(forgotten)
    await due.fired.wait()
    assert not forgotten.fired.is_set()
    assert not never.fired.is_set()
    assert repr(deadlines) == "<Deadlines 2 watched>"
    deadlines.close()


async def test_one_that_fires_may_end_another():
    """A deadline that another's action has lifted does not fire in the same sweep."""
    deadlines = Deadlines(0.001)
    now = asyncio.get_running_loop().time()
    fired = []
    ended = asyncio.Event()

    class Paired:
        deadline = now
        other: "Paired"

        def on_deadline(self) -> None:
            fired.append(self)
            self.other.deadline = NEVER
            ended.set()

    one, two = Paired(), Paired()
    one.other, two.other = two, one
    deadlines.watch(one)
    deadlines.watch(two)
    await ended.wait()
    assert len(fired) == 1
    deadlines.close()


async def test_a_bug_in_one_does_not_end_the_others():
    """An exception from one deadline is reported by the loop; the sweep goes on for everybody else."""
    deadlines = Deadlines(0.001)
    loop = asyncio.get_running_loop()
    reported: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    one, two = Faulty(loop.time()), Waiting(loop.time() + 0.005)
    deadlines.watch(one)
    deadlines.watch(two)
    await one.fired.wait()
    await asyncio.wait_for(two.fired.wait(), 5)
    assert isinstance(reported[0]["exception"], RuntimeError)
    deadlines.close()


async def test_the_timer_runs_only_while_something_is_watched():
    """Without anything to watch there is no timer, and the next one to watch starts it again."""
    deadlines = Deadlines(0.001)
    one = Waiting(asyncio.get_running_loop().time())
    deadlines.watch(one)
    deadlines.forget(one)
    two = Waiting(asyncio.get_running_loop().time())
    deadlines.watch(two)
    await two.fired.wait()
    deadlines.forget(two)
    await asyncio.sleep(0.01)  # a few sweeps: there is no event for a timer that does not run any more
    assert deadlines._timer is None
    deadlines.watch(two)
    assert deadlines._timer is not None
    deadlines.close()
    assert deadlines._timer is None
