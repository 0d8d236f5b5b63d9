"""What is measured. A scenario starts its contenders anew, measures them by turns and returns each one's samples."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import load, sampling
from benchmarks.bench import Bench
from benchmarks.configurations import ANSWER
from benchmarks.errors import MeasurementError
from benchmarks.lines import LineCount
from benchmarks.names import AT_INFO, WITH_DPOP
from benchmarks.peers import BIG, ready, ready_with
from benchmarks.servers import Server
from benchmarks.starting import starts
from benchmarks.turns import Rounds, Sample, by_turns

UPLOAD = 16 * 1024
"""Bytes of a POST's body."""
DOWNLOADS = 4
"""So many at once."""
IDLE = 2000
"""Connections that are kept."""
LOST = 0.001
"""The share of the log's lines that may be missing: wrk counts what it got back, not what it still waits for."""

Run = Callable[[Server], load.Load]


def requests(bench: Bench, *, connections: int, tls: bool = False, upload: bool = False) -> Rounds:
    """Measure CPU time per request and requests a second, with wrk."""
    with bench.peers() as peers:
        contenders = peers.all(tls=tls)
        script = peers.servers.write("post.lua", load.POST.format(size=UPLOAD)) if upload else None
        path = "/upload" if upload else "/json"
        return under_load(bench, contenders, loaded, path=path, connections=connections, script=script)


def under_load(
    bench: Bench,
    contenders: Sequence[Server],
    one: Callable[[Server, Run], Sample],
    *,
    path: str = "/json",
    connections: int = 32,
    script: Path | None = None,
) -> Rounds:
    """Let each contender open its connections to the upstream, unmeasured, then measure *one* by turns."""
    run = partial(load.wrk, bench.tools.wrk, path=path, connections=connections, script=script)
    for contender in contenders:
        run(contender, seconds=1)
    timed = partial(run, seconds=bench.seconds)
    return by_turns(contenders, bench.rounds, name_of, lambda server: one(server, timed))


def loaded(server: Server, run: Run, settle: Callable[[], object] = lambda: None) -> Sample:
    """Return what a run of the load cost *server* and how it was served; the cost is read after *settle*."""
    all_before, before = sampling.core_seconds(server.core), sampling.cpu_seconds(server.pid)
    result = run(server)
    settle()
    used = sampling.cpu_seconds(server.pid) - before
    others = sampling.core_seconds(server.core) - all_before - used
    return {
        "cpu_us": used / result.requests * 1e6,
        "requests": result.requests,
        "requests_per_s": result.requests / result.seconds,
        "busy": used / result.seconds,
        "others": max(0.0, others / result.seconds),
        "median_ms": result.median,
        "p99_ms": result.p99,
    }


def downloads(bench: Bench, *, tls: bool = False) -> Rounds:
    """Measure how many megabytes (10^6 bytes) pass in a second of CPU time."""

    def one(server: Server) -> Sample:
        before = sampling.cpu_seconds(server.pid)
        seconds = load.download(server, "/big", size=BIG, connections=DOWNLOADS, times=bench.seconds)
        used = sampling.cpu_seconds(server.pid) - before
        megabytes = DOWNLOADS * bench.seconds * BIG / 1e6
        return {"mb_per_cpu_s": megabytes / used, "mb_per_s": megabytes / seconds}

    with bench.peers() as peers:
        contenders = peers.all(tls=tls)
        for contender in contenders:
            load.receive(contender, "/big", BIG)
        return by_turns(contenders, bench.rounds, name_of, one)


def memory(bench: Bench) -> Rounds:
    """Measure what a contender has in memory after its first request, and what each kept idle connection adds."""
    samples: Rounds = {}
    for _ in range(min(bench.rounds, 3)):
        # Anew each time: what has once been used is not given back.
        with bench.peers() as peers:
            for server in peers.all():
                samples.setdefault(server.name, []).append(idle_memory(server))
    return samples


def idle_memory(server: Server) -> Sample:
    """Return the memory of *server*, in bytes: as it is, and for each connection that is kept idle."""
    fresh = sampling.settled_memory(server.pid)
    # What the first connections bring along is not theirs.
    load.release(load.hold(server, "/json", size=len(ANSWER), count=IDLE // 100))
    before = sampling.settled_memory(server.pid)
    held = load.hold(server, "/json", size=len(ANSWER), count=IDLE)
    try:
        after = sampling.settled_memory(server.pid)
        kept = load.still_open(held)
    finally:
        load.release(held)
    if kept != IDLE:
        raise MeasurementError(f"{server.name} kept {kept} of {IDLE} idle connections")
    return {**fresh._asdict(), "connection": (after.resident - before.resident) / IDLE}


def log_lines(bench: Bench) -> Rounds:
    """Measure CPU time per request at level warning and at info; the log is a pipe whose reader counts the lines."""

    def one(server: Server, run: Run) -> Sample:
        lines = counts[server.name]
        before = lines.count
        sample = loaded(server, run, lines.settle)
        if server.name == AT_INFO and lines.count - before < sample["requests"] * (1 - LOST):
            raise MeasurementError(f"{sample['requests']:.0f} requests, but {lines.count - before} lines of the log")
        return sample | {"lines": lines.count - before}

    with bench.peers() as peers:
        contenders = [peers.okta_proxy(pipe=True), peers.okta_proxy(name=AT_INFO, level="info", pipe=True)]
        counts = {server.name: LineCount(server.stdout) for server in contenders}
        for server in contenders:
            ready(server)
        return under_load(bench, contenders, one)


def dpop(bench: Bench) -> Rounds:
    """Measure CPU time per request with bearer tokens and with bound ones, each request with a proof of its own."""
    with bench.peers() as peers:
        emulator = peers.emulator()
        plain = peers.okta_proxy(emulator=emulator)
        bound = peers.okta_proxy(name=WITH_DPOP, emulator=emulator, dpop=True)
        ready_with(plain, "Bearer")
        ready_with(bound, "DPoP")
        return under_load(bench, [plain, bound], loaded)


def transport(bench: Bench) -> dict[str, str]:
    """Return the version and the cipher suite of TLS that each contender speaks to the upstream, left to itself."""
    with bench.peers() as peers:
        return {server.name: ready(server, tls=True) for server in peers.all(tls=True)}


def name_of(server: Server) -> str:
    """Return a contender's name."""
    return server.name


SCENARIOS: dict[str, Callable[[Bench], Rounds]] = {
    "json-1": partial(requests, connections=1),
    "json-32": partial(requests, connections=32),
    "json-256": partial(requests, connections=256),
    "json-1-tls": partial(requests, connections=1, tls=True),
    "json-32-tls": partial(requests, connections=32, tls=True),
    "json-256-tls": partial(requests, connections=256, tls=True),
    "post-32": partial(requests, connections=32, upload=True),
    "download": downloads,
    "download-tls": partial(downloads, tls=True),
    "log": log_lines,
    "dpop": dpop,
    "memory": memory,
    "start": starts,
}
"""Each by the name that `--only` takes."""

QUICK = ("json-32", "json-256", "json-32-tls", "post-32", "download", "download-tls", "log", "memory", "start")
"""What `--quick` measures: whatever has a bar."""
