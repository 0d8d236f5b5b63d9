"""Starts programs, each on its core and behind a port of loopback, and ends all of them whatever happens."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self

from benchmarks.configurations import LOOPBACK
from benchmarks.errors import MeasurementError, OutOfTimeError

# Below what the kernel takes for outgoing connections: nobody else's client gets the port before we listen there.
PORTS = range(20_000, 32_000)
PATIENCE = 5.0
"""Seconds that a program has to end after SIGTERM."""


class Server:
    """A program that runs: its `name` for people, the `port` it listens on, the `core` it runs on."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], *, port: int, core: int, log: Path) -> None:
        self.name = name
        self.port = port
        self.core = core
        self._process = process
        self._log = log

    def __repr__(self) -> str:
        state = "running" if self._process.poll() is None else f"ended with {self._process.returncode}"
        return f"<{self.name} at {self.url}, {state}>"

    @property
    def pid(self) -> int:
        """The process, which is the program itself: whatever stood before its name has been replaced by it."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def stdout(self) -> IO[bytes]:
        """What it prints, if it was started with a pipe."""
        if self._process.stdout is None:
            raise MeasurementError(f"{self.name} has no pipe")
        return self._process.stdout

    def check(self) -> None:
        """Raise a `MeasurementError` with the end of its log if it does not run any more."""
        if self._process.poll() is not None:
            raise MeasurementError(f"{self.name} ended with {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what it wrote."""
        return self._log.read_text(errors="replace")[-600:].strip() or "it said nothing"

    def end(self) -> None:
        """End it, and wait until it has ended."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Servers:
    """
    What one scenario has started, in a folder of its own: `with Servers(folder) as servers`.

    All of it is ended at the exit, the last one first. Should we be killed, the kernel ends it (setpriv).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._ports: set[int] = set()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def path(self, name: str) -> Path:
        """Return a path that nothing else has, for a file whose name ends with *name*."""
        self._number += 1
        return self.folder / f"{self._number}-{name}"

    def write(self, name: str, text: str) -> Path:
        """Write a file and return its path."""
        path = self.path(name)
        path.write_text(text)
        return path

    def free_port(self) -> int:
        """Return a port of loopback that nobody listens on and that was not returned before."""
        for _ in range(1000):
            port = secrets.choice(PORTS)
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                if port not in self._ports:
                    self._ports.add(port)
                    return port
        raise MeasurementError("there is no free port")

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int,
        port: int,
        environ: Mapping[str, str] | None = None,
        pipe: bool = False,
    ) -> Server:
        """Start *command* on *core*; with *pipe* its standard output can be read, else it goes to the log."""
        log = self.path(f"{name}.log")
        with log.open("wb") as file, on_core(core):
            process = subprocess.Popen(
                [*until_we_end(), *command],
                cwd=self.folder,
                env={**clean_environment(), **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else file,
                stderr=file,
                # Ctrl-C is for us; we end the others.
                start_new_session=True,
            )
        server = Server(name, process, port=port, core=core, log=log)
        self._stack.callback(server.end)
        return server


def until_we_end() -> list[str]:
    """Return what stands before a command so that the kernel ends it when this process is gone."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def clean_environment() -> dict[str, str]:
    """Return the environment without what would configure okta-proxy or send its traffic elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OKTA_PROXY_") and not name.lower().endswith("_proxy")
    }


@contextlib.contextmanager
def on_core(*cores: int) -> Iterator[None]:
    """Run on *cores* what is started inside; afterwards this thread is where it was."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise an `OutOfTimeError` inside after *seconds*; SIGTERM ends the process as Ctrl-C does."""

    def too_long(*_: object) -> None:
        raise OutOfTimeError(f"the time is up ({seconds} s)")

    def terminated(*_: object) -> None:
        raise SystemExit(143)

    alarm, term = signal.signal(signal.SIGALRM, too_long), signal.signal(signal.SIGTERM, terminated)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGTERM, term)
