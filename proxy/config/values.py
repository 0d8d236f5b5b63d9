"""
From the text that was written to the value that a key has, kind by kind.

Each function raises ValueError with a message that continues `section.key: ` and never quotes the value: it may be
a secret that slipped into the wrong line.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from proxy.config.document import Bare, Raw, Scalar, parse_list, parse_map
from proxy.config.keys import Key, Kind
from proxy.config.names import shown
from proxy.config.settings import Secret
from proxy.config.urls import parse_url

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def convert(key: Key, raw: Raw) -> Any:
    """Return the value of *key* that *raw* spells."""
    return _CONVERTERS[key.kind](key, raw)


def spell(key: Key, value: Any) -> Any:
    """Return *value* of *key* as a user writes it: the inverse of `convert`."""
    if key.kind == "duration":
        # 75s and 60s are read more easily than parts and single minutes.
        units = [unit for unit, least in (("h", 3600), ("m", 120), ("s", 1)) if value >= least]
        unit = next((unit for unit in units if value % _SECONDS[unit] == 0), "ms")
        return f"{value / _SECONDS[unit]:.0f}{unit}" if value else "0"
    if key.kind == "size" and value:
        unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if value % _BYTES[unit] == 0)
        return f"{value // _BYTES[unit]}{unit}"
    return list(value) if isinstance(value, tuple) else value


def _single(raw: Raw) -> str:
    if not isinstance(raw, str):
        raise ValueError("must be one value, not a list or a map")  # noqa: TRY004  # a user's mistake, no caller's
    return raw


def _clean(text: Scalar) -> str:
    """Return a text if nothing in it could break a line or a header."""
    if text is None or isinstance(text, Bare):
        raise ValueError("must be text: put the value in quotes")
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise ValueError("must not contain a line break or a control character")
    if re.search(r"[\ud800-\udfff]", text):
        raise ValueError("is not valid UTF-8")
    return text


def _text(_: Key, raw: Raw) -> str:
    return _clean(_single(raw))


def _secret(key: Key, raw: Raw) -> Secret:
    return Secret(_text(key, raw))


def _key(_: Key, raw: Raw) -> Secret:
    """Return a private key: its lines may be lines, or have been written with a backslash and an n."""
    text = _single(raw)
    _clean(text if isinstance(text, Bare) else re.sub(r"[\r\n\t]", "", text))
    return Secret(text)


def _url(key: Key, raw: Raw) -> object:
    return parse_url(_text(key, raw))


def _flag(_: Key, raw: Raw) -> bool:
    word = _single(raw).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


def _choice(key: Key, raw: Raw) -> Any:
    try:
        return msgspec.convert(_single(raw).lower(), key.type)
    except msgspec.ValidationError:
        raise ValueError(f"must be one of {', '.join(key.choices)}") from None


def _count(key: Key, raw: Raw) -> Any:
    text = _single(raw)
    return _bounded(key, int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None)


def _size(key: Key, raw: Raw) -> Any:
    match = re.fullmatch(r"([0-9]{1,12})(B|KiB|MiB|GiB|)", _single(raw))
    return _bounded(key, int(match[1]) * _BYTES[match[2]] if match else None)


def _duration(key: Key, raw: Raw) -> Any:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)|0", _single(raw))
    if match is None:
        return _bounded(key, None)
    return _bounded(key, float(match[1]) * _SECONDS[match[2]] if match[1] else 0.0)


def _bounded(key: Key, number: float | None) -> Any:
    """Return *number* if it is one and within the key's bounds."""
    try:
        if number is not None:
            return msgspec.convert(number, key.type)
    except msgspec.ValidationError:
        pass
    raise ValueError(_bounds(key))


def _bounds(key: Key) -> str:
    low, high = spell(key, key.low), spell(key, key.high)
    if key.kind == "duration":
        return f"must be a time with its unit, as in 500ms, 5s, 2m, 1h, or 0 for none, at most {high}"
    if key.kind == "size":
        return f"must be a size with its unit, as in 64KiB or 1MiB, from {low} to {high}"
    return f"must be a whole number from {low} to {high}"


def _list(_: Key, raw: Raw) -> tuple[str, ...]:
    """Return a list: YAML's, or one text that is YAML's `[one, two]` or has entries between blanks or commas."""
    if isinstance(raw, str):
        raw = _entries(raw)
    if isinstance(raw, dict):
        raise ValueError("must be a list, as in [one, two]")  # noqa: TRY004  # a user's mistake, no caller's
    entries = {f"entry {number}": item for number, item in enumerate(raw, 1) if item is not None and item != ""}
    return tuple(dict.fromkeys(_clean_all(entries).values()))


def _command(_: Key, raw: Raw) -> tuple[str, ...]:
    """Return a program and its arguments: YAML's list, or one text that is split as a shell splits it."""
    if isinstance(raw, dict):
        raise ValueError("must be a list, as in [op, read, reference]")  # noqa: TRY004  # a user's mistake, no caller's
    if isinstance(raw, str):
        raw = parse_list(raw) if raw.lstrip().startswith("[") else _words(raw)
    words = _clean_all({f"entry {number}": item for number, item in enumerate(raw, 1)})
    if words and not words["entry 1"]:
        raise ValueError("must begin with the name of a program")
    return tuple(words.values())


def _words(text: str) -> list[Scalar]:
    import shlex  # noqa: PLC0415  # only for commands

    try:
        return list(shlex.split(text))
    except ValueError:
        raise ValueError("has a quote that is not closed: write a list, as in [op, read, reference]") from None


def _entries(text: str) -> list[Scalar]:
    """Return the entries of a list that is written as one text."""
    if isinstance(text, Bare):
        return [text]
    # One pair of brackets around all; those of an IPv6 address are the host's own.
    if re.fullmatch(r"\s*\[[^][]*\]\s*", text) and not re.fullmatch(r"\s*\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]\s*", text):
        return parse_list(text)
    return list(re.split(r"[\s,]+", text))


def _map(_: Key, raw: Raw) -> dict[str, str]:
    """Return a map: YAML's, or one text that is YAML."""
    if isinstance(raw, str):
        raw = parse_map(raw)
    if isinstance(raw, list):
        raise ValueError("must be a map, as in {name: value}")  # noqa: TRY004  # a user's mistake, no caller's
    texts = {_clean(name): value for name, value in raw.items() if value is not None}
    _clean_all({f"the value of {shown(name)}": value for name, value in texts.items()})
    return texts


def _clean_all(texts: Mapping[str, Scalar]) -> dict[str, str]:
    """Return the texts by what messages call them, if all are clean."""
    problems = []
    clean = {}
    for name, text in texts.items():
        try:
            clean[name] = _clean(text)
        except ValueError as error:
            problems.append(f"{name} {error}")
    if problems:
        raise ValueError(*problems)
    return clean


_CONVERTERS: dict[Kind, Callable[[Key, Raw], Any]] = {
    "text": _text,
    "secret": _secret,
    "url": _url,
    "flag": _flag,
    "choice": _choice,
    "count": _count,
    "size": _size,
    "duration": _duration,
    "list": _list,
    "command": _command,
    "key": _key,
    "map": _map,
}
