"""
Installs oidc-provider for these tests: `python install.py FOLDER`.

`packages.txt` has everything that is needed, each with its version and the digest of its archive. npm gets them from
its own registry, compares the digests, and runs no script of a package. For development only: no package of ours needs
it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("packages.txt")
FOLDER = "node_modules/"
SECONDS = 180


def lock(lines: list[str]) -> dict[str, Any]:
    """
    Return the lock file for *lines* of a place below node_modules, a version and a digest.

    Where a package stands says who needs it: another version than the common one stands below its user.
    """
    packages: dict[str, dict[str, Any]] = {"": {"name": "interop", "version": "0.0.0"}}
    for line in lines:
        place, version, digest = line.split()
        packages.setdefault(FOLDER + place, {}).update(version=version, integrity=digest)
        user, _, name = (FOLDER + place).rpartition(FOLDER)
        packages.setdefault(user.rstrip("/"), {}).setdefault("dependencies", {})[name] = version
    return {"name": "interop", "version": "0.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}


def install(folder: Path) -> int:
    """Install into *folder* and return npm's exit code."""
    folder.mkdir(exist_ok=True)
    document = lock(LIST.read_text(encoding="utf-8").splitlines())
    (folder / "package.json").write_text(json.dumps(document["packages"][""]), encoding="utf-8")
    (folder / "package-lock.json").write_text(json.dumps(document), encoding="utf-8")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    return subprocess.run(command, cwd=folder, check=False, stdin=subprocess.DEVNULL, timeout=SECONDS).returncode


if __name__ == "__main__":
    sys.exit(install(Path(sys.argv[1])))
