"""What messages say of names: how they are shown, and which one was probably meant."""

import re

from proxy.config.keys import KEYS, SECTIONS


def shown(key: str) -> str:
    """
    Return *key* as a message may show it: `?` for what is hardly a name.

    A value may have slipped there; letters of both cases with digits among them, or a long run with digits, are more
    likely a secret than a key.
    """
    return key if re.fullmatch(r"[A-Za-z_.-]{1,64}|[a-z0-9_.-]{1,24}", key) else "?"


def unknown(section: str, key: str) -> str:
    """Return what to say of a key (`""` for a section) that does not exist, with the name it is nearest to."""
    if section not in SECTIONS:
        return f"{shown(section)}: unknown section{_nearest(section.lower(), list(SECTIONS)) or _homes(section)}"
    names = [name for full in KEYS if (name := full.removeprefix(f"{section}.")) != full]
    near = _nearest(key.lower(), names, prefix=f"{section}.") or _homes(key)
    return f"{section}.{shown(key)}: unknown key{near or ', known are ' + ', '.join(names)}"


def _nearest(text: str, names: list[str], prefix: str = "") -> str:
    import difflib  # noqa: PLC0415  # only for messages

    near = difflib.get_close_matches(text.replace("-", "_"), names, 1)
    return f", did you mean {prefix}{near[0]}?" if near else ""


def _homes(key: str) -> str:
    """Return where a key of that name stands, if one does."""
    homes = [full for full in KEYS if key in (full, full.partition(".")[2])]
    if not homes:
        return ""
    section, _, name = homes[0].partition(".")
    return f", {homes[0]} is written as {name}: below {section}:"
