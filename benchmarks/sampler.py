"""
Runs okta-proxy and looks now and then at what it is doing: `python -m benchmarks.sampler FILE run -c ...`.

A timer of the kernel's that runs on user time only sends SIGVTALRM, 250 times a second on most machines. Python handles
it at its next look between two instructions, so the frame that it finds is the one that runs or that has just called
what is written in C. A frame at its very first line has done nothing yet: the time before was its caller's, or the
event loop's if no function of ours called it. Nothing is instrumented, so what is looked at costs what it always costs.

SIGUSR1 forgets what was seen so far (the start). At the end FILE has the counts as JSON.
"""

import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL = time.clock_getres(6)
"""
Seconds of user time: the kernel's own tick, which is the resolution of its clock 6 (CLOCK_MONOTONIC_COARSE).

With less the timer falls behind, for it goes on tick by tick, and then it ends in the kernel's time as well.
"""
LOOP = ("", "", 0)
"""The place of a sample that no function of ours or of our packages' was running in."""

Place = tuple[str, str, int]
"""File, function, line."""


def place(frame: FrameType | None, packages: tuple[str, ...]) -> Place:
    """Return where in *packages* (paths) the time before this moment was spent."""
    if frame is not None and frame.f_lineno == frame.f_code.co_firstlineno:
        frame = frame.f_back
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(packages):
            # What the compiler has added has no line.
            return (code.co_filename, code.co_name, frame.f_lineno or 0)
        frame = frame.f_back
    return LOOP


def main() -> int:
    """Run the proxy with the sampler on."""
    import aiohttp  # noqa: PLC0415  as late as the proxy does

    import proxy  # noqa: PLC0415
    from proxy.cli import main as run  # noqa: PLC0415

    output = Path(sys.argv.pop(1))
    packages = tuple(str(Path(str(package.__file__)).parent) + "/" for package in (proxy, aiohttp))
    seen: Counter[Place] = Counter()
    # `proxy.cli` runs all the time, below the event loop.
    inner = (f"{packages[0]}cli/", f"{packages[0]}app.py")

    def look(_: int, frame: FrameType | None) -> None:
        found = place(frame, packages)
        seen[LOOP if found[0].startswith(inner) else found] += 1

    signal.signal(signal.SIGVTALRM, look)
    signal.signal(signal.SIGUSR1, lambda *_: seen.clear())
    signal.setitimer(signal.ITIMER_VIRTUAL, INTERVAL, INTERVAL)
    try:
        return run()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        output.write_text(json.dumps([[*where, count] for where, count in seen.items()]))


if __name__ == "__main__":
    sys.exit(main())
