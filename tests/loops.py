"""Event loops for tests: asyncio's own, uvloop, and one that resolves names without asking anybody."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from inspect import Parameter, signature
from typing import Any

import pytest
import uvloop


async def settled(condition: Callable[[], object]) -> None:
    """Let the loop run until *condition* holds, 10 s at most: for a state that sets no event."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the state is inside the code under test, and has no event
            await asyncio.sleep(0.001)  # as above: a state without an event


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run_on(factory: Callable[[], asyncio.AbstractEventLoop], test: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop of *factory*, at most 60 s."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(bounded())


def names(host: Any, port: Any, *_: Any, **__: Any) -> Any:
    """Resolve `api.test` to both loopback families and no other name, and ask nobody: for `socket.getaddrinfo`."""
    if host == "127.0.0.1":
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    if host != "api.test":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [
        (socket.AF_INET6, *kind, ("::1", port, 0, 0)),
        (socket.AF_INET, *kind, ("127.0.0.1", port)),
    ]


class NamesLoop(asyncio.SelectorEventLoop):
    """A loop that knows the addresses of `names`."""

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        return names(host, port)


Test = Callable[..., Coroutine[Any, Any, None]]


def every_loop(test: Test) -> Callable[..., None]:
    """Run a coroutine test twice: on asyncio's own event loop and on uvloop, which the command uses."""

    def run(loop: str, **arguments: Any) -> None:
        run_on(LOOPS[loop], test(**arguments))

    return pytest.mark.parametrize("loop", list(LOOPS))(_named_like(test, run, "loop"))


def with_names(test: Test) -> Callable[..., None]:
    """Run a coroutine test on a `NamesLoop`, with `names` for who asks the system too."""

    def run(**arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", names)
            run_on(NamesLoop, test(**arguments))

    return _named_like(test, run)


def _named_like(test: Test, run: Callable[..., None], *more: str) -> Callable[..., None]:
    """Give *run* the name, the marks and the parameters of *test*, and *more* parameters."""
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in more]
    run.__signature__ = signature(test).replace(  # type: ignore[attr-defined]
        parameters=[*parameters, *signature(test).parameters.values()], return_annotation=None
    )
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
    return run
