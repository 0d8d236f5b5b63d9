"""
The import directions of the house, held by a test: imports point down this list only.

    cli -> app -> {forwarding, admin, tokens, emulator} -> {config, errors, logs}
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BASE = ("config", "errors", "logs", "off_loop")
WINGS = ("forwarding", "admin", "tokens", "emulator")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "cli": ("cli", "app", *WINGS, *BASE),
    "app": ("app", "binding", *WINGS, *BASE),
    # Sockets for both listeners, which are bound before any wing is started.
    "binding": ("errors",),
    **{wing: (wing, *BASE) for wing in WINGS},
    "logs": ("logs", "errors"),
    "config": ("config", "errors"),
    "errors": (),
    # Threads for what may hang: DNS, files.
    "off_loop": (),
    # `python -m proxy`, and the package itself, which has the version.
    "__main__": ("cli",),
    "": (),
}
"""For each part of the house, the parts that it may import."""

EXCEPTIONS = {("forwarding", "proxy.tokens.source")}
"""The one interface between two wings."""

LIGHT = ("proxy.cli.health", "proxy.cli.wait")
"""Commands that run as probes: the standard library, and each other."""

LOADED_WITH_LIGHT = ("proxy", "proxy.cli", "proxy.errors")
"""What is loaded before a light command is: it may import more, but inside functions only."""


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return a line for each import in *sources* (module name to source) that points where it must not."""
    found = []
    for module, source in sources.items():
        part = part_of(module)
        if part not in MAY_IMPORT:
            found.append(f"{module}: has no place in the house")
            continue
        targets = imports(ast.walk(ast.parse(source)), module, sources)
        found += [f"{module} imports {target}" for target in targets if not allowed(module, part, target)]
        if module in LOADED_WITH_LIGHT:
            loaded = imports(run_at_import(ast.parse(source)), module, sources)
            heavy = [target for target in loaded if not is_light(target) and target not in LOADED_WITH_LIGHT]
            found += [f"{module} imports {target} when it is loaded" for target in heavy]
    return found


def allowed(module: str, part: str, target: str) -> bool:
    """Tell whether *module*, of *part* of the house, may import *target*."""
    if module in LIGHT:
        return is_light(target)
    top, *_ = target.split(".")
    if top != "proxy" or target == "proxy":
        return True
    return part_of(target) in MAY_IMPORT[part] or (part, target) in EXCEPTIONS


def part_of(module: str) -> str:
    """Return the part of the house that *module* is in, "" for the package itself."""
    return [*module.split("."), ""][1]


def is_light(target: str) -> bool:
    """Tell whether a probe may import *target*."""
    return target in LIGHT or target == "proxy" or target.partition(".")[0] in sys.stdlib_module_names


def imports(nodes: Iterator[ast.AST], module: str, sources: Mapping[str, str]) -> Iterator[str]:
    """Yield the full name of each module that *nodes* of *module* import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                is_package = any(name.startswith(f"{module}.") for name in sources)
                above = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                # `from proxy import errors` imports a module, `from proxy.errors import ProxyError` does not.
                name = f"{base}.{alias.name}"
                yield name if name in sources or (base == "proxy" and name != "proxy.__version__") else base


def run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is loaded: not those inside functions or for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from run_at_import(node)


def house() -> dict[str, str]:
    """Return the source of every module of the package, a package under its own name."""
    sources = {}
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        sources[name.removesuffix(".__init__")] = path.read_text()
    return sources


def test_imports_point_down_only() -> None:
    """No module of the house imports upwards, sideways between the wings, or anything heavy in a probe."""
    assert violations(house()) == []


def test_every_part_of_the_house_is_looked_at() -> None:
    """The check sees the modules it is about: an empty list of violations is not the empty list of modules."""
    parts = {part_of(module) for module in house()}
    assert {"cli", "config", "errors", "logs", *WINGS} <= parts
    assert set(LIGHT) <= set(house())


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("proxy.tokens.a", "from proxy import app", "proxy.tokens.a imports proxy.app"),
        ("proxy.tokens.a", "import proxy.forwarding.guard", "proxy.tokens.a imports proxy.forwarding.guard"),
        ("proxy.forwarding.a", "from proxy.tokens import endpoint", "proxy.forwarding.a imports proxy.tokens"),
        (
            "proxy.forwarding.a",
            "from proxy.tokens.endpoint import X",
            "proxy.forwarding.a imports proxy.tokens.endpoint",
        ),
        ("proxy.admin.a", "from ..tokens.source import Token", "proxy.admin.a imports proxy.tokens.source"),
        ("proxy.admin.a", "from .. import tokens", "proxy.admin.a imports proxy.tokens"),
        ("proxy.admin.a", "def f():\n    import proxy.app", "proxy.admin.a imports proxy.app"),
        ("proxy.admin.a", "if TYPE_CHECKING:\n    import proxy.cli", "proxy.admin.a imports proxy.cli"),
        ("proxy.config.a", "import proxy.logs", "proxy.config.a imports proxy.logs"),
        ("proxy.logs.a", "from proxy.config import Secret", "proxy.logs.a imports proxy.config"),
        ("proxy.errors", "def f():\n    from proxy.config import Url", "proxy.errors imports proxy.config"),
        ("proxy.app", "from proxy.cli import main", "proxy.app imports proxy.cli"),
        ("proxy.utils", "import os", "proxy.utils: has no place in the house"),
        ("proxy.cli.health", "import msgspec", "proxy.cli.health imports msgspec"),
        ("proxy.cli.wait", "from proxy.config import load", "proxy.cli.wait imports proxy.config"),
        ("proxy.cli", "from proxy.app import serve", "proxy.cli imports proxy.app when it is loaded"),
        ("proxy.errors", "import msgspec", "proxy.errors imports msgspec when it is loaded"),
        ("proxy.cli", "try:\n    import aiohttp\nfinally:\n    pass", "proxy.cli imports aiohttp when it is loaded"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str, expected: str) -> None:
    """The check names each way in which an import can point where it must not."""
    assert violations({module: source}) == [expected]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("proxy.forwarding.a", "from proxy.tokens.source import Token, TokenSource"),
        ("proxy.forwarding.a", "from proxy.forwarding.b import x\nfrom . import c\nimport aiohttp"),
        ("proxy.app", "from proxy.tokens.refresher import R\nfrom proxy.forwarding.listener import L"),
        ("proxy.cli.run", "from proxy import __version__, app, logs\nfrom proxy.config import load"),
        ("proxy.cli", "import argparse\nfrom proxy.errors import E\ndef main():\n    from proxy.cli import run"),
        ("proxy.cli", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import proxy.config"),
        ("proxy.cli.wait", "import time\nfrom proxy.cli import health\nfrom proxy.cli.health import ask"),
        ("proxy.__main__", "from proxy.cli import main"),
    ],
)
def test_a_right_import_is_left_alone(module: str, source: str) -> None:
    """The check complains of nothing that the house allows."""
    known = {"proxy.cli.health": "", "proxy.cli.wait": ""}
    assert violations({**known, module: source}) == []
