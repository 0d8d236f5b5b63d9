"""The page on troubleshooting says what the program says: its codes, its words, its keys."""

import io
import json
import re
from pathlib import Path

import pytest

from proxy import errors
from proxy.admin import access, server
from proxy.cli.doctor import certificates, claims, clock, credential, discovery, files, grant, upstream
from proxy.cli.doctor.document import MEANINGS, VERSION, JsonReport
from proxy.cli.doctor.report import failed, passed, skipped, warned
from proxy.config.keys import KEYS, SECTIONS

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
SOURCES = " ".join(
    re.sub(r"\{[^{}]*\}", "", path.read_text(encoding="utf-8")) for path in sorted((ROOT / "proxy").rglob("*.py"))
)


def answers():
    """Return status and code of each error that a listener of ours answers."""
    classes = [kind for module in (errors, access, server) for kind in vars(module).values() if isinstance(kind, type)]
    return sorted({(kind.status, kind.code) for kind in classes if issubclass(kind, errors.ProxyError)})


def rows(heading):
    """Return the first cells of the table under *heading*."""
    section = re.split(rf"^#+ {heading}$", PAGE, flags=re.MULTILINE)[1]
    section = re.split(r"^#", section, flags=re.MULTILINE)[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("error", answers())
def test_every_code_has_its_line(error):
    """Each error that the proxy answers itself stands in the table, with its status."""
    status, code = error
    assert any(f"{status} `{code}`" in cell for cell in rows("The proxy answers"))


@pytest.mark.parametrize(
    "heading", ["Names, connections, certificates", "Secrets and keys", "Okta refuses", "The token", "The command"]
)
def test_the_words_are_the_programs(heading):
    """What the page quotes is what the program prints, but for what curl says."""
    quoted = [code for cell in rows(heading) if "(curl)" not in cell for code in re.findall(r"`([^`/]+)`", cell)]
    assert quoted
    assert [code for code in quoted if code not in SOURCES and code != "E0000047"] == []


def test_the_keys_exist():
    """Each key that the page names is one of the configuration."""
    named = {key for key in re.findall(r"`([a-z]+\.[a-z_]+)", PAGE) if key.partition(".")[0] in SECTIONS}
    assert len(named) > 15
    assert named - set(KEYS) == set()


def test_the_links_lead_somewhere():
    """Each link inside the page and to a neighbour has its target."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        assert not file or (ROOT / "docs" / file).exists()
        headings = [line.lstrip("# ").lower().replace(" ", "-") for line in PAGE.splitlines() if line.startswith("#")]
        assert not anchor or file or anchor in headings


def test_the_tables_are_tables():
    """Each row of a table has the three cells of its head."""
    for line in [line for line in PAGE.splitlines() if line.startswith("|")]:
        assert len(re.findall(r"(?<!\\)\|", line)) == 4, line


def field(name):
    """Return what the page on operations says of a field of the JSON document."""
    (row,) = [line for line in OPERATIONS.splitlines() if line.startswith(f"| `{name}`")]
    return row


def test_the_document_is_the_documented_one():
    """Each field of the JSON document has its row and its place in the example, and there is no other row."""
    stream = io.StringIO()
    report = JsonReport(stream)
    report.add(passed("a", "fine"), warned("b", "hm"), failed("c", "no", "Do."), skipped("d, e", "why"))
    report.end(3)
    document = json.loads(stream.getvalue())
    section = OPERATIONS.partition("## The doctor, for scripts")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    assert list(json.loads(example)) == list(document)
    named = [name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall("`(.+?)`", row)]
    assert set(named) == {*document, *(f"steps[].{name}" for name in document["steps"][0])}
    assert f"`{VERSION}`" in field("version")
    assert [step["status"] for step in document["steps"]] == ["pass", "warn", "fail", "skip", "skip"]
    assert all(f"`{step['status']}`" in field("steps[].status") for step in document["steps"])
    assert all(f"{code} `{meaning}`" in field("exit_code") for code, meaning in MEANINGS.items())


def test_the_steps_are_the_documented_ones():
    """A script that asks for a step by its name finds it."""
    modules = (certificates, claims, clock, credential, discovery, files, grant, upstream)
    known = {"config", "dns", *(module.STEP for module in modules)}
    assert set(re.findall("`([a-z]+)`", field("steps[].name"))) == known
