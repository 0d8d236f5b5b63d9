"""Runs the real `okta-proxy` command as a process of its own, for the tests of what only a process can show."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from kit import CLIENT_ID, CLIENT_SECRET

CANARIES = (CLIENT_SECRET,)


def environment(upstream: str, token_url: str, **more: str) -> dict[str, str]:
    """Return an environment that configures the proxy completely, with free ports; *more* are further variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OKTA_PROXY_")}
    return kept | {
        "OKTA_PROXY_LISTEN__PORT": "0",
        # The neighbour of a port that a test names may be another test's.
        "OKTA_PROXY_ADMIN__PORT": "0",
        "OKTA_PROXY_UPSTREAM__URL": upstream,
        "OKTA_PROXY_OAUTH__TOKEN_URL": token_url,
        "OKTA_PROXY_OAUTH__CLIENT_ID": CLIENT_ID,
        "OKTA_PROXY_OAUTH__CLIENT_SECRET": CLIENT_SECRET,
        "OKTA_PROXY_OAUTH__SCOPES": "api.read",
        **more,
    }


class Command:
    """A running command: its output so far, and its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output: list[str] = []
        self.url = ""
        self.admin_url = ""

    async def event(self, name: str) -> dict[str, Any]:
        """Return the next log event *name*; everything before it is kept in `output`."""
        assert self.process.stdout is not None
        while True:
            line = (await self.process.stdout.readline()).decode()
            assert line, f"the command ended before {name}: {self.output}"
            self.output.append(line)
            if line.startswith("{") and (event := json.loads(line))["event"] == name:
                return event

    async def until(self, text: str) -> str:
        """Return all the output up to the line that holds *text*."""
        assert self.process.stdout is not None
        while text not in "".join(self.output):
            line = (await self.process.stdout.readline()).decode()
            assert line, f"the command ended before {text!r}: {self.output}"
            self.output.append(line)
        return "".join(self.output)

    async def ended(self) -> int:
        """Return the exit code, and collect the rest of the output."""
        assert self.process.stdout is not None
        self.output.append((await self.process.stdout.read()).decode())
        return await self.process.wait()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def memory(self, field: str = "VmRSS") -> int:
        """Return *field* of the process's status, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{field}:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024


async def started(*arguments: str, environ: Mapping[str, str], **options: Any) -> Command:
    """Start `okta-proxy` with *arguments*; standard error goes with standard output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        *arguments,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**22,
        **options,
    )
    return Command(process)


@contextlib.asynccontextmanager
async def command(*arguments: str, environ: Mapping[str, str], **options: Any) -> AsyncIterator[Command]:
    """Run the command until it listens; end it afterwards if it still runs."""
    running = await started(*arguments, environ=environ, **options)
    try:
        event = await running.event("started")
        running.url, running.admin_url = event["listen"], event["admin"]
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
        await running.ended()


async def output_of(*arguments: str, environ: Mapping[str, str], **options: Any) -> tuple[int, str]:
    """Run the command to its end, and return its exit code and all that it printed."""
    running = await started(*arguments, environ=environ, **options)
    code = await running.ended()
    return code, "".join(running.output)


async def tool(*arguments: str) -> tuple[int, bytes]:
    """Run another program to its end, and return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output
