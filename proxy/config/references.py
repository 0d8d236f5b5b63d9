"""`${NAME}` and `${NAME:-default}` inside the values of the file."""

import re
from collections.abc import Mapping

from proxy.config.document import Bare, Raw, Scalar

_REFERENCE = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\$\{")


def expand(raw: Raw, environ: Mapping[str, str]) -> Raw:
    """
    Return *raw* with its references replaced; ValueError has a message for each that cannot be.

    What a reference is replaced by is not looked at again: a secret may contain `${` and anything that YAML minds.
    As in a shell, the default stands for a variable that is not set or is empty. `$${` is a literal `${`.
    """
    problems: list[str] = []
    result = _expand(raw, environ, problems)
    if problems:
        raise ValueError(*dict.fromkeys(problems))
    return result


def is_reference(raw: Raw) -> bool:
    """Tell whether some of *raw* comes from the environment."""
    return isinstance(raw, str) and any(match["name"] for match in _REFERENCE.finditer(raw))


def _expand(raw: Raw, environ: Mapping[str, str], problems: list[str]) -> Raw:
    def scalar(text: Scalar) -> Scalar:
        return text if text is None or isinstance(text, Bare) else _REFERENCE.sub(value, text)

    def value(match: re.Match[str]) -> str:
        if match["literal"]:
            return "${"
        name, default = match["name"], match["default"]
        if name is None:
            problems.append("has a ${ without a name and }, as in ${NAME} or ${NAME:-default}; $${ is a literal ${")
            return ""
        found = trimmed(environ.get(name, ""))
        if found or (default is None and name in environ):
            return found
        if default is None:
            problems.append(f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}")
        return default or ""

    if isinstance(raw, list):
        return [scalar(item) for item in raw]
    if isinstance(raw, dict):
        return {key: scalar(item) for key, item in raw.items()}
    return scalar(raw) or ""


def trimmed(text: str) -> str:
    """Return an environment variable without line breaks at its end: `echo` puts one into many a secret."""
    return text.rstrip("\r\n")
