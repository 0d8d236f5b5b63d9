"""What a stranger gets: the lock files, the wheel, the Makefile, and what CI runs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proxy import __version__

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-build.txt")


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, list[str]]:
    """Return the lock file's requirements, by the package's name, each with the lines that follow it."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if re.match(r"\w", line):
            requirement = Requirement(line.rstrip("\\ "))
            current = found.setdefault(canonicalize_name(requirement.name), [str(requirement)])
        elif "--hash" in line:
            current.append(line.strip(" \\"))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    """Each line of a lock names one version and the hashes of its files."""
    requirements = locked(name)
    assert requirements
    for first, *hashes in requirements.values():
        assert re.fullmatch(r"==[\w.]+", str(Requirement(first).specifier))
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(name: str) -> None:
    """No index, no option, no address and no path: whoever installs decides where from."""
    for line in (ROOT / name).read_text().splitlines():
        assert re.match(r"(\w[\w.-]*==|    --hash=sha256:|    # |# |$)", line), line
        assert "://" not in line
        assert not re.search(r"(^|\s)/\w", line)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.txt", project()["project"]["dependencies"]),
        ("requirements-dev.txt", project()["project"]["optional-dependencies"]["dev"]),
        ("requirements-build.txt", project()["build-system"]["requires"]),
    ],
)
def test_what_the_project_asks_for_is_locked_within_its_range(name: str, wanted: list[str]) -> None:
    """Each dependency of pyproject.toml is in its lock, with a version that pyproject.toml allows."""
    requirements = locked(name)
    for text in wanted:
        asked = Requirement(text)
        pinned = Requirement(requirements[canonicalize_name(asked.name)][0])
        [version] = pinned.specifier
        assert asked.specifier.contains(version.version), text


def test_the_tests_run_with_what_the_proxy_runs_with() -> None:
    """A package that both locks have has the same version in both."""
    running, testing = locked("requirements.txt"), locked("requirements-dev.txt")
    assert {name: lines[0] for name, lines in running.items()} == {name: testing[name][0] for name in running}


def test_every_dependency_is_explained() -> None:
    """Each dependency has its row in docs/dependencies.md, and each row is a dependency."""
    rows = re.findall(r"^\| ([\w-]+) \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)
    asked = [canonicalize_name(Requirement(text).name) for text in project()["project"]["dependencies"]]
    assert sorted(rows[1:]) == sorted(asked)


def test_the_changelog_has_this_version() -> None:
    """The newest section of the changelog is this version's or what is not released yet, and a release has its date."""
    sections = re.findall(
        r"^## \[?([\w.]+)\]?(?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert sections[0][0] in ("Unreleased", __version__)
    assert all(date for version, date in sections if version != "Unreleased")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel from a copy of what it is made of."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "proxy", source / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    program = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=source, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(source / done.stdout.splitlines()[-1]) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_else(wheel) -> None:
    """Every module is in it, with the marker for type checkers; no test, no configuration."""
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "proxy").rglob("*.py")}
    assert files == expected | {"proxy/py.typed"}


def test_the_wheel_tells_what_it_is(wheel) -> None:
    """Its metadata has the name, the version, the oldest Python, the README and the command."""
    [folder] = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = message_from_string(wheel.read(f"{folder}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"], metadata["Requires-Python"]) == ("okta-proxy", __version__, ">=3.11")
    assert "# okta-proxy" in metadata.get_payload()
    assert wheel.read(f"{folder}/entry_points.txt").decode().split() == [
        "[console_scripts]",
        "okta-proxy",
        "=",
        "proxy.cli:main",
    ]


def make(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run make in the checkout, as a user would."""
    command = ["make", "--no-print-directory", *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | environ
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_make_lists_its_targets() -> None:
    """`make` alone, and `make help`, print a line for each target and do nothing."""
    listed = make("help").stdout
    assert make().stdout == listed
    for target in ("run", "test", "check", "wheel", "lock", "clean"):
        assert re.search(rf"^make {target} +\w", listed, re.MULTILINE)


def fake_python(folder: Path, exit_code: int) -> None:
    """Put a `python3` into *folder* that tells its arguments and ends with *exit_code*."""
    for name in ("python3.13", "python3.12", "python3.11", "python3.14", "python3"):
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "$0 $*"\nexit {exit_code}\n')
        script.chmod(0o755)


@pytest.mark.parametrize(("exit_code", "found"), [(0, True), (1, False)])
def test_make_finds_a_python_or_says_what_is_missing(tmp_path: Path, exit_code: int, found: bool) -> None:
    """The first Python that is new enough makes the environment; without one the way out is named."""
    fake_python(tmp_path, exit_code)
    target = tmp_path / "venv"
    done = make(f"VENV={target}", f"{target}/bin/python", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == (0 if found else 2)
    if found:
        assert f"{tmp_path}/python3.13 -m venv {target}" in done.stdout
    else:
        assert "okta-proxy needs Python 3.11 or newer" in done.stdout
        assert "make PYTHON=/path/to/python3" in done.stdout


def test_make_sets_up_once() -> None:
    """What is set up depends on the lock files and on pyproject.toml, so that a change of them sets up anew."""
    rules = re.findall(r"^\$\(VENV\)/\.(\w+): ([^|\n]*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert dict(rules) == {
        "run": "requirements.txt requirements-build.txt pyproject.toml ",
        "dev": "requirements-dev.txt $(VENV)/.run",
    }


def test_nothing_that_is_kept_names_this_machine() -> None:
    """No file of the project holds the path of the checkout or of its owner's home."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        path = ROOT / name
        if path.is_file():
            text = path.read_text(errors="replace")
            assert str(ROOT) not in text, name
            assert f"{Path.home()}/" not in text, name
