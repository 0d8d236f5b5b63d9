"""
The JSON Schema (draft 2020-12) of the file, for editors: what users write, not what the settings hold.

Nothing is `required` in it: any key may come from the environment instead. It is a little stricter than the loader
in types (an editor asks for quotes where the loader understands a number) and knows nothing of rules between keys.
"""

from typing import Any

from proxy.config.environment import PREFIX
from proxy.config.keys import KEYS, SECTIONS, Key, Kind
from proxy.config.values import spell

_REFERENCE = {"type": "string", "pattern": r"\$\{", "description": "${NAME} or ${NAME:-default}"}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    sections: dict[str, Any] = {
        name: {
            "description": description,
            "type": ["object", "null"],
            "properties": {key.name: _property(key) for key in KEYS.values() if key.section == name},
            "additionalProperties": False,
        }
        for name, description in SECTIONS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "okta-proxy configuration",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
    }


def _property(key: Key) -> dict[str, Any]:
    variable = f"{PREFIX}{key.section}__{key.name}".upper()
    result = {"description": f"{key.description} Environment: {variable}.", **_type(key)}
    return result if key.default is None else {**result, "default": spell(key, key.default)}


def _type(key: Key) -> dict[str, Any]:
    """Return what a key of that kind may be, its text in the file as YAML's core schema sees it."""
    number = {"type": "integer", "minimum": key.low, "maximum": key.high}
    text = {"type": "string"}
    texts = {"type": ["string", "integer", "null"]}
    forms: dict[Kind, list[dict[str, Any]]] = {
        "text": [text],
        "secret": [text],
        "url": [text],
        "flag": [{"type": "boolean"}, _REFERENCE],
        "choice": [{"enum": list(key.choices)}, _REFERENCE],
        "count": [number, {**text, "pattern": "^[0-9]{1,18}$"}, _REFERENCE],
        "size": [{**text, "pattern": "^[0-9]{1,12}(B|KiB|MiB|GiB)?$"}, number, _REFERENCE],
        "duration": [{**text, "pattern": r"^([0-9]{1,12}(\.[0-9]{1,9})?(ms|s|m|h)|0)$"}, {"const": 0}, _REFERENCE],
        "list": [{"type": "array", "items": texts}, text],
        "command": [{"type": "array", "items": texts}, text],
        "key": [text],
        "map": [_map(key, texts), text],
    }
    return {"anyOf": [*forms[key.kind], {"type": "null"}]}


def _map(key: Key, texts: dict[str, Any]) -> dict[str, Any]:
    if not key.names:
        return {"type": "object", "additionalProperties": texts}
    return {"type": "object", "properties": dict.fromkeys(key.names, texts), "additionalProperties": False}
