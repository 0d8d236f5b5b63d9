"""
YAML as the configuration reads it: a mapping of sections, each a mapping of keys, whose values stay the text they are.

Only the key knows whether `8080`, `off` or `0123` is a number, a word or a client ID, so nothing is made of them here:
what was written is what is kept. Nodes are read without building objects, at most three levels deep, so no tag and
no alias can do harm. Messages name keys and lines and never quote a value, nor PyYAML, which quotes values.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.config.keys import KEYS, SECTIONS
from proxy.config.names import shown, unknown
from proxy.errors import ConfigError

if TYPE_CHECKING:
    import yaml

_TAG = "tag:yaml.org,2002:"


class Bare(str):
    """A scalar without quotes that YAML takes for a boolean, a date or a number other than plain digits."""

    __slots__ = ()


Scalar = str | None
Raw = str | list[Scalar] | dict[str, Scalar]


class Entry(NamedTuple):
    """A value that was set, and the place where: for messages."""

    raw: Raw
    where: str


def parse(text: str, name: str) -> tuple[dict[str, Entry], list[str]]:
    """
    Return what *text*, the file called *name*, sets by full key, and what is wrong with its keys.

    Raises `ConfigError` if it is no YAML, or no mapping.
    """
    import yaml  # noqa: PLC0415  # a configuration by environment alone does without

    root = _compose(text, name)
    if root is None or _is_null(root):
        return {}, []
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError([f"{name}: must be a mapping of sections, as in config.example.yaml"])
    reader = _Reader(name)
    for section, key, node in reader.pairs(root, ""):
        reader.section(section, key, node)
    return reader.entries, reader.problems


def parse_map(text: str) -> dict[str, Scalar]:
    """Return a map that is written as YAML in one text; ValueError if it is none."""
    import yaml  # noqa: PLC0415

    try:
        node = _compose(text, "")
    except ConfigError:
        node = None
    if not isinstance(node, yaml.MappingNode):
        problem = "must be a map, written as YAML: {name: value, name: value}"
        raise ValueError(problem)  # noqa: TRY004  # a user's mistake, no caller's
    reader = _Reader("")
    raw = reader.leaf(node, "")
    if reader.problems or not isinstance(raw, dict):
        raise ValueError("must be a map of names to texts, each name once")
    return raw


def parse_list(text: str) -> list[Scalar]:
    """Return a list that is written as YAML in one text; ValueError if it is none."""
    import yaml  # noqa: PLC0415

    try:
        node = _compose(text, "")
    except ConfigError:
        node = None
    if not isinstance(node, yaml.SequenceNode):
        problem = "must be a list, written as YAML or with blanks or commas: [one, two] or one two"
        raise ValueError(problem)  # noqa: TRY004  # a user's mistake, no caller's
    reader = _Reader("")
    entries = [reader.scalar(item, "") for item in node.value]
    if reader.problems:
        raise ValueError("must be a list of texts: put an entry that holds a colon, a brace or a mark in quotes")
    return entries


class _Reader:
    """Collects entries and problems from the nodes of one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[str, Entry] = {}
        self.problems: list[str] = []

    def section(self, section: str, key_node: "yaml.Node", node: "yaml.Node") -> None:
        """Read one section."""
        import yaml  # noqa: PLC0415

        if section not in SECTIONS:
            self.complain(unknown(section, ""), key_node)
        elif isinstance(node, yaml.MappingNode):
            for key, place, leaf in self.pairs(node, f"{section}."):
                self.key(section, key, place, leaf)
        elif not _is_null(node):
            self.complain(f"{section}: must be a mapping of keys, one a line below it, further to the right", key_node)

    def key(self, section: str, key: str, key_node: "yaml.Node", node: "yaml.Node") -> None:
        """Read one key."""
        full = f"{section}.{key}"
        if full not in KEYS:
            self.complain(unknown(section, key), key_node)
            return
        raw = self.leaf(node, full)
        if raw is not None:
            self.entries[full] = Entry(raw, f"{self.name} line {_line(key_node)}")

    def pairs(self, node: Any, prefix: str) -> Iterator[tuple[str, "yaml.Node", "yaml.Node"]]:
        """Yield a mapping's keys, and complain of those that are no text or stand there twice."""
        import yaml  # noqa: PLC0415

        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.complain(f"{prefix.rstrip('.') or 'the file'}: has a key that is a list or a map", key)
            elif key.value in seen:
                first = f"in line {seen[key.value]} already: keep one of them"
                self.complain(f"{prefix}{shown(key.value)}: stands {first}", key)
            else:
                seen[key.value] = _line(key)
                yield key.value, key, value

    def leaf(self, node: "yaml.Node", full: str) -> Raw | None:
        """Return a key's value: a text, a list of texts or a map of texts, None for one that is not set."""
        import yaml  # noqa: PLC0415

        if isinstance(node, yaml.SequenceNode):
            return [self.scalar(item, full) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return {key: self.scalar(value, full) for key, _, value in self.pairs(node, f"{full}.")}
        return self.scalar(node, full)

    def scalar(self, node: "yaml.Node", full: str) -> Scalar:
        """Return a scalar's text."""
        import yaml  # noqa: PLC0415

        if not isinstance(node, yaml.ScalarNode):
            self.complain(f"{full}: has a list or a map inside a list or a map: write texts there", node)
            return None
        kind = node.tag.removeprefix(_TAG)
        text: str = node.value
        if kind == "null":
            return None
        if kind == "str" or (kind == "int" and re.fullmatch(r"0|-?[1-9][0-9]*", text)):
            return text
        if kind in ("int", "bool", "float", "timestamp", "merge", "value"):
            return Bare(text)
        self.complain(f"{full}: has a YAML tag: put a value that begins with ! in quotes", node)
        return None

    def complain(self, problem: str, node: "yaml.Node") -> None:
        """Note a problem and its line."""
        self.problems.append(f"{problem} ({self.name} line {_line(node)})")


def _line(node: "yaml.Node") -> int:
    line: int = node.start_mark.line + 1
    return line


def _is_null(node: "yaml.Node") -> bool:
    return bool(node.tag == f"{_TAG}null")


def _compose(text: str, name: str) -> "yaml.Node | None":
    """Return the root node of *text*."""
    import yaml  # noqa: PLC0415

    try:
        # Nodes only: no constructor runs, so this is as safe as safe_load.
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, name)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError([f"{name} line {line}: has a control character, which YAML does not allow"]) from None
    except RecursionError:
        raise ConfigError([f"{name}: is nested too deeply"]) from None
    except (ValueError, OverflowError):  # PyYAML's own slip: "\UFFFFFFFF" is no character
        raise ConfigError([f"{name}: has an escape in double quotes that is no character: use single quotes"]) from None


_HINTS = (
    ("'\\t'", "a tab stands where blanks must: indent with blanks"),
    ("cannot start any token", "a value that begins with @, % or a backtick needs quotes"),
    ("could not find expected ':'", "a key needs a colon and a blank behind it"),
    (
        "mapping values are not allowed",
        "a value with a colon and a blank in it needs quotes, or the indentation is off",
    ),
    ("alias", "a value that begins with * needs quotes"),
    ("anchor", "a value that begins with & needs quotes"),
    ("tag", "a value that begins with ! needs quotes"),
    ("escape", "a backslash in double quotes begins an escape: use single quotes"),
    ("hexadecimal", "a backslash in double quotes begins an escape: use single quotes"),
    ("stream end", "a bracket or a brace is not closed"),
    ("end of stream", "a quote is not closed"),
    ("single document", "only one document may stand there: remove the second ---"),
)


def _syntax_problem(error: "yaml.MarkedYAMLError", name: str) -> str:
    """Return PyYAML's complaint in our words: its own would quote the text around it."""
    about = f"{error.problem} {error.context}"
    hint = next((hint for sign, hint in _HINTS if sign in about), "look at indentation, quotes and brackets")
    # What is not closed is best looked for where it opens.
    opens = error.context_mark if "not closed" in hint else None
    mark = opens or error.problem_mark or error.context_mark
    line = "" if mark is None else f" line {mark.line + 1}"
    return f"{name}{line}: is not YAML: {hint}"
