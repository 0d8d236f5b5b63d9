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
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left behind: {left}"

    asyncio.run(bounded())
    assert not unseen, f"{len(unseen)} exceptions that nobody saw: {unseen[:3]}"
    return True


def brief(context: dict[str, Any]) -> str:
    """Return what asyncio tells of an exception in a line."""
    return f"{context['message']}: {context.get('exception')!r}"[:300]
