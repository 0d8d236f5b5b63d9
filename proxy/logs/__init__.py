"""
The log: structlog events as one line each, redacted, written by a thread that never holds up the event loop.

`configure` is called once, by whoever owns the process. Everybody else calls `structlog.get_logger()` at the top of a
module and logs short constant names: `log.info("token_refreshed", expires_in=3600)`. Where every microsecond counts,
`structlog.get_logger().bind()`, called after `configure`, saves the look-up of each call. The standard library's
`logging` (asyncio, aiohttp) and `warnings` come out of the same pipe, as the event `library`.
"""

import atexit
import logging
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict

from proxy.logs.redaction import STARS, ExcInfo, clean, clean_text, clean_traceback, is_secret
from proxy.logs.rendering import Render, is_terminal, render_json, render_request, text_renderer, wants_colours
from proxy.logs.writer import Writer

__all__ = ["Format", "Level", "Writer", "configure", "write_request"]

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "text"]

_LEVELS = ("debug", "info", "warning", "error", "critical")


def configure(level: Level, fmt: Format, stream: TextIO | None = None) -> Writer:
    """
    Send all that is logged at *level* and above to *stream* (default: standard output), and return its writer.

    *fmt* `auto` is text on a terminal and JSON elsewhere. The caller closes the writer when the process ends. A later
    call replaces an earlier one and closes its writer, also for loggers that are in use already.
    """
    stream = sys.stdout if stream is None else stream  # None too, where the process was started without one
    terminal = stream is not None and is_terminal(stream)
    as_text = fmt == "text" or (fmt == "auto" and terminal)
    render = text_renderer(colours=terminal and wants_colours()) if as_text else render_json
    writer = Writer(stream, lambda count: render("warning", {"event": "log_lines_dropped", "count": count}))
    _pipe.attach(writer, render)
    _set_level(level)
    structlog.configure(
        processors=_processors,
        wrapper_class=_Logger,
        logger_factory=lambda *_: _pipe,
        # Saves a third of each call. `_Logger`, `_pipe` and the list stay the same objects: no cached logger is stale.
        cache_logger_on_first_use=True,
    )
    _route_standard_library(level)
    return writer


def write_request(
    method: str, path: str, status: int, request_id: str, *, sent: int, duration: float, token_wait: float
) -> None:
    """
    Log the event `request` at level info: *path* as it came, times in seconds, *sent* in bytes.

    The same line as structlog's loggers write, without what they cost: call it only where level info is logged.
    """
    if _pipe.is_json and method.isidentifier():
        line = render_request(
            method, clean_text(path), status, request_id, sent=sent, duration=duration, token_wait=token_wait
        )
        _pipe.put(line)
    else:
        _log.info(
            "request",
            method=method,
            path=path,
            status=status,
            bytes=sent,
            duration=round(duration, 6),
            token_wait=round(token_wait, 6),
            request_id=request_id,
        )


class _Logger(structlog.make_filtering_bound_logger("notset")):  # type: ignore[misc]  # a class made at run time
    """The class of all loggers. Its methods are those that structlog makes for the configured level."""


def _set_level(level: Level) -> None:
    for name, method in vars(structlog.make_filtering_bound_logger(level)).items():
        if not name.startswith("_"):
            setattr(_Logger, name, method)


class _Pipe:
    """The end of structlog's chain: makes the line of an event and puts it into the current writer."""

    def __init__(self) -> None:
        self._writer: Writer | None = None
        self._render: Render = render_json
        self.put = _nowhere
        self.is_json = False
        """Whether there is a writer that takes lines of JSON."""

    def attach(self, writer: Writer, render: Render) -> None:
        if self._writer is not None:
            self._writer.close()
            atexit.unregister(self._writer.close)
        self._writer, self._render = writer, render
        self.put = writer.put
        self.is_json = render is render_json
        # The last lines of a process that ends without closing its writer are those that say why.
        atexit.register(writer.close)
        for name in _LEVELS:
            setattr(self, name, writer.put)

    def line(self, _logger: object, level: str, event: EventDict) -> bytes:
        """Make the line of *event*. Whatever is in it, this does not fail: a log must not break what it tells of."""
        try:
            return self._render(level, _safe(event))
        except Exception as error:  # noqa: BLE001  # a value's own __str__ can raise anything
            name = event["event"]
            known = clean_text(name) if isinstance(name, str) else "library"
            return self._render(level, {"event": known, "log_error": type(error).__name__})


def _nowhere(line: bytes) -> None:
    """Stand for a writer before there is one: `is_json` keeps lines from it."""


def _safe(event: EventDict) -> EventDict:
    """Redact *event* in place: structlog made the dictionary for this call."""
    exc_info = _exc_info(event.pop("exc_info")) if "exc_info" in event else None
    for key, value in event.items():
        kind = type(value)
        if kind is str:
            event[key] = STARS if is_secret(key) else clean_text(value)
        elif kind is not int and kind is not float:
            event[key] = clean(key, value)
    if exc_info is not None:
        event["exception"] = clean_traceback(exc_info)
    return event


def _exc_info(value: object) -> ExcInfo | None:
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    found: Any = sys.exc_info() if value is True else value
    return found if isinstance(found, tuple) and found[0] is not None else None


class _Handler(logging.Handler):
    """Passes what the standard library logs into structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # arguments that do not fit the format, an argument's own __str__
            message = str(record.msg)
        level = record.levelname.lower()
        write = getattr(_log, level if level in _LEVELS else "info")
        write("library", logger=record.name, message=message, exc_info=record.exc_info)


def _route_standard_library(level: Level) -> None:
    root = logging.getLogger()
    root.setLevel(level.upper())
    if _handler not in root.handlers:
        root.addHandler(_handler)
    logging.captureWarnings(capture=True)


_pipe = _Pipe()
_processors = [_pipe.line]
_handler = _Handler()
_log = structlog.get_logger()
