"""What the proxy is held to: each comparison with its bar and its aim. Pure."""

from dataclasses import dataclass

from benchmarks.names import AT_INFO, BARE, ENVOY, OURS, WITH_DPOP
from benchmarks.turns import Rounds, Spread, difference, ratio, spread, values


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    One metric of one scenario, ours beside another's.

    `bar` has to be reached and `aim` is hoped for; None: the number is only shown. A ratio but for `is_difference`.
    `beside` tells what it is compared with, where that is not Envoy.
    """

    title: str
    scenario: str
    metric: str
    bar: float | None = None
    aim: float | None = None
    ours: str = OURS
    other: str = ENVOY
    is_more_better: bool = False
    is_difference: bool = False
    beside: str = ""

    @property
    def unit(self) -> str:
        """The metric's unit."""
        return METRICS[self.metric][1]

    def of(self, rounds: Rounds) -> Spread:
        """Return the ratio or the difference: the median of the rounds."""
        compare = difference if self.is_difference else ratio
        return compare(rounds, self.metric, self.ours, self.other)

    def verdict(self, value: float) -> str:
        """Return what *value* reaches: `aim`, `bar`, `missed`, or "" where there is nothing to reach."""
        if self.bar is None or self.aim is None:
            return ""
        if self._reaches(value, self.aim):
            return "aim"
        return "bar" if self._reaches(value, self.bar) else "missed"

    def goal(self, number: float | None) -> str:
        """Return the bar or the aim as it is written: with its direction, and its unit if it has one."""
        if number is None:
            return ""
        return f"{'≥' if self.is_more_better else '≤'} {number:g}{f' {self.unit}' if self.is_difference else ''}"

    def _reaches(self, value: float, goal: float) -> bool:
        return value >= goal if self.is_more_better else value <= goal


COMPARISONS = (
    Comparison("CPU per request, 1 connection", "json-1", "cpu_us"),
    Comparison("CPU per request, 32 connections", "json-32", "cpu_us", 0.7, 0.5),
    Comparison(
        "requests a second on one core, 32 connections",
        "json-32",
        "requests_per_s",
        1.4,
        2,
        is_more_better=True,
    ),
    Comparison("CPU per request, 256 connections", "json-256", "cpu_us", 0.7, 0.5),
    Comparison("CPU per request, TLS upstream, 1 connection", "json-1-tls", "cpu_us"),
    Comparison("CPU per request, TLS upstream, 32 connections", "json-32-tls", "cpu_us", 0.85, 0.65),
    Comparison("CPU per request, TLS upstream, 256 connections", "json-256-tls", "cpu_us"),
    Comparison("CPU per POST of 16 KiB, 32 connections", "post-32", "cpu_us"),
    Comparison(
        "a request's log line at info, extra CPU",
        "log",
        "cpu_us",
        10,
        5,
        ours=AT_INFO,
        other=OURS,
        is_difference=True,
        beside="at warning",
    ),
    Comparison(
        "a proof with each request (DPoP), extra CPU",
        "dpop",
        "cpu_us",
        ours=WITH_DPOP,
        other=OURS,
        is_difference=True,
        beside="bearer token",
    ),
    Comparison("64 MB downloads, MB per CPU second", "download", "mb_per_cpu_s", 0.7, 1, is_more_better=True),
    Comparison("the same with a TLS upstream", "download-tls", "mb_per_cpu_s", 0.8, 1, is_more_better=True),
    Comparison("resident memory, idle", "memory", "resident", 0.75, 0.65),
    Comparison("private memory, idle", "memory", "private"),
    Comparison("memory of a kept idle connection", "memory", "connection", 1, 0.5),
    Comparison("start, against the same imports alone", "start", "seconds", 1.3, 1.1, other=BARE, beside=BARE),
    Comparison("start", "start", "seconds"),
)
"""In the order of the report."""

METRICS = {
    "cpu_us": (1, "µs"),
    "requests_per_s": (1, "/s"),
    "median_ms": (1, "ms"),
    "p99_ms": (1, "ms"),
    "busy": (100, "%"),
    "mb_per_cpu_s": (1, "MB"),
    "resident": (1 / 1024**2, "MiB"),
    "private": (1 / 1024**2, "MiB"),
    "connection": (1 / 1024, "KiB"),
    "seconds": (1000, "ms"),
    "packages": (1, "packages"),
    "modules": (1, "modules"),
}
"""What each metric is multiplied with to be shown, and its unit then."""


def middle(rounds: Rounds, contender: str, metric: str) -> str:
    """Return a contender's median with its unit, "" if it took no part."""
    if contender not in rounds:
        return ""
    factor, unit = METRICS[metric]
    return f"{number(spread(values(rounds, contender, metric)).middle * factor)} {unit}"


def number(value: float) -> str:
    """Return *value* with as many digits as a reader has use for."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
