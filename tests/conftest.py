"""Runs coroutine tests on a loop of their own, and fails what leaves a task or an unseen exception behind."""

import asyncio
import inspect
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test to its end, at most 60 s. A task left behind or an exception nobody saw fails it."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    unseen: list[str] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(brief(context)))
        async with asyncio.timeout(60):
            await pyfuncitem.obj(**arguments)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            # What was cancelled or whose peer has gone ends by itself, some turns of the loop later.
            _, left = await asyncio.wait(left, timeout=1)
        assert not left, f"tasks left behind: {left}"

    asyncio.run(bounded())
    assert not unseen, f"{len(unseen)} exceptions that nobody saw: {unseen[:3]}"
    return True


def brief(context: dict[str, Any]) -> str:
    """Return what asyncio tells of an exception in a line."""
    return f"{context['message']}: {context.get('exception')!r}"[:300]
