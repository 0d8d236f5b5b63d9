"""The report as one JSON document, for scripts: `okta-proxy check --json`. Its form is in docs/operations.md."""

import json
from collections.abc import Mapping
from typing import TextIO

from proxy import __version__
from proxy.cli.doctor.report import Report, Verdict

VERSION = 1
"""Of the document: raised when a field goes or changes its meaning, not when one is added."""

MEANINGS: Mapping[int, str] = {
    0: "nothing failed",
    2: "the configuration cannot be used",
    3: "a step failed",
}


class JsonReport(Report):
    """Keeps what it is told and prints it all at the end, so that standard output has one document or none."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, colours=False)
        self._verdicts: list[Verdict] = []

    def end(self, code: int = 0) -> None:
        """Print the document; *code* is what the command exits with."""
        steps = [step for verdict in self._verdicts for step in self._steps(verdict)]
        document = {
            "version": VERSION,
            "okta_proxy": __version__,
            "ok": code == 0,
            "exit_code": code,
            "meaning": MEANINGS[code],
            "problems": [step["detail"] for step in steps if step["status"] == "fail"],
            "steps": steps,
        }
        self._print(json.dumps(document, indent=2))

    def _show(self, verdict: Verdict) -> None:
        self._verdicts.append(verdict)

    def _steps(self, verdict: Verdict) -> list[dict[str, object]]:
        """Return a step for each that the verdict is about: several are skipped in one line."""
        detail, remedy = self._clean(verdict.text), [self._clean(line) for line in verdict.remedy]
        return [
            {"name": name, "status": verdict.outcome.lower(), "detail": detail, "remedy": remedy}
            for name in verdict.step.split(", ")
        ]
