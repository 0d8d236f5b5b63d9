"""The benchmarks as a command: what they say where something is missing, and a short run where nothing is."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import UnusableError
from benchmarks.names import ENVOY, NGINX, OURS, WITH_DPOP
from benchmarks.tools import find_cores, find_tools

ROOT = Path(__file__).parents[2]


def lacking() -> str:
    """Return why the benchmarks cannot run here, "" if they can."""
    try:
        find_tools()
        find_cores()
    except UnusableError as error:
        return str(error).replace("\n", "; ")
    return ""


skip_unless_it_can_run = pytest.mark.skipif(lacking() != "", reason=f"the benchmarks cannot run here: {lacking()}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder with a short name: the name of a Unix socket in it has a hundred bytes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


def benchmarks(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m benchmarks` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def started_by(folder_prefix: str) -> list[str]:
    """Return the command lines of running processes that name a file in a folder of the benchmarks."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder_prefix in line:
            found.append(line)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the benchmarks do not run at all")
def test_a_missing_program_is_a_message_and_not_a_traceback(tmp_path):
    """Without wrk they end with 2 and say where it comes from."""
    done = benchmarks("--only", "json-1", PATH=str(tmp_path))
    assert done.returncode == 2
    assert "wrk is missing: apt-get install wrk" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_needs_results():
    """A report of no results is refused, and the page stays as it is."""
    before = (ROOT / "docs/performance.md").read_text()
    assert benchmarks("report").returncode == 1
    assert benchmarks("report", "--json", "/nonexistent/results.json").returncode == 1
    assert (ROOT / "docs/performance.md").read_text() == before


@skip_unless_it_can_run
def test_a_short_run_measures_all_contenders_and_leaves_nothing_behind(folder):
    """Each contender has its numbers in the table and in the file; no process and no folder of theirs is left."""
    path = folder / "results.json"
    done = benchmarks("--quick", "--rounds", "1", "--only", "json-1", "--json", str(path), TMPDIR=str(folder))
    assert done.returncode == 0, done.stderr
    rounds = json.loads(path.read_text())["scenarios"]["json-1"]
    assert list(rounds) == [OURS, ENVOY, NGINX]
    assert all(sample["cpu_us"] > 1 and sample["requests"] > 10 for [sample] in rounds.values())
    assert "CPU per request, 1 connection" in done.stdout
    assert started_by(f"{folder}/okta-proxy-bench-") == []
    assert [left.name for left in folder.iterdir()] == ["results.json"]


@skip_unless_it_can_run
def test_the_cost_of_a_proof_is_measured(folder):
    """Two proxies that get their tokens from an emulator take part, and the difference is in the table."""
    path = folder / "results.json"
    done = benchmarks("--quick", "--rounds", "1", "--only", "dpop", "--json", str(path))
    assert done.returncode == 0, done.stderr
    rounds = json.loads(path.read_text())["scenarios"]["dpop"]
    assert list(rounds) == [OURS, WITH_DPOP]
    assert all(sample["requests"] > 10 for [sample] in rounds.values())
    assert "(bearer token)" in done.stdout


@skip_unless_it_can_run
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_started_ends_with_an_interrupted_run(number, code, folder):
    """Ctrl-C and SIGTERM in the middle of a run end the contenders and the upstream, and remove their folder."""
    path = folder / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--only", "json-1", "--json", str(path)]
    running = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)}, stderr=subprocess.PIPE)
    end = time.monotonic() + 30
    while not any("envoy" in line for line in started_by(f"{folder}/okta-proxy-bench-")):
        assert time.monotonic() < end
        assert running.poll() is None
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    assert started_by(f"{folder}/okta-proxy-bench-") == []
    assert [left.name for left in folder.iterdir()] == ["results.json"]
