"""How a long-running command runs: the event loop, the signals, the limit of open files."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from proxy.logs import Writer

MOST_FILES = 1 << 20


def run_until_done(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on uvloop where it exists, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415  not on Windows

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def settle_heap() -> None:
    """
    Take what has been made by now out of the garbage collector's sight, and let it look at the rest, more rarely.

    All that a start makes stays: to look at it again and again, during the start already, is a few per cent of a
    request's cost and of the start's. Requests leave next to nothing that only the collector could free.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 10, 10)


def on_signals(stop: Callable[[], None], writer: Writer) -> None:
    """
    Call *stop* with the first SIGTERM or SIGINT; with the second end the process at once, exit code 128 + n.

    As PID 1 in a container the kernel ignores signals without a handler, so both have one. SIGHUP is what a closed
    terminal sends: with one it stops, without one (nohup, a supervisor) it is ignored.
    """
    loop = asyncio.get_running_loop()
    asked = False

    def handle(number: int) -> None:
        nonlocal asked
        if asked:
            writer.close(timeout=0.5)
            os._exit(128 + number)
        asked = True
        if sys.stdout is not None and sys.stdout.isatty():
            print("\nFinishing what runs; Ctrl-C again ends it at once.", flush=True)
        stop()

    numbers = [signal.SIGTERM, signal.SIGINT]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None:
        if os.isatty(0):
            numbers.append(hangup)
        else:
            signal.signal(hangup, signal.SIG_IGN)
    for number in numbers:
        try:
            loop.add_signal_handler(number, handle, number)
        except NotImplementedError:  # Windows' loop; there the handler runs between two bytecodes
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(handle, got))


def keep_standard_files() -> None:
    """
    Open `/dev/null` for each of the standard files that is closed (`<&-`).

    Else the next socket would get its number: libuv aborts on that, and a log line could end up in a connection.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def raise_file_limit() -> None:
    """Let the process open as many files as it may: each client and each upstream connection is one."""
    try:
        import resource  # noqa: PLC0415  not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # macOS has a lower limit than it says; what there is will do.
            return
