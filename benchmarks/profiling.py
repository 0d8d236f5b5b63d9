"""
Where a request's microseconds go.

Three measurements of the same load (32 connections, small JSON, level warning), each with what disturbs it least:

- CPU time per request, and how it divides into user mode and kernel, from /proc, of an undisturbed proxy;
- the user part by stage: samples of another proxy, run by `benchmarks.sampler`, as shares of the first one's user time;
- system calls per request, counted by strace where it is installed. It makes the proxy slow, so only its counts are
  taken, never its times.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import load, sampling
from benchmarks.bench import Bench
from benchmarks.errors import MeasurementError
from benchmarks.peers import Peers, ready
from benchmarks.servers import Server
from benchmarks.stages import shares
from benchmarks.turns import spread

CONNECTIONS = 32
FEWEST = 200
"""Samples below which shares say nothing."""
ATTACHING = 5.0
"""Seconds that strace has to attach."""
SELDOM = 0.005
"""Calls a request below which a system call is no part of a request."""

Profile = dict[str, dict[str, float]]
"""`cpu` (microseconds: user, system, total), `stages` (microseconds of user time), `calls` (a request), `samples`."""


def profile(bench: Bench) -> Profile:
    """Return where the time of a request goes, and how often it calls the kernel."""
    with bench.peers() as peers:
        plain = peers.okta_proxy()
        ready(plain)
        run = partial(load.wrk, bench.tools.wrk, path="/json", connections=CONNECTIONS)
        run(plain, seconds=1)
        cpu = by_mode([one_run(plain, run, bench.seconds) for _ in range(bench.rounds)])
        counted = calls(plain, run, peers.servers.path("strace.txt"))
        plain.end()
        found = sampled(peers, run, bench.seconds * bench.rounds)
    stages = {stage: share * cpu["user"] for stage, share in shares(found).items()}
    return {"cpu": cpu, "stages": stages, "calls": counted, "samples": {"count": sum(count for *_, count in found)}}


def one_run(server: Server, run: partial[load.Load], seconds: int) -> tuple[float, float, float]:
    """Return the CPU time per request in microseconds: in all, and what the ticks counted in user mode and kernel."""
    before, exact = sampling.ticks(server.pid), sampling.cpu_seconds(server.pid)
    result = run(server, seconds=seconds)
    after, exact = sampling.ticks(server.pid), sampling.cpu_seconds(server.pid) - exact
    each = 1e6 / result.requests
    return exact * each, (after.user - before.user) * each, (after.system - before.system) * each


def by_mode(runs: list[tuple[float, float, float]]) -> dict[str, float]:
    """Return the median in all, divided as the ticks of all *runs* divide."""
    total = spread([run[0] for run in runs]).middle
    user, system = (sum(run[mode] for run in runs) for mode in (1, 2))
    return {"total": total, "user": total * user / (user + system), "system": total * system / (user + system)}


def sampled(peers: Peers, run: partial[load.Load], seconds: int) -> list[tuple[str, str, int, int]]:
    """Return where a proxy under load is found: file, function, line, and how often."""
    output = peers.servers.path("samples.json")
    server = peers.okta_proxy(program=("-m", "benchmarks.sampler", str(output)), name="okta-proxy, sampled")
    ready(server)
    run(server, seconds=1)
    os.kill(server.pid, signal.SIGUSR1)
    run(server, seconds=2 * seconds)
    server.end()
    if not output.exists():
        raise MeasurementError(f"no samples: {server.last_words()}")
    rows = json.loads(output.read_text())
    samples = [(str(file), str(name), int(line), int(count)) for file, name, line, count in rows]
    if sum(count for *_, count in samples) < FEWEST:
        raise MeasurementError(f"only {sum(count for *_, count in samples)} samples were taken")
    return samples


def calls(server: Server, run: partial[load.Load], summary: Path) -> dict[str, float]:
    """Return the system calls per request by name; none where strace, which writes *summary*, cannot attach."""
    strace = shutil.which("strace")
    if strace is None:
        return {}
    with traced(strace, server.pid, summary) as attached:
        if not attached:
            return {}
        requests = run(server, seconds=2).requests
    counts = {name: count / requests for name, count in parse_strace(summary.read_text()).items()}
    return {name: count for name, count in counts.items() if count >= SELDOM}


@contextlib.contextmanager
def traced(strace: str, pid: int, summary: Path) -> Iterator[bool]:
    """Count system calls inside, into the file *summary*; gives whether that is allowed."""
    command = [strace, "-f", "-c", "-p", str(pid), "-o", str(summary)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield wait_until_traced(tracer, pid)
    finally:
        # With SIGINT it writes its summary, and lets go.
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(ATTACHING)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()


def wait_until_traced(tracer: subprocess.Popen[bytes], pid: int) -> bool:
    """Return True once *tracer* has attached, False if it has ended or takes too long."""
    end = time.monotonic() + ATTACHING
    while time.monotonic() < end and tracer.poll() is None:
        if f"TracerPid:\t{tracer.pid}\n" in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.01)
    return False


def parse_strace(text: str) -> dict[str, int]:
    """Return the calls by name of strace's summary, the most frequent first."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", text, re.MULTILINE)
    counts = {name: int(count) for count, name in rows if name != "total"}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
