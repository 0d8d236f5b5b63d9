"""The results as tables. Pure: what is shown on the terminal and on docs/performance.md is made of the same cells."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.comparisons import COMPARISONS, Comparison, middle
from benchmarks.names import ENVOY, NGINX, OURS
from benchmarks.profiling import Profile
from benchmarks.results import Results
from benchmarks.turns import Rounds, spread, values

LOADS = {
    "json-1": "1 connection",
    "json-32": "32 connections",
    "json-256": "256 connections",
    "json-1-tls": "TLS upstream, 1 connection",
    "json-32-tls": "TLS upstream, 32 connections",
    "json-256-tls": "TLS upstream, 256 connections",
    "post-32": "POST of 16 KiB, 32 connections",
}
"""The scenarios under wrk, in words."""


class Table(NamedTuple):
    """Cells as text."""

    heading: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(results: Results) -> dict[str, Table]:
    """Return all tables, by the names that the page's markers have."""
    scenarios = results["scenarios"]
    return {
        "machine": machine_table(results),
        "ratios": ratio_table(scenarios),
        "loads": load_table(scenarios),
        "transport": Table(("", "TLS to the upstream"), list(results["transport"].items())),
        "start": start_table(scenarios),
        "profile": profile_table(results["profile"]),
        "calls": calls_table(results["profile"]),
    }


def machine_table(results: Results) -> Table:
    """Return what ran where, and how it was measured."""
    settings = results["settings"]
    measured = f"{settings['date']}, {settings['rounds']} rounds of {settings['seconds']} s"
    rows = {**results["machine"], **results["versions"], "measured": measured}
    others = [value for name in LOADS if name in results["scenarios"] for value in disturbance(results, name)]
    if others:
        rows["other processes on the proxy's core"] = (
            f"{spread(others).middle:.0%} of its time, at worst {max(others):.0%}"
        )
    return Table(("", ""), list(rows.items()))


def disturbance(results: Results, scenario: str) -> list[float]:
    """Return the share of the proxy's core that others took, for each sample of *scenario*."""
    rounds = results["scenarios"][scenario]
    return [share for contender in rounds for share in values(rounds, contender, "others")]


def ratio_table(scenarios: Mapping[str, Rounds]) -> Table:
    """Return each comparison beside its bar and its aim."""
    heading = ("", OURS, ENVOY, NGINX, "ratio", "rounds", "bar", "aim", "reached")
    rows = [ratio_row(each, scenarios[each.scenario]) for each in COMPARISONS if each.scenario in scenarios]
    return Table(heading, rows)


def ratio_row(each: Comparison, rounds: Rounds) -> tuple[str, ...]:
    """Return a comparison's row; what is compared with is named where it is not Envoy."""
    found = each.of(rounds)
    beside = f" ({each.beside})" if each.beside else ""
    digits, unit = (1, f" {each.unit}") if each.is_difference else (2, "")
    return (
        each.title,
        middle(rounds, each.ours, each.metric),
        middle(rounds, each.other, each.metric) + beside,
        middle(rounds, NGINX, each.metric),
        f"{found.middle:.{digits}f}{unit}",
        f"{found.low:.{digits}f} to {found.high:.{digits}f}",
        each.goal(each.bar),
        each.goal(each.aim),
        each.verdict(found.middle),
    )


def load_table(scenarios: Mapping[str, Rounds]) -> Table:
    """Return what each contender did under wrk, in absolute numbers."""
    metrics = ("cpu_us", "requests_per_s", "busy", "median_ms", "p99_ms")
    heading = ("", "", "CPU per request", "requests", "of its core", "median wait", "99 % wait")
    return Table(
        heading,
        [
            (title, contender, *(middle(scenarios[name], contender, metric) for metric in metrics))
            for name, title in LOADS.items()
            for contender in scenarios.get(name, {})
        ],
    )


def start_table(scenarios: Mapping[str, Rounds]) -> Table:
    """Return what ours has loaded when it has answered its first request."""
    rounds = scenarios.get("start", {})
    rows = [(metric, f"{values(rounds, OURS, metric)[0]:.0f}") for metric in ("packages", "modules") if OURS in rounds]
    return Table(("loaded after the first answer", OURS), rows)


def profile_table(profile: Profile) -> Table:
    """Return where the microseconds of a request go: the kernel, then user mode by stage."""
    if not profile:
        return Table((), [])
    cpu = profile["cpu"]
    rows = [("system calls (kernel)", cpu["system"]), *profile["stages"].items(), ("all", cpu["total"])]
    return Table(
        ("", "µs a request", "share"),
        [(name, f"{value:.1f}", f"{value / cpu['total']:.0%}") for name, value in rows],
    )


def calls_table(profile: Profile) -> Table:
    """Return the system calls of a request."""
    rows = [(name, f"{count:.2f}") for name, count in profile.get("calls", {}).items()]
    return Table(("system call", "a request"), rows)


def as_text(table: Table) -> str:
    """Return a table for the terminal."""
    lines = [table.heading, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.heading))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def as_markdown(table: Table) -> str:
    """Return a table for the page."""
    ruler = ("---", *("---:" for _ in table.heading[1:]))
    return "\n".join(f"| {' | '.join(line)} |" for line in (table.heading, ruler, *table.rows))


def missed(scenarios: Mapping[str, Rounds]) -> list[str]:
    """Return the titles of the comparisons that do not reach their bar."""
    return [
        each.title
        for each in COMPARISONS
        if each.scenario in scenarios and each.verdict(each.of(scenarios[each.scenario]).middle) == "missed"
    ]
