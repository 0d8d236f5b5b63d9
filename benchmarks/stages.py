"""
Which stage of a request a sample belongs to. Pure: places and source lines in, shares out.

By the module in which the time was spent, for a module has one task; what is called from it and written in C, by the
text of the line that calls it.
"""

import linecache
import re
from collections import Counter
from collections.abc import Callable, Iterable

LOOP = "event loop and sockets (uvloop)"
PARSE_REQUEST = "parse the request (llhttp in aiohttp)"
PARSE_ANSWER = "parse the answer"
WRITE = "hand bytes to the transport"
OTHER = "the rest"

STAGES: dict[str, tuple[str, ...]] = {
    LOOP: (),
    PARSE_REQUEST: (),
    "client connection": ("forwarding/connection.py", "forwarding/cutting.py"),
    "admission and guard": ("forwarding/admission.py", "forwarding/guard.py", "forwarding/target.py"),
    "token": ("tokens/",),
    "request headers": ("forwarding/headers.py",),
    "exchange": ("forwarding/exchange.py", "forwarding/upload.py", "forwarding/challenge.py"),
    "upstream connection and pool": ("forwarding/upstream.py", "forwarding/pool.py"),
    PARSE_ANSWER: ("forwarding/response.py",),
    "answer's headers": ("forwarding/answering.py", "forwarding/rewrite.py"),
    "count, time, request id": ("forwarding/listener.py", "forwarding/counters.py", "forwarding/deadlines.py"),
    "log line": ("logs/",),
    WRITE: (),
    OTHER: (),
}
"""Each stage in the order of a request, with the paths inside the package whose time it is."""

CALLS = (
    (re.compile(r"\.(write|writelines|send|sendall|sendmsg)\("), WRITE),
    (re.compile(r"\bfeed_data\("), PARSE_ANSWER),
)
"""What a line of ours calls that is written in C, by the text of the line, and whose time that is."""

Source = Callable[[str, int], str]


def stage_of(file: str, line: int, source: Source = linecache.getline) -> str:
    """Return the stage of a sample taken in *file* at *line*; *file* is "" where no function of ours ran."""
    if not file:
        return LOOP
    if "/aiohttp/" in file:
        return PARSE_REQUEST
    inside = file.rpartition("/proxy/")[2]
    text = source(file, line)
    for pattern, stage in CALLS:
        if pattern.search(text):
            # aiohttp's parser is fed from the client's side, ours from the upstream's.
            is_client = inside == "forwarding/connection.py"
            return PARSE_REQUEST if stage == PARSE_ANSWER and is_client else stage
    for stage, paths in STAGES.items():
        if inside.startswith(paths):
            return stage
    return OTHER


def shares(samples: Iterable[tuple[str, str, int, int]], source: Source = linecache.getline) -> dict[str, float]:
    """Return each stage's share of *samples* (file, function, line, count), in the order of a request."""
    counts: Counter[str] = Counter()
    for file, _, line, count in samples:
        counts[stage_of(file, line, source)] += count
    total = counts.total()
    return {stage: counts[stage] / total for stage in STAGES if counts[stage]}
