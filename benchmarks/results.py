"""What a run has found, as it is kept in a JSON file."""

import json
from pathlib import Path
from typing import Any, TypedDict, cast

from benchmarks.profiling import Profile
from benchmarks.turns import Rounds


class Settings(TypedDict):
    """How was measured: `rounds` of `seconds` each."""

    rounds: int
    seconds: int
    date: str


class Results(TypedDict):
    """All of a run. A scenario or the profile that gave no numbers is in `errors`, and nowhere else."""

    machine: dict[str, str]
    versions: dict[str, str]
    settings: Settings
    scenarios: dict[str, Rounds]
    transport: dict[str, str]
    """What TLS each contender speaks to the upstream."""
    profile: Profile
    errors: dict[str, str]


def write(path: Path, results: Results) -> None:
    """Write *results* to *path*; numbers are cut to six significant digits."""
    path.write_text(json.dumps(rounded(results), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Results:
    """Return what `write` has written to *path*."""
    return cast("Results", json.loads(path.read_text(encoding="utf-8")))


def rounded(value: Any) -> Any:
    """Return *value* with each number in it cut to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return value
