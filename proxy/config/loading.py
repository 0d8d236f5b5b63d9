"""
Finds the configuration and turns it into `Settings`: file, environment and flags, each over the one before.

`load` and `find` raise `ConfigError` and nothing else, with all problems at once.
"""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.config import environment, rules
from proxy.config.checks import check
from proxy.config.document import Entry, parse
from proxy.config.keys import KEYS
from proxy.config.references import expand, is_reference
from proxy.config.settings import Settings
from proxy.config.values import convert
from proxy.errors import ConfigError

DEFAULT_FILES = ("config.yaml", "/etc/okta-proxy/config.yaml")
FILE_LIMIT = 256 * 1024
"""Far beyond a real file, and what PyYAML reads in seconds."""
_FLAGS = {"listen.port": "--port", "upstream.url": "--upstream", "log.level": "--log-level"}


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that can be used, and what its owner should know of it: one line each."""

    settings: Settings
    warnings: list[str]


def find(flag: str | None, environ: Mapping[str, str]) -> str | None:
    """
    Return the file to load: *flag* (`-c`), else `$OKTA_PROXY_CONFIG`, else the first of `DEFAULT_FILES` there is.

    A file that was named must exist; None if none was named and no default exists.
    """
    for name, source in ((flag, "-c"), (environ.get("OKTA_PROXY_CONFIG"), "OKTA_PROXY_CONFIG")):
        if name:
            if not os.path.exists(name):  # noqa: PTH110  # pathlib is slow to import
                raise ConfigError([f"{_one_line(name)}: there is no such file ({source} names it)"])
            return name
    return next((name for name in DEFAULT_FILES if os.path.exists(name)), None)  # noqa: PTH110


def load(path: str | None, environ: Mapping[str, str], *, flags: Mapping[str, object] = {}) -> Loaded:
    """
    Return the configuration of the file *path* (None: none), the environment and *flags* (full key to value).

    Raises `ConfigError` with all problems; none of them holds a value.
    """
    entries, found = parse(_read(path), _one_line(path)) if path is not None else ({}, [])
    in_file = set(entries)
    overriding = environment.read(environ) | {
        name: Entry(str(value), _FLAGS.get(name, "flag")) for name, value in flags.items() if value not in (None, "")
    }
    secrets = {full: entries[full] for full in ("oauth.client_secret", "oauth.private_key") if full in entries}
    entries |= overriding
    values, empty, wrong = _values(entries, in_file - set(overriding), environ)
    found += wrong
    found += rules.problems(values, empty, environ)
    if found:
        raise ConfigError(found)
    warnings = [*rules.warnings(values, environ), *environment.near_misses(environ)]
    for full, secret in secrets.items():
        if path is not None and not is_reference(secret.raw) and _is_public(path):
            warnings.append(f"{full}: every user of this machine can read it: chmod 600 {_one_line(path)}")
    return Loaded(_settings(values), warnings)


def _values(
    entries: Mapping[str, Entry], in_file: set[str], environ: Mapping[str, str]
) -> tuple[dict[str, Any], frozenset[str], list[str]]:
    """Return the values by full key, defaults included and failures left out; the empty keys; the problems."""
    values: dict[str, Any] = {}
    empty = set()
    problems = []
    for full, key in KEYS.items():
        values[full] = key.default
        if full not in entries:
            continue
        raw, where = entries[full]
        try:
            # Only what the file says and nothing overrides: an unused reference need not be set.
            raw = expand(raw, environ) if full in in_file else raw
            if raw == "" and full != "inject.scheme":
                empty.add(full)
            else:
                values[full] = check(full, convert(key, raw))
        except ValueError as error:
            del values[full]
            problems += [f"{full}: {message} ({where})" for message in error.args]
    return values, frozenset(empty), problems


def _settings(values: Mapping[str, Any]) -> Settings:
    sections: dict[str, dict[str, Any]] = {}
    for full, key in KEYS.items():
        sections.setdefault(key.section, {})[key.name] = values[full]
    types = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    return Settings(**{name: types[name](**attributes) for name, attributes in sections.items()})


def _read(path: str) -> str:
    """Return the text of the file."""
    name = _one_line(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # pathlib is slow to import
            data = file.read(FILE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name holds a null byte"
        raise ConfigError([f"{name}: cannot be read: {reason}"]) from None
    if len(data) > FILE_LIMIT:
        raise ConfigError([f"{name}: is larger than {FILE_LIMIT // 1024} KiB: that is no configuration"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{name} line {line}: is not UTF-8: save the file in UTF-8"]) from None


def _is_public(path: str) -> bool:
    """Tell whether every user of the machine may read the file."""
    return os.name == "posix" and os.stat(path).st_mode & 0o004 != 0  # noqa: PTH116


def _one_line(path: str) -> str:
    return path if path.isprintable() else ascii(path)
