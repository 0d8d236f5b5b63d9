"""
The environment as configuration: `OKTA_PROXY_<SECTION>__<KEY>`.

Other names that begin so are none of ours (Kubernetes sets `OKTA_PROXY_PORT=tcp://...` for a Service called
okta-proxy), but one that looks like a slip is worth a warning.
"""

import re
from collections.abc import Mapping

from proxy.config.document import Entry
from proxy.config.keys import KEYS, SECTIONS
from proxy.config.references import trimmed

PREFIX = "OKTA_PROXY_"
NAMES = {f"{PREFIX}{key.section.upper()}__{key.name.upper()}": full for full, key in KEYS.items()}
"""Each variable's key."""
_SUFFIXES = {name.removeprefix(PREFIX): full for name, full in NAMES.items()}


def read(environ: Mapping[str, str]) -> dict[str, Entry]:
    """Return what the environment sets, by full key. Empty is unset; two quote characters are an empty text."""
    found = ((name, full, trimmed(environ.get(name, ""))) for name, full in NAMES.items())
    return {full: Entry("" if text in ('""', "''") else text, name) for name, full, text in found if text}


def has_environment_keys(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment configures anything."""
    return bool(read(environ))


def near_misses(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each name that was probably meant to be one of ours."""
    warnings = []
    for name in sorted(environ):
        meant = _meant(name) if environ[name] and name not in NAMES else None
        if meant is not None and not re.match(r"(tcp|udp|sctp)://", environ[name]):
            warnings.append(f"the environment variable {name} is ignored, did you mean {meant}?")
    return warnings


def _meant(name: str) -> str | None:
    """Return the variable that *name* is a slip of: its underscores, its case, a part missing, a letter wrong."""
    import difflib  # noqa: PLC0415  # only when there is something to compare

    upper = name.upper().replace("-", "_")
    if not upper.startswith(PREFIX) or upper == f"{PREFIX}CONFIG" or not re.fullmatch(r"[A-Z0-9_]{1,80}", upper):
        return None
    rest = upper.removeprefix(PREFIX)
    if rest.rstrip("_").lower() in SECTIONS:
        # A section alone: its first key is the likeliest, and shows how the others are written.
        section = rest.rstrip("_")
        return PREFIX + next(known for known in _SUFFIXES if known.startswith(f"{section}__"))
    for known, full in _SUFFIXES.items():
        section, _, key = full.upper().partition(".")
        if rest in (f"{section}_{key}", f"{section}___{key}", known, key):
            return PREFIX + known
    # Two underscores are nobody's but ours, so a looser likeness will do.
    near = difflib.get_close_matches(rest, _SUFFIXES, 1, cutoff=0.6 if "__" in rest else 0.85)
    return PREFIX + near[0] if near else None
