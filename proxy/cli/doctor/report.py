"""
What the doctor prints: a line for each verdict, its remedy indented below it, and the counts at the end.

Everything that is printed goes through `Report`, which knows the secrets and leaves them out: the text is for tickets.
Only what is declared as `Fixed`, our own words alone, is not searched: a placeholder such as `secret` would star it.
"""

import base64
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple, TextIO
from urllib.parse import quote, quote_plus

from proxy.cli.output import write
from proxy.logs.redaction import STARS, escape, is_secret

Outcome = Literal["PASS", "WARN", "FAIL", "SKIP"]

_COLOURS = {"PASS": "\x1b[32m", "WARN": "\x1b[33m", "FAIL": "\x1b[31m", "SKIP": "\x1b[2m"}
_RESET = "\x1b[0m"
_SHORTEST_SECRET = 4
"""Characters: to put stars for less would only make the text unreadable."""
_WORDS = (("FAIL", "failed", "failed"), ("WARN", "warning", "warnings"), ("SKIP", "skipped", "skipped"))


class Fixed(str):
    """
    A line in which each word is ours: it is printed as it is, however like a secret one of its words may be.

    Only for what holds nothing that came from a server, from an exception or from the configuration.
    """

    __slots__ = ()


class Verdict(NamedTuple):
    """What a step found. `remedy` are lines that say what to do, or what helps to find out."""

    outcome: Outcome
    step: str
    text: str
    remedy: tuple[str, ...] = ()


def passed(step: str, text: str) -> Verdict:
    """Return that all is well."""
    return Verdict("PASS", step, text)


def warned(step: str, text: str, *remedy: str) -> Verdict:
    """Return that something may not be as it is meant."""
    return Verdict("WARN", step, text, remedy)


def failed(step: str, text: str, *remedy: str) -> Verdict:
    """Return that something is wrong."""
    return Verdict("FAIL", step, text, remedy)


def skipped(step: str, why: str) -> Verdict:
    """Return that a step has nothing to look at, or cannot be done."""
    return Verdict("SKIP", step, why)


class Report:
    """Prints verdicts to *stream* as they come, and counts them."""

    def __init__(self, stream: TextIO, *, colours: bool) -> None:
        self._stream = stream
        self._colours = colours
        self._secrets: list[str] = []
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Report {summary(self._counts)}>"

    def hide(self, *secrets: str) -> None:
        """Print stars for these from now on, also where somebody has encoded them."""
        found = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in spellings(secret)}
        # The longest first: one secret may be a part of another.
        self._secrets = sorted({*self._secrets, *found}, key=len, reverse=True)

    def add(self, *verdicts: Verdict) -> None:
        """Print *verdicts*, at once: the next step may take a while."""
        for verdict in verdicts:
            self._counts[verdict.outcome] += 1
            self._show(verdict)

    def end(self, code: int = 0) -> None:  # noqa: ARG002  # only the document for scripts has it
        """Print the counts; *code* is what the command exits with."""
        self._print(summary(self._counts))

    @property
    def has_failures(self) -> bool:
        """Whether a step failed."""
        return self._counts["FAIL"] > 0

    def _show(self, verdict: Verdict) -> None:
        word = f"{_COLOURS[verdict.outcome]}{verdict.outcome}{_RESET}" if self._colours else verdict.outcome
        self._print(f"{word} {verdict.step}: {self._clean(verdict.text)}")
        for line in verdict.remedy:
            self._print(f"     {self._clean(line)}")

    def _print(self, line: str) -> None:
        write(line, self._stream)

    def _clean(self, text: str) -> str:
        if isinstance(text, Fixed):
            return text
        for secret in self._secrets:
            text = text.replace(secret, STARS)
        return escape(text)


def summary(counts: Counter[str]) -> str:
    """Return the last line: how many checks passed, and how many did something else."""
    good = counts["PASS"]
    others = [f"{counts[outcome]} {words[counts[outcome] != 1]}" for outcome, *words in _WORDS if counts[outcome]]
    if not others and good > 1:
        return f"All {good} checks passed."
    return ", ".join([f"{good} {'check' if good == 1 else 'checks'} passed", *others]) + "."


def spellings(secret: str) -> set[str]:
    """Return *secret* as it is, and as a form, a URL or a Basic header would carry it."""
    return {secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(secret.encode()).decode()}


def secret_values(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values whose names say that they are secrets."""
    return [value for name, value in pairs if is_secret(name.replace("-", "_"))]
