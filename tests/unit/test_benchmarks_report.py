"""What the benchmarks make of their samples: turns, ratios, verdicts, tables, and the page that shows them."""

import copy
import json
from typing import Any

import pytest

from benchmarks import page, results
from benchmarks.comparisons import COMPARISONS, Comparison, number
from benchmarks.names import AT_INFO, BARE, ENVOY, NGINX, OURS, WITH_DPOP
from benchmarks.page import PAGE, IncompleteError
from benchmarks.report import Table, as_markdown, as_text, ratio_row, tables
from benchmarks.scenarios import QUICK, SCENARIOS
from benchmarks.turns import Spread, by_turns, difference, ratio


def test_contenders_take_turns():
    """Every contender has one turn a round, and each round another one begins."""
    order: list[str] = []

    def one(name: str) -> dict[str, float]:
        order.append(name)
        return {"place": len(order)}

    samples = by_turns(["a", "b", "c"], 3, str, one)
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert samples["a"] == [{"place": 1}, {"place": 6}, {"place": 8}]


def test_a_ratio_is_taken_within_each_round():
    """A round in which the machine was slow for both changes nothing; the median is the round in the middle."""
    rounds = {
        OURS: [{"cpu_us": 40}, {"cpu_us": 400}, {"cpu_us": 30}],
        ENVOY: [{"cpu_us": 80}, {"cpu_us": 800}, {"cpu_us": 100}],
    }
    assert ratio(rounds, "cpu_us", OURS, ENVOY) == Spread(0.5, 0.3, 0.5)
    assert difference(rounds, "cpu_us", OURS, ENVOY) == Spread(-70, -400, -40)


def test_rounds_that_do_not_match_give_no_ratio():
    """A contender that lacks a round is not compared."""
    with pytest.raises(ValueError, match="shorter"):
        ratio({OURS: [{"cpu_us": 1}, {"cpu_us": 2}], ENVOY: [{"cpu_us": 1}]}, "cpu_us", OURS, ENVOY)


@pytest.mark.parametrize(
    ("is_more_better", "value", "expected"),
    [
        (False, 0.5, "aim"),
        (False, 0.51, "bar"),
        (False, 0.7, "bar"),
        (False, 0.71, "missed"),
        (True, 0.7, "bar"),
        (True, 0.69, "bar"),
        (True, 0.49, "missed"),
    ],
)
def test_a_value_reaches_the_aim_the_bar_or_neither(is_more_better, value, expected):
    """The bar and the aim themselves are reached, in the direction that is better."""
    bar, aim = (0.5, 0.71) if is_more_better else (0.7, 0.5)
    each = Comparison("", "json-32", "cpu_us", bar, aim, is_more_better=is_more_better)
    assert each.verdict(value) == expected


def test_what_has_no_bar_has_no_verdict():
    """A number that is only shown neither reaches nor misses anything."""
    each = Comparison("", "json-1", "cpu_us")
    assert (each.verdict(9), each.goal(each.bar)) == ("", "")


def test_each_comparison_is_measured():
    """Each comparison is of a scenario that exists; a quick run has all of those with a bar."""
    assert {each.scenario for each in COMPARISONS} == set(SCENARIOS)
    assert {each.scenario for each in COMPARISONS if each.bar is not None} <= set(QUICK)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.44, "0.4"), (41.26, "41.3"), (16, "16"), (119.9, "120"), (20718.4, "20 718")]
)
def test_numbers_have_the_digits_that_matter(value, expected):
    """More than three digits say nothing about a benchmark."""
    assert number(value) == expected


def test_a_row_names_what_is_not_compared_with_envoy():
    """The log line's cost is a difference with its unit, against ourselves at level warning."""
    each = next(each for each in COMPARISONS if each.scenario == "log")
    rounds = {AT_INFO: [{"cpu_us": 50}, {"cpu_us": 52}], OURS: [{"cpu_us": 42}, {"cpu_us": 42}]}
    assert ratio_row(each, rounds) == (
        "a request's log line at info, extra CPU",
        "51 µs",
        "42 µs (at warning)",
        "",
        "9.0 µs",
        "8.0 to 10.0",
        "≤ 10 µs",
        "≤ 5 µs",
        "bar",
    )


def test_a_table_has_two_forms():
    """The terminal gets columns, the page gets Markdown."""
    table = Table(("", "µs"), [("parse", "4.2"), ("all", "50.1")])
    assert as_text(table) == "         µs\nparse   4.2\nall    50.1"
    assert as_markdown(table) == "|  | µs |\n| --- | ---: |\n| parse | 4.2 |\n| all | 50.1 |"


@pytest.fixture
def whole() -> Any:
    """Give the results of a run in which each contender did the same."""
    sample = dict.fromkeys(
        ("cpu_us", "requests", "requests_per_s", "busy", "others", "median_ms", "p99_ms", "mb_per_cpu_s", "mb_per_s"),
        1.0,
    )
    sample |= dict.fromkeys(("resident", "private", "connection", "seconds", "packages", "modules"), 1024.0)
    return {
        "machine": {"cores": "2"},
        "versions": {"Envoy": "1.40.0"},
        "settings": {"rounds": 2, "seconds": 1, "date": "2026-11-24"},
        "scenarios": {
            name: {who: [sample, sample] for who in (OURS, AT_INFO, WITH_DPOP, ENVOY, NGINX, BARE)}
            for name in SCENARIOS
        },
        "transport": {OURS: "TLSv1.3 X"},
        "profile": {
            "cpu": {"total": 40.0, "user": 30.0, "system": 10.0},
            "stages": {"token": 30.0},
            "calls": {"read": 2.0},
            "samples": {"count": 500},
        },
        "errors": {},
    }


def test_the_page_takes_the_tables_of_a_run(whole):
    """Each table replaces what stands between its comments, whatever it was, and nothing else."""
    old = "".join(f"Before {name}.\n\n<!-- {name} -->\nold\n<!-- end of {name} -->\n" for name in tables(whole))
    filled = page.filled(old, whole)
    assert "old" not in filled
    assert "| system calls (kernel) | 10.0 | 25% |" in filled
    assert "Before calls.\n\n<!-- calls -->\n\n| system call | a request |" in filled
    assert page.filled(filled, whole) == filled


def test_a_page_without_a_place_for_a_table_is_refused(whole):
    """A table that would be lost is an error."""
    with pytest.raises(IncompleteError, match="0 places for the table machine"):
        page.filled("# Performance\n", whole)


@pytest.mark.parametrize("lacking", ["json-1", "start", "profile", "transport"])
def test_a_part_of_a_run_does_not_get_on_the_page(whole, lacking):
    """The page shows one whole run, or what it showed before."""
    part = copy.deepcopy(whole)
    if lacking in SCENARIOS:
        del part["scenarios"][lacking]
    else:
        part[lacking] = {}
    with pytest.raises(IncompleteError, match=lacking):
        page.filled(PAGE.read_text(encoding="utf-8"), part)


def test_results_survive_their_file(whole, tmp_path):
    """What is written is read again, but for digits that mean nothing."""
    whole["profile"]["cpu"]["total"] = 40.123456789
    path = tmp_path / "results.json"
    results.write(path, whole)
    assert results.read(path) == whole | {
        "profile": whole["profile"] | {"cpu": whole["profile"]["cpu"] | {"total": 40.1235}}
    }


def test_the_page_shows_the_run_that_is_kept():
    """docs/performance.md has the tables of docs/performance.json, to the digit."""
    kept = results.read(PAGE.with_suffix(".json"))
    text = PAGE.read_text(encoding="utf-8")
    assert page.filled(text, kept) == text
    assert json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))["errors"] == {}
