"""
A client secret that another program prints (`oauth.client_secret_command`): a password manager's, a vault's.

It is run without a shell, with no input, and nothing that it prints is kept but the secret: its standard error could
hold one too.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from proxy.tokens.clock import Clock
from proxy.tokens.credentials import COMMAND, LARGEST_SECRET_FILE, CredentialError, secrets_in

TIMEOUT = 10.0
"""Seconds: some ask a person's agent, or a server far away."""
REST = 60.0
"""Seconds for which an output is used again: retries in an outage must not run the program each time."""


class SecretCommand:
    """Runs *command* when a secret is needed. *timeout* is in seconds."""

    def __init__(self, command: Sequence[str], clock: Clock, *, timeout: float = TIMEOUT) -> None:
        self._command = command
        self._clock = clock
        self._timeout = timeout
        self._secrets: tuple[str, ...] = ()
        self._known_until = clock.boot()

    def __repr__(self) -> str:
        return "<SecretCommand ***>"

    async def read(self) -> tuple[str, ...]:
        """Return the secrets it prints, one a line, of this run or of one less than a minute ago. `CredentialError`."""
        if not self._secrets or self._clock.boot() >= self._known_until:
            self._secrets = ()
            self._secrets = secrets_in(await self._run(), COMMAND)
            self._known_until = self._clock.boot() + REST
        return self._secrets

    def forget(self) -> None:
        """Run it again next time: its secret was refused."""
        self._secrets = ()

    async def _run(self) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            transport, output = await loop.subprocess_exec(
                lambda: _Output(loop),
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=sys.platform != "win32",
            )
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no such program"
            raise CredentialError(
                f"{COMMAND} cannot be run: {reason}", "Write the program's whole path there."
            ) from None
        try:
            async with asyncio.timeout(self._timeout):
                await output.ended
            return _judged(output, transport.get_returncode())
        except TimeoutError:
            remedy = "Run it by hand: does it wait for input, or for a login?"
            raise CredentialError(f"{COMMAND} did not end within {self._timeout:.0f} s", remedy, passes=True) from None
        finally:
            await _end(transport, output)


class _Output(asyncio.SubprocessProtocol):
    """Collects what a program prints: `ended` is done when it has `gone` and will print no more, or prints too much."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.data = b""
        self.ended: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        del fd  # standard output is the only one
        if len(self.data) <= LARGEST_SECRET_FILE:
            self.data += data
        elif not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        for future in (self.ended, self.gone):
            if not future.done():
                future.set_result(None)


def _judged(output: _Output, status: int | None) -> bytes:
    """Return what the program printed, if it ended well with *status* (a negative one is a signal's)."""
    if len(output.data) > LARGEST_SECRET_FILE:
        raise CredentialError(f"{COMMAND} prints more than 64 KiB", "It must print the secret and nothing else.")
    if status:
        how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
        remedy = "Run it by hand, as the user that the proxy runs as: it says why."
        raise CredentialError(f"{COMMAND} {how}", remedy, passes=True)
    return output.data


async def _end(transport: asyncio.SubprocessTransport, output: _Output) -> None:
    """Let go of a program that has ended; end one that still runs, with all that it started."""
    if transport.get_returncode() is None and sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
    transport.close()
    # Its end is noticed at once, unless the system itself keeps it (a dead network file system).
    await asyncio.wait({output.gone}, timeout=1)
