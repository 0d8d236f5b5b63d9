"""Reads the README and the pages in docs/: their code blocks, their terminal sessions, their inline code."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced code block: `language` is the first word behind the fence, `note` are the others."""

    language: str
    note: str
    text: str
    where: str
    """The page and the line, for messages."""


class Step(NamedTuple):
    """A command of a terminal session, and what it prints."""

    command: str
    output: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the code blocks of *page* that are in one of *languages*, all of them if none is named."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, _, note = match[2].strip().partition(" ")
        if languages and language not in languages:
            continue
        line = text.count("\n", 0, match.start()) + 1
        body = re.sub(f"^{match[1]}", "", match[3], flags=re.MULTILINE)
        found.append(Block(language, note, body, f"{page.relative_to(ROOT)}:{line}"))
    return found


def prose(page: Path) -> str:
    """Return *page* without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def inline_code(page: Path) -> list[str]:
    """Return what stands between backticks in the text of *page*."""
    return [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", prose(page))]


def steps(block: Block) -> list[Step]:
    """Return the commands of a `console` block, which stand behind `$ `, with what follows each."""
    start, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not start.strip(), f"{block.where} begins with output"
    found = []
    for part in parts:
        # A backslash at its end continues a command.
        match = re.match(r"((?:.*\\\n)*.*)\n?", part)
        assert match is not None
        found.append(Step(match[1], part[match.end() :]))
    return found
