"""Writes the tables of a run into docs/performance.md, between the comments that mark their places."""

import re

from benchmarks.report import as_markdown, tables
from benchmarks.results import Results
from benchmarks.scenarios import SCENARIOS
from benchmarks.tools import ROOT

PAGE = ROOT / "docs" / "performance.md"


class IncompleteError(Exception):
    """The results or the page lack something that the other has."""


def filled(page: str, results: Results) -> str:
    """
    Return *page* with the tables of a run made anew, see `with_tables`.

    Raises `IncompleteError` unless the results are those of a whole run and the page has a place for each table.
    """
    lacking = [name for name in SCENARIOS if name not in results["scenarios"]]
    lacking += [name for name in ("profile", "transport") if not results[name]]
    if lacking:
        raise IncompleteError(f"not the results of a whole run, without {', '.join(lacking)}")
    return with_tables(page, results)


def with_tables(page: str, results: Results) -> str:
    """
    Return *page* with each table between `<!-- NAME -->` and `<!-- end of NAME -->` made anew, of what was measured.

    Raises `IncompleteError` unless the page has a place for each table.
    """
    for name, table in tables(results).items():
        # What is put in holds no backslash, so it is its own replacement.
        place = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        page, places = re.subn(place, rf"\1\n{as_markdown(table)}\n\n\2", page, flags=re.DOTALL)
        if places != 1:
            raise IncompleteError(f"the page has {places} places for the table {name}")
    return page
