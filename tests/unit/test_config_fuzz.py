"""Whatever stands in the file and in the environment: `Loaded` or `ConfigError`, a line a problem, no value in any."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config import Loaded, load
from proxy.config.environment import NAMES
from proxy.config.keys import KEYS, SECTIONS
from proxy.errors import ConfigError

CANARY = "Xk7qZcanary9Vw"
"""Stands inside values only. No message may hold it."""

AFFIXES = [
    "",
    " ",
    "\n",
    "${",
    "$${",
    "}",
    "*",
    "&",
    "!",
    "%",
    "@",
    "`",
    "'",
    '"',
    "://",
    "https://",
    "u:",
    "@h",
    ".okta.com",
]
TEXTS = st.builds(
    lambda before, after: f"{before}{CANARY}{after}",
    st.one_of(st.sampled_from(AFFIXES), st.text(max_size=4)),
    st.one_of(st.sampled_from(AFFIXES), st.text(max_size=4)),
)
GOOD = [
    "https://api.example.com",
    "http://localhost:8080",
    "0.0.0.0",
    "true",
    "off",
    "10s",
    "64KiB",
    "8080",
    "info",
    "a b",
]
SCALARS = st.one_of(TEXTS, st.sampled_from(GOOD), st.none(), st.booleans(), st.integers(), st.floats(), st.dates())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["X-A", "scope", "Host", "a b", ""]), inner, max_size=3),
    ),
    max_leaves=6,
)
NAMES_OF_KEYS = st.one_of(st.sampled_from([key.name for key in KEYS.values()]), st.sampled_from(["on", "1", "x y", ""]))
DOCUMENTS = st.one_of(
    st.dictionaries(
        st.one_of(st.sampled_from(list(SECTIONS)), st.sampled_from(["foo", "client_id"])),
        st.one_of(SCALARS, st.dictionaries(NAMES_OF_KEYS, VALUES, max_size=6)),
        max_size=5,
    ),
    VALUES,
)
INDICATORS = "aoauth:{}[]&*!|>%@`'\"#-?,\\ \n\tUxf0~<=."
"""What YAML gives a meaning to."""
ENVIRONS = st.dictionaries(
    st.sampled_from([*NAMES, "OKTA_PROXY_CONFIG", "OKTA_PROXY_OAUTH_ISSUER", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"]),
    st.one_of(TEXTS, st.sampled_from(GOOD)),
    max_size=8,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a place for the file, one for all examples."""
    return tmp_path_factory.mktemp("fuzz") / "config.yaml"


def outcome(path: str | None, environ: dict[str, str]) -> list[str]:
    """Return everything that is said of a configuration; whatever else is raised fails the test."""
    try:
        loaded = load(path, environ)
    except ConfigError as error:
        return error.problems or ["an error without a problem\n"]
    assert isinstance(loaded, Loaded)
    return loaded.warnings


def assert_fit_to_print(lines: list[str]) -> None:
    """Fail if a line is more than one line, or holds a value."""
    for line in lines:
        assert line.isprintable()
        assert CANARY not in line


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS, environ=ENVIRONS)
def test_any_yaml_and_any_environment(file: Path, document: Any, environ: dict[str, str]) -> None:
    """Well-formed files with anything in them end in one of the two ways."""
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    assert_fit_to_print(outcome(str(file), environ))


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=60), st.text(st.sampled_from("aoauth:{}[]&*!|>%@`'\"#-?,\\ \n\tUxf0~<=."), max_size=40)
    )
)
def test_any_bytes(file: Path, data: bytes | str) -> None:
    """Files that are no YAML, or hardly, end in one of the two ways."""
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    for line in outcome(str(file), {}):
        assert line.isprintable()


@settings(max_examples=200, deadline=None)
@given(before=st.sampled_from(AFFIXES), after=st.sampled_from(AFFIXES), indent=st.sampled_from(["", " ", "\t", "    "]))
def test_a_secret_that_breaks_the_syntax(file: Path, before: str, after: str, indent: str) -> None:
    """A secret without quotes is where YAML breaks first; its line is named and nothing of it is quoted."""
    file.write_text(f"oauth:\n  client_id: x\n{indent}client_secret: {before}{CANARY}{after}\n", encoding="utf-8")
    assert_fit_to_print(outcome(str(file), {}))
