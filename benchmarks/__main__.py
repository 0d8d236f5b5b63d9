"""
The command line of the benchmarks.

    python -m benchmarks [--quick] [--only SCENARIO] [--rounds N] [--json FILE] [--tree FOLDER]
    python -m benchmarks profile
    python -m benchmarks report --json FILE

Exit codes: 0 everything was measured; 1 something was not, or the page could not be written; 2 this machine lacks
something; 130 Ctrl-C. A bar that is missed is a number like any other.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import page, results
from benchmarks.bench import Bench, tell
from benchmarks.errors import MeasurementError, OutOfTimeError, UnusableError
from benchmarks.page import PAGE
from benchmarks.profiling import profile
from benchmarks.report import as_text, tables
from benchmarks.results import Results
from benchmarks.scenarios import QUICK, SCENARIOS, transport
from benchmarks.servers import time_limit
from benchmarks.tools import ROOT, find_cores, find_tools, machine, versions

PROFILE = "profile"
NAMES = (*SCENARIOS, PROFILE)
FULL_ROUNDS, QUICK_ROUNDS = 5, 2
FULL_SECONDS, QUICK_SECONDS = 2, 1
FULL_LIMIT, QUICK_LIMIT = 600, 120
"""Seconds that a run may take; more rounds may take longer."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        return write_page(options.json) if options.command == "report" else measure(options)
    except UnusableError as error:
        tell(f"The benchmarks cannot run here:\n{error}")
        return 2
    except KeyboardInterrupt:
        tell("Stopped; everything that was started has been ended.")
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="okta-proxy beside Envoy and nginx.")
    made.add_argument(
        "command",
        nargs="?",
        choices=("run", "profile", "report"),
        default="run",
        help="run (the default) measures; profile is where a request's time goes; report writes docs/performance.md",
    )
    made.add_argument("--quick", action="store_true", help="fewer and shorter rounds, and what has a bar only")
    made.add_argument("--only", action="append", choices=NAMES, metavar="SCENARIO", help=", ".join(NAMES))
    made.add_argument("--rounds", type=positive, metavar="N", help=f"default {FULL_ROUNDS}, quick {QUICK_ROUNDS}")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results there; read them for a report")
    made.add_argument("--tree", type=Path, default=ROOT, metavar="FOLDER", help="measure another checkout's proxy")
    return made


def positive(text: str) -> int:
    """Return a number of rounds."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def measure(options: argparse.Namespace) -> int:
    """Measure what *options* ask for, show it and write it down."""
    tools, cores = find_tools(), find_cores()
    usual, seconds, limit = (
        (QUICK_ROUNDS, QUICK_SECONDS, QUICK_LIMIT) if options.quick else (FULL_ROUNDS, FULL_SECONDS, FULL_LIMIT)
    )
    rounds = options.rounds or usual
    bench = Bench(tools, cores, rounds, seconds, options.tree.resolve())
    found: Results = {
        "machine": machine(),
        "versions": versions(tools, bench.tree),
        "settings": {"rounds": rounds, "seconds": seconds, "date": time.strftime("%Y-%m-%d")},
        "scenarios": {},
        "transport": {},
        "profile": {},
        "errors": {},
    }
    try:
        with time_limit(max(limit, limit * rounds // usual)):
            measure_all(bench, chosen(options), found)
    except OutOfTimeError as error:
        found["errors"]["run"] = str(error)
    finally:
        # What has been measured is kept, whatever stopped the rest.
        if options.json is not None:
            results.write(options.json, found)
    show(found)
    return 1 if found["errors"] else 0


def chosen(options: argparse.Namespace) -> Sequence[str]:
    """Return the names of what is to be measured."""
    if options.command == PROFILE:
        return [PROFILE]
    return options.only or ([*QUICK, PROFILE] if options.quick else NAMES)


def measure_all(bench: Bench, names: Sequence[str], found: Results) -> None:
    """Put into *found* what each of *names* gives, or why it gives nothing."""
    for name in names:
        start = time.monotonic()
        try:
            if name == PROFILE:
                found["profile"] = profile(bench)
            else:
                found["scenarios"][name] = SCENARIOS[name](bench)
            if name.endswith("-tls") and not found["transport"]:
                found["transport"] = transport(bench)
        except MeasurementError as error:
            found["errors"][name] = str(error)
        tell(f"{name}: {found['errors'].get(name, 'measured')} ({time.monotonic() - start:.0f} s)")


def show(found: Results) -> None:
    """Print the tables, and what could not be measured."""
    for table in tables(found).values():
        if table.rows:
            print(f"\n{as_text(table)}")
    for name, error in found["errors"].items():
        print(f"\nERROR {name}: {error}")


def write_page(path: Path | None) -> int:
    """Write the tables of the results in *path* into the page."""
    if path is None:
        tell("report needs --json FILE, the results of a run")
        return 1
    try:
        PAGE.write_text(page.filled(PAGE.read_text(encoding="utf-8"), results.read(path)), encoding="utf-8")
    except (page.IncompleteError, OSError, ValueError) as error:
        tell(f"{PAGE.name} is as it was: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
