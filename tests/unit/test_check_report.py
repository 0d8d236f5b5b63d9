"""What the doctor prints, and what it keeps to itself."""

import io
from collections import Counter

import pytest

from proxy.cli.doctor.certificates import Certificate
from proxy.cli.doctor.files import lasting
from proxy.cli.doctor.report import Fixed, Report, failed, passed, secret_values, skipped, spellings, summary, warned

SECRET = "s3cret/with+signs"


def printed(*verdicts, colours=False, hidden=()):
    """Return what a report of these verdicts prints."""
    stream = io.StringIO()
    report = Report(stream, colours=colours)
    report.hide(*hidden)
    report.add(*verdicts)
    report.end()
    return stream.getvalue()


def test_a_verdict_is_a_line_and_its_remedy_is_indented():
    """Outcome, step and text make a line; each line of the remedy follows, indented; the counts come last."""
    assert printed(
        passed("dns", "it is there"),
        warned("token", "hm"),
        failed("tls", "no", "Do this.", "Or that."),
        skipped("claims", "no token"),
    ) == (
        "PASS dns: it is there\n"
        "WARN token: hm\n"
        "FAIL tls: no\n"
        "     Do this.\n"
        "     Or that.\n"
        "SKIP claims: no token\n"
        "1 check passed, 1 failed, 1 warning, 1 skipped.\n"
    )


def test_colours_are_for_the_outcome_alone():
    """With colours only the first word is coloured."""
    assert printed(passed("dns", "fine"), colours=True).startswith("\x1b[32mPASS\x1b[0m dns: fine\n")


@pytest.mark.parametrize("form", sorted(spellings(SECRET)))
def test_a_hidden_secret_is_stars_in_every_spelling(form):
    """A secret is not printed as it is, nor as a form, a URL or a Basic header would carry it."""
    out = printed(failed("token", f"they said {form}!", f"and {form}"), hidden=(SECRET,))
    assert form not in out
    assert out.startswith("FAIL token: they said ***!\n     and ***\n")


def test_the_longer_of_two_secrets_goes_first():
    """A secret that holds another one is hidden whole."""
    assert "***\n" in printed(passed("x", "longer-secret"), hidden=("longer", "longer-secret"))


def test_our_own_words_are_left():
    """A secret that is a word of ours stays in lines that are ours alone, and goes wherever else it stands."""
    out = printed(failed("token", "they said wrong", Fixed("It is wrong."), "They: wrong"), hidden=("wrong", "token"))
    assert out.startswith("FAIL token: they said ***\n     It is wrong.\n     They: ***\n")


def test_what_is_too_short_to_be_a_secret_is_left():
    """Hiding a letter or two would only make the text unreadable."""
    assert printed(passed("x", "a b"), hidden=("a", "")).startswith("PASS x: a b\n")


def test_what_cannot_be_printed_is_escaped():
    """No line break and no escape sequence from outside forges a line or steers a terminal."""
    assert printed(passed("x", "a\r\nFAIL y\x1b[2J")).startswith("PASS x: a\\r\\nFAIL y\\x1b[2J\n")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"PASS": 9}, "All 9 checks passed."),
        ({"PASS": 1}, "1 check passed."),
        ({}, "0 checks passed."),
        ({"PASS": 2, "SKIP": 1}, "2 checks passed, 1 skipped."),
        ({"PASS": 2, "WARN": 2, "FAIL": 3, "SKIP": 4}, "2 checks passed, 3 failed, 2 warnings, 4 skipped."),
    ],
)
def test_the_last_line_counts(counts, expected):
    """The last line says how many passed, and how many did anything else."""
    assert summary(Counter(counts)) == expected


def test_only_a_fail_is_a_failure():
    """Warnings and skipped steps are no failures, and the report's repr shows its counts."""
    report = Report(io.StringIO(), colours=False)
    report.add(passed("a", ""), warned("b", ""), skipped("c", ""))
    assert not report.has_failures
    report.add(failed("d", ""))
    assert report.has_failures
    assert repr(report) == "<Report 1 check passed, 1 failed, 1 warning, 1 skipped.>"


def test_secrets_are_known_by_their_names():
    """Of headers and parameters, those are secrets whose names say so."""
    assert secret_values([("X-Api-Key", "k"), ("audience", "api"), ("password", "p")]) == ["k", "p"]


DAYS = 86400.0


@pytest.mark.parametrize(
    ("begins", "ends", "outcome", "text"),
    [
        (-1, 200.5, "PASS", "valid for 200 days more"),
        (-1, 14, "PASS", "valid for 14 days more"),
        (-1, 13.9, "WARN", "valid for 13 days more"),
        (-1, 0.1, "WARN", "valid for less than a day more"),
        (-9, 0, "FAIL", "expired, less than a day ago"),
        (-9, -3.5, "FAIL", "expired, 3 days ago"),
        (1, 30, "FAIL", "not valid yet"),
    ],
)
def test_a_certificate_of_our_own_runs_out(begins, ends, outcome, text):
    """Two weeks before its end it is a warning, behind it a failure."""
    now = 1_700_000_000.0
    certificate = Certificate("x", (), now + begins * DAYS, now + ends * DAYS)
    verdict = lasting("upstream.client_cert_file", certificate, now)
    assert (verdict.outcome, verdict.step) == (outcome, "files")
    assert text in verdict.text
