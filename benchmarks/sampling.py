"""What a process has used: CPU time in all its threads, and memory; read from /proc."""

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.errors import MeasurementError

TICK = 1 / os.sysconf("SC_CLK_TCK")
SETTLED = 0.005
"""A change of memory of less than this share between two looks is none."""


class Ticks(NamedTuple):
    """Seconds in user mode and in the kernel; the kernel counts them in ticks of 4 or 10 ms, so look seldom."""

    user: float
    system: float


class Memory(NamedTuple):
    """Bytes: resident, its proportional share, and what no other process has."""

    resident: int
    proportional: int
    private: int


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the process's living threads, to the nanosecond where the kernel counts them."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    except FileNotFoundError:  # a thread ended between the two calls
        return cpu_seconds(pid)
    nanoseconds = parse_schedstat(threads)
    return nanoseconds / 1e9 if nanoseconds else sum(ticks(pid))


def parse_schedstat(threads: list[str]) -> int:
    """Return the sum of the first fields: the nanoseconds on a core. 0 where the kernel does not count."""
    return sum(int(text.split()[0]) for text in threads)


def ticks(pid: int) -> Ticks:
    """Return the process's CPU time by mode, threads that have ended included."""
    return parse_stat(Path(f"/proc/{pid}/stat").read_text())


def parse_stat(text: str) -> Ticks:
    """Return fields 14 and 15 of /proc/PID/stat in seconds; the second, the name, may hold spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    return Ticks(int(fields[11]) * TICK, int(fields[12]) * TICK)


def core_seconds(core: int) -> float:
    """Return the time that *core* has been at work, for whomever."""
    return parse_core(Path("/proc/stat").read_text(), core)


def parse_core(text: str, core: int) -> float:
    """Return the sum of what /proc/stat counts for *core*, in seconds, but for idling and waiting for disks."""
    found = re.search(rf"^cpu{core} (.*)$", text, re.MULTILINE)
    if found is None:
        raise MeasurementError(f"the kernel tells nothing of core {core}")
    user, nice, system, _, _, *interrupts = map(int, found[1].split()[:8])
    return (user + nice + system + sum(interrupts)) * TICK


def memory(pid: int) -> Memory:
    """Return what the process has in memory now."""
    return parse_smaps(Path(f"/proc/{pid}/smaps_rollup").read_text())


def parse_smaps(text: str) -> Memory:
    """Return the sums of /proc/PID/smaps_rollup, which are in KiB, as bytes."""
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    return Memory(sizes["Rss"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"])


def settled_memory(pid: int) -> Memory:
    """Return what the process has in memory once it does not change from one half second to the next (5 s at most)."""
    now = memory(pid)
    for _ in range(10):
        time.sleep(0.5)
        before, now = now, memory(pid)
        if abs(now.resident - before.resident) <= before.resident * SETTLED:
            break
    return now
