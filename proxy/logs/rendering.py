"""What a line looks like: JSON for machines, text for people. The values are clean already."""

import os
import time
from collections.abc import Callable, Mapping
from typing import TextIO

import msgspec

Render = Callable[[str, Mapping[str, object]], bytes]
"""Makes the line of an event from its level and its keys, of which `event` is one."""

_BOLD, _CYAN, _RESET = "\x1b[1m", "\x1b[36m", "\x1b[0m"
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}

_encoder = msgspec.json.Encoder()
_second = (0, "")
_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))


def render_json(level: str, event: Mapping[str, object]) -> bytes:
    """Return a line of JSON: `time` (RFC 3339, UTC, milliseconds), `level`, `event`, then the other keys."""
    return _encoder.encode({"time": timestamp(time.time()), "level": level, "event": event["event"], **event}) + b"\n"


def render_request(
    method: str, path: str, status: int, request_id: str, *, sent: int, duration: float, token_wait: float
) -> bytes:
    """
    Return what `render_json` makes of an ordinary request's line, at a quarter of the cost: every request has one.

    *method*, *path* and *request_id* are clean. Times are in seconds, *sent* in bytes.
    """
    return _REQUEST % (
        timestamp(time.time()).encode(),
        method.encode(),
        _encoder.encode(path),
        status,
        sent,
        duration,
        b"%.6f" % token_wait if token_wait else b"0.0",
        request_id.encode(),
    )


_REQUEST = (
    b'{"time":"%b","level":"info","event":"request","method":"%b","path":%b,"status":%d,"bytes":%d,'
    b'"duration":%.6f,"token_wait":%b,"request_id":"%b"}\n'
)


def timestamp(now: float) -> str:
    """Return the wall-clock second *now* as RFC 3339 has it, in UTC with milliseconds."""
    # Formatting a date costs more than all the rest of a line; once a second is enough.
    global _second  # noqa: PLW0603
    whole = int(now)
    second, text = _second
    if whole != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = (whole, text)
    return text + _MILLISECONDS[int((now - whole) * 1000)]


def text_renderer(*, colours: bool) -> Render:
    """Return what makes lines for people: local time, level, event, `key=value`; a traceback follows, indented."""

    def paint(colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if colours else text

    def render(level: str, event: Mapping[str, object]) -> bytes:
        parts = [time.strftime("%H:%M:%S"), paint(_COLOURS[level], f"{level:<7}"), paint(_BOLD, str(event["event"]))]
        for key, value in event.items():
            if key not in ("event", "exception"):
                parts.append(f"{paint(_CYAN, key)}={_value(value)}")
        text = " ".join(parts)
        if "exception" in event:
            # Indented, so that no line of it passes for an event.
            text += "\n    " + str(event["exception"]).replace("\n", "\n    ")
        return (text + "\n").encode()

    return render


def _value(value: object) -> str:
    if isinstance(value, str) and value and not any(mark in value for mark in ' "='):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return _encoder.encode(value).decode()


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person reads *stream*."""
    try:
        return stream.isatty()
    except (OSError, ValueError):  # it is closed
        return False


def wants_colours(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a terminal shall be coloured (https://no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
