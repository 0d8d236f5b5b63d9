"""
Work that may hang, a resolver or a file system, in daemon threads of its own.

The loop's executor will not do: its few threads are shared by all, and the process waits for them at its end, so a
resolver that takes minutes to give up would keep it alive as long.
"""

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """
    Return what *work* returns, or raises, in a thread called *name*.

    Nobody waits for the thread: who leaves leaves it behind, and the process may end before it does.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def run() -> None:
        result, problem = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the result is awaited
            problem = error
        # The loop may have ended in the meantime.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, problem)

    try:
        threading.Thread(target=run, daemon=True, name=name).start()
    except RuntimeError:
        # A limit of the machine's, like that of open files.
        done.set_exception(OSError(errno.EAGAIN, "no more threads can be started"))
    return done


class Shared(Generic[T]):
    """One run of *work* in a thread for all who ask while it runs; who asks afterwards gets a new one."""

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._name = name
        self._running: asyncio.Future[T] | None = None

    async def result(self) -> T:
        """Return what the work returns, or raise what it raises. Who is cancelled takes it from nobody else."""
        if self._running is None or self._running.done():
            self._running = in_thread(self._work, self._name)
            # Whoever waited may be gone when it fails.
            self._running.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._running)
