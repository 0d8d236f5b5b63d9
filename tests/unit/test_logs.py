"""The log: what a line holds, what it never holds, and that writing it never holds anybody up."""

import asyncio
import contextlib
import errno
import io
import json
import logging
import os
import pty
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from proxy import logs
from proxy.config import Secret
from proxy.logs import redaction, rendering, writer

log = structlog.get_logger()

CANARY = "canary"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIwb2EifQ.c2lnbmF0dXJl"


@pytest.fixture
def lines() -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Give a function that configures the log at a level, runs an action and returns the JSON lines it wrote."""

    def run(action: Callable[[], object], level: logs.Level = "info") -> list[dict[str, Any]]:
        output = io.StringIO()
        with_writer = logs.configure(level, "auto", output)
        action()
        with_writer.close()
        return [json.loads(line) for line in output.getvalue().splitlines()]

    yield run
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_an_event_is_one_line_of_json(lines) -> None:
    """A line begins with an RFC 3339 time in UTC, the level and the event; the keys follow in their order."""
    [line] = lines(lambda: log.info("request", method="GET", status=200, duration=0.25, path="/a"))
    assert list(line) == ["time", "level", "event", "method", "status", "duration", "path"]
    assert (line["level"], line["event"], line["status"], line["duration"]) == ("info", "request", 200, 0.25)


@pytest.mark.parametrize("method", ["GET", "M-SEARCH"])
@pytest.mark.parametrize("path", ["/v1/things", '/a"b', "/\u202e", "/eyJhbGciOiJSUzI1NiJ9.eyJz", "/" + "x" * 3000])
@pytest.mark.parametrize("waited", [0.0, 1.25])
def test_a_request_line_is_like_any_other(lines, method: str, path: str, waited: float) -> None:
    """The shorter way of the line that every request has gives the same keys, order and values, redacted as well."""
    [short] = lines(
        lambda: logs.write_request(method, path, 200, "ab-1", sent=5, duration=0.0000123, token_wait=waited)
    )
    [long] = lines(
        lambda: log.info(
            "request",
            method=method,
            path=path,
            status=200,
            bytes=5,
            duration=0.000012,
            token_wait=waited,
            request_id="ab-1",
        )
    )
    assert list(short) == list(long)
    assert short | {"time": ""} == long | {"time": ""}


def test_a_request_line_is_text_where_lines_are(capsys: pytest.CaptureFixture[str]) -> None:
    """What a person reads on a terminal, and what structlog does before the log is set up, is the same line too."""
    output = io.StringIO()
    writer = logs.configure("info", "text", output)
    logs.write_request("GET", "/a", 200, "ab-1", sent=5, duration=0.5, token_wait=0.0)
    writer.close()
    assert output.getvalue().endswith(
        "request method=GET path=/a status=200 bytes=5 duration=0.5 token_wait=0 request_id=ab-1\n"
    )
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000.5, "2026-09-21T14:13:20.500Z"),
        (1_790_000_000.9996, "2026-09-21T14:13:20.999Z"),
        (1_790_000_001.0, "2026-09-21T14:13:21.000Z"),
    ],
)
def test_the_time_has_milliseconds_and_is_utc(now: float, text: str) -> None:
    """The time is RFC 3339's, cut to milliseconds, so that it never tells a second that has not begun."""
    assert rendering.timestamp(now) == text


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_what_is_below_the_level_is_not_written(lines, level: logs.Level, expected: list[str]) -> None:
    """A logger that is already in use follows a new level, for its aliases too."""

    def each() -> None:
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)(name)
        log.msg("info")

    names = [line["event"] for line in lines(each, level)]
    assert names == expected + (["info"] if "info" in expected else [])


@pytest.mark.parametrize(
    "key",
    ["authorization", "Proxy-Authorization", "access_token", "client_secret", "password", "cookie", "client_assertion"],
)
@pytest.mark.parametrize("value", ["canary", b"canary", ["canary"], {"a": "canary"}, Secret("canary")])
def test_a_value_under_a_secret_name_is_stars(lines, key: str, value: object) -> None:
    """The name of a key is enough to hide its value, whatever type it has and however deep it lies."""
    top, deep = lines(lambda: (log.info("x", **{key: value}), log.info("x", outer=[{key: value}])))
    assert top[key] == "***"
    assert deep["outer"] == [{key: "***"}]


def test_a_name_that_only_tells_about_a_secret_is_shown(lines) -> None:
    """Waits, addresses and kinds of tokens are no tokens."""
    shown = {"token_wait": 0.5, "token_url": "https://a/b", "token_type": "Bearer", "client_secret_file": "/run/s"}
    [line] = lines(lambda: log.info("x", **shown))
    assert {key: line[key] for key in shown} == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JWT, "***"),
        (f"/reset/{JWT}/now", "/reset/***/now"),
        (f"[{JWT.split('.', maxsplit=1)[0]}]", "[***]"),
        ("sent Bearer canary-1._~+/=", "sent Bearer ***"),
        ("basic Y2FuYXJ5OmNhbmFyeQ==", "basic ***"),
        ("DPoP canary-7, then", "DPoP ***, then"),
        ("basic Y2FuYXJ5", "basic ***"),
        ("bearer Opaquecanaryoflettersonly.", "bearer ***"),
        ("Authorization: canary canary", "Authorization: ***"),
        ("{'Authorization': 'Bearer canary', 'X': 'y'}", "{'Authorization: ***', 'X': 'y'}"),
        ("(b'Cookie', b'sid=canary')", "(b'Cookie: ***')"),
        ("set-cookie: sid=canary; Path=/", "set-cookie: ***"),
        ("client_id=0oa&client_secret=canary&scope=a", "client_id=0oa&client_secret=***&scope=a"),
        ('{"access_token": "canary canary", "expires_in": 3600}', '{"access_token": ***, "expires_in": 3600}'),
        ("{'client_secret':'canary'}", "{'client_secret':***}"),
        ("client_assertion=canary", "client_assertion=***"),
        ("X-Api-Key=canary", "X-Api-Key=***"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_stars(lines, text: str, expected: str) -> None:
    """Tokens, credentials and the headers that carry them are found inside any value, by their shape."""
    [line] = lines(lambda: log.info("x", detail=text))
    assert line["detail"] == expected
    assert "canary" not in str(line)


@pytest.mark.parametrize(
    "text",
    [
        "oauth.client_secret: is missing; set it or oauth.client_secret_file",
        "no token: Okta answered invalid_client, The client secret supplied is invalid.",
        "The DPoP proof JWT header is missing.",
        "a Bearer challenge with invalid_token",
        "token_type is neither Bearer nor DPoP.",
        "The server knows Basic only, and Bearer never.",
        "/oauth2/default/v1/token",
        "https://example.okta.com/oauth2/default",
    ],
)
def test_plain_words_are_left_alone(text: str) -> None:
    """Messages about secrets stay readable: they name none."""
    assert redaction.clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a\r\nlevel=error", r"/a\r\nlevel=error"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\x00\x9b", r"a\x00\x9b"),
        ("a\u2028\u202eb", r"a\u2028\u202eb"),
        ("caf\udce9", r"caf\udce9"),
        ("café 日本", "café 日本"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    """No value can forge a line, steer a terminal or turn the reading direction; other scripts stay as they are."""
    assert redaction.clean_text(text) == expected


def test_values_are_bounded(lines) -> None:
    """Long texts, many items and deep nests are cut."""
    deep: list[object] = []
    for _ in range(30):
        deep = [deep]
    [line] = lines(lambda: log.info("x", long="a" * 5000, raw=b"b" * 5000, many=list(range(1000)), deep=deep))
    assert line["long"] == "a" * 2000 + "..."
    assert line["raw"] == "b" * 2000 + "..."
    assert len(line["many"]) == 50
    assert len(json.dumps(line["deep"])) < 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**70, {1: 2}, {3}, object, Secret("x"), None, True])
def test_any_value_can_be_logged(lines, value: object) -> None:
    """Whatever is logged, a line comes out."""
    [line] = lines(lambda: log.info("odd", value=value))
    assert line["event"] == "odd"


def test_a_value_that_cannot_be_shown_costs_only_the_keys(lines) -> None:
    """A value whose own text raises leaves a line that says so, instead of an exception in who logged it."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("canary")

    [line] = lines(lambda: log.info("odd", value=Broken()))
    assert (line["event"], line["log_error"]) == ("odd", "RuntimeError")
    assert "canary" not in str(line)


def failing(secret: str) -> None:
    """Raise, with *secret* in a local variable and in the message."""
    raise ValueError(f"cannot send Authorization: Bearer {secret}")


@pytest.mark.parametrize("how", ["exception", "true", "instance", "tuple"])
def test_a_traceback_has_neither_variables_nor_secrets(lines, how: str) -> None:
    """A traceback names the lines that ran; the message is redacted and no local variable is shown."""

    def action() -> None:
        try:
            failing(CANARY)
        except ValueError as error:
            if how == "exception":
                log.exception("broke")
            else:
                given = {"true": True, "instance": error, "tuple": sys.exc_info()}[how]
                log.error("broke", exc_info=given)  # noqa: TRY400  # the other ways to say it are what is tested

    [line] = lines(action)
    assert line["level"] == "error"
    assert "in failing" in line["exception"]
    assert line["exception"].endswith("ValueError: cannot send Authorization: ***")
    assert "canary" not in str(line)


def test_no_exception_no_traceback(lines) -> None:
    """`exc_info=True` where nothing was raised adds nothing."""
    [line] = lines(lambda: log.info("fine", exc_info=True))  # noqa: LOG014
    assert "exception" not in line


def test_a_long_traceback_keeps_its_end() -> None:
    """What is cut of a traceback is its beginning, at the end of a line."""

    def deeper(level: int) -> None:
        if level == 0:
            raise ValueError("the end")
        [deeper(level - 1), None][1]

    def zigzag(level: int) -> None:
        # Two functions in turn: the same line again and again would be folded into one.
        (deeper if level == 0 else zigzag)(level - 1 if level else 100) if level % 2 else zag(level)

    def zag(level: int) -> None:
        zigzag(level - 1 if level else 1)

    try:
        zigzag(301)
    except (ValueError, RecursionError) as error:
        text = redaction.clean_traceback((type(error), error, error.__traceback__))
    assert text.startswith("...\n")
    assert len(text) <= redaction.TRACEBACK_LIMIT + 3
    assert "Error: " in text.splitlines()[-1]


def test_the_standard_library_logs_into_the_same_pipe(lines) -> None:
    """What asyncio and aiohttp log comes out as the event `library`, redacted, with its level and its logger."""

    def action() -> None:
        logger = logging.getLogger("aiohttp.server")
        logger.error("bad %s", "Authorization: Bearer canary")
        logger.debug("below the level")
        try:
            failing(CANARY)
        except ValueError:
            logger.exception("Error handling request")

    error, raised = lines(action)
    assert error["message"] == "bad Authorization: ***"
    assert (error["event"], error["logger"], error["level"]) == ("library", "aiohttp.server", "error")
    assert "Authorization: ***" in raised["exception"]
    assert "canary" not in str((error, raised))


def test_a_message_that_does_not_fit_its_arguments_is_logged_as_it_is(lines) -> None:
    """A library's mistake in a log call costs the arguments, not the line."""
    record = logging.LogRecord("odd", logging.ERROR, __file__, 1, "%d and %d", (1,), None)
    [line] = lines(lambda: logs._handler.emit(record))
    assert (line["message"], line["level"]) == ("%d and %d", "error")


def test_a_level_of_somebody_elses_is_info(lines) -> None:
    """A level that only a library knows comes out as `info`."""
    [line] = lines(lambda: logging.getLogger("odd").log(25, "notice"))
    assert (line["level"], line["message"]) == ("info", "notice")


def test_warnings_are_logged(lines) -> None:
    """A Python warning is a line like any other."""

    def action() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=False)
            logging.captureWarnings(capture=True)
            warnings.warn("client_secret=canary is old", stacklevel=1)

    [line] = lines(action)
    assert (line["logger"], line["level"]) == ("py.warnings", "warning")
    assert "client_secret=*** is old" in line["message"]


@pytest.mark.usefixtures("lines")
async def test_what_a_task_lost_is_logged() -> None:
    """An exception that nobody awaited reaches the log through asyncio, redacted."""

    async def lost() -> None:
        failing(CANARY)

    async def action() -> None:
        # The suite's own handler would take it.
        asyncio.get_running_loop().set_exception_handler(None)
        task = asyncio.create_task(lost())
        await asyncio.wait([task])

    output = io.StringIO()
    with_writer = logs.configure("info", "json", output)
    await action()
    with_writer.close()
    [line] = [json.loads(text) for text in output.getvalue().splitlines()]
    assert line["logger"] == "asyncio"
    assert "never retrieved" in line["message"]
    assert "canary" not in str(line)


def test_text_is_for_people() -> None:
    """Without a terminal, text has no colours: time, level, event, then `key=value`, quoted where that is needed."""
    line = rendering.text_renderer(colours=False)(
        "warning", {"event": "token_refresh_failed", "detail": "it is down", "wait": 1.5, "path": "/a", "empty": ""}
    )
    assert line.decode()[8:] == ' warning token_refresh_failed detail="it is down" wait=1.5 path=/a empty=""\n'


def test_a_traceback_in_text_is_indented() -> None:
    """The lines of a traceback begin with spaces, so that none of them passes for an event."""
    line = rendering.text_renderer(colours=False)(
        "error", {"event": "broke", "exception": "Traceback\n  at\nValueError"}
    )
    assert line.decode().splitlines()[1:] == ["    Traceback", "      at", "    ValueError"]


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colours_can_be_switched_off(environ: dict[str, str], coloured: bool) -> None:
    """NO_COLOR and a dumb terminal get plain text."""
    assert rendering.wants_colours(environ) is coloured


@pytest.mark.usefixtures("lines")
def test_a_terminal_gets_text_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is text where a person reads it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main, side = pty.openpty()
    with os.fdopen(side, "w") as terminal:
        with_writer = logs.configure("info", "auto", terminal)
        log.info("started", listen="http://localhost:8080")
        with_writer.close()
        shown = os.read(main, 4096).decode()
    os.close(main)
    assert "\x1b[1mstarted\x1b[0m" in shown
    assert "=http://localhost:8080" in shown


def notice(count: int) -> bytes:
    """Make the line that tells of *count* dropped lines."""
    return b"dropped %d\n" % count


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Give a pipe: the descriptor to read from and the stream to write to, which a test may close itself."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    yield reading, stream
    stream.close()
    with contextlib.suppress(OSError):  # the test closed it
        os.close(reading)


class ReadsToTheEnd(threading.Thread):
    """Reads what is written to a pipe until its writing end is closed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._received = b""
        self.start()

    def run(self) -> None:
        while piece := os.read(self._descriptor, 1 << 20):
            self._received += piece

    def lines(self) -> list[bytes]:
        self.join()
        return self._received.splitlines()


def test_a_reader_that_stalls_holds_up_nobody(pipe) -> None:
    """While nobody reads, `put` returns at once; lines beyond the bound are dropped and told of, each counted once."""
    reading, stream = pipe
    subject = writer.Writer(stream, notice)
    total, line = 40_000, b"x" * 199 + b"\n"
    started = time.perf_counter()
    for _ in range(total):
        subject.put(line)
    assert time.perf_counter() - started < 5
    assert subject.dropped > 0
    received = ReadsToTheEnd(reading)
    subject.close(timeout=10)
    stream.close()
    written = received.lines()
    told = [int(text.split()[1]) for text in written if text.startswith(b"dropped")]
    assert len(written) - len(told) + sum(told) == total


def test_what_waits_is_bounded_in_bytes_and_in_lines() -> None:
    """At most 4 MiB and 10,000 lines wait for an output that does not take them."""
    subject = writer.Writer(None, notice)
    subject._start = lambda: None  # an output that never takes anything
    for _ in range(5):
        subject.put(b"x" * (1024 * 1024 - 1) + b"\n")
    assert repr(subject) == "<Writer [4 waiting, 1 dropped]>"
    subject._take()
    for _ in range(writer.MAX_LINES + 3):
        subject.put(b"\n")
    assert repr(subject) == "<Writer [10000 waiting, 4 dropped]>"


def test_closing_writes_what_is_there(pipe) -> None:
    """Whatever was logged before the end is written at the end; what comes later is dropped, without a complaint."""
    reading, stream = pipe
    subject = writer.Writer(stream, notice)
    for number in range(500):
        subject.put(b"%d\n" % number)
    subject.close()
    subject.close()
    subject.put(b"late\n")
    stream.close()
    assert os.read(reading, 1 << 16).split() == [b"%d" % number for number in range(500)]
    assert subject.dropped == 1


def test_closing_takes_no_longer_than_it_may(pipe) -> None:
    """An output that takes nothing does not keep the process from ending."""
    reading, stream = pipe
    subject = writer.Writer(stream, notice)
    subject.put(b"x" * 200_000 + b"\n")
    started = time.perf_counter()
    subject.close(timeout=0.1)
    assert time.perf_counter() - started < 1
    os.close(reading)
    subject._thread.join()
    assert subject.dropped == 1


def test_a_reader_that_left_is_no_failure(pipe) -> None:
    """EPIPE drops lines and raises nothing."""
    reading, stream = pipe
    os.close(reading)
    subject = writer.Writer(stream, notice)
    for _ in range(3):
        subject.put(b"line\n")
    subject.close()
    assert subject.dropped == 3


def test_a_closed_descriptor_is_no_failure(pipe) -> None:
    """EBADF drops lines and raises nothing."""
    _, stream = pipe
    subject = writer.Writer(stream, notice)
    stream.close()
    subject.put(b"line\n")
    subject.close()
    assert subject.dropped == 1


@pytest.mark.usefixtures("lines")
def test_no_output_at_all_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was started with standard output closed logs into nothing."""
    monkeypatch.setattr(sys, "stdout", None)
    with_writer = logs.configure("info", "auto")
    log.info("started")
    with_writer.close()
    assert with_writer.dropped == 0


@pytest.mark.usefixtures("lines")
def test_a_closed_stream_is_no_failure(pipe) -> None:
    """A stream that is closed already is logged into nothing, and what is lost is counted."""
    _, stream = pipe
    stream.close()
    with_writer = logs.configure("info", "auto", stream)
    log.info("started")
    with_writer.close()
    assert with_writer.dropped == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_no_failure() -> None:
    """ENOSPC drops lines and raises nothing."""
    with Path("/dev/full").open("w") as stream:
        subject = writer.Writer(stream, notice)
        subject.put(b"line\n")
        subject.close()
    assert subject.dropped == 1


class Disk(io.StringIO):
    """A stream in memory that is full until somebody makes room."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True
        self.refused = threading.Event()

    def write(self, text: str) -> int:
        if self.full:
            self.refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_lost_lines_are_told_of_when_there_is_room_again() -> None:
    """The count of what a full disk swallowed is written after the first lines that it takes again."""
    disk = Disk()
    subject = writer.Writer(disk, notice)
    subject.put(b"lost\n")
    assert disk.refused.wait(10)
    disk.full = False
    subject.put(b"kept\n")
    subject.close()
    assert disk.getvalue() == "kept\ndropped 1\n"


@pytest.mark.usefixtures("lines")
def test_the_event_that_tells_of_lost_lines() -> None:
    """It is called `log_lines_dropped`, is a warning and has the count."""
    disk = Disk()
    with_writer = logs.configure("info", "json", disk)
    log.info("lost")
    assert disk.refused.wait(10)
    disk.full = False
    log.info("kept")
    with_writer.close()
    told = json.loads(disk.getvalue().splitlines()[1])
    assert (told["event"], told["level"], told["count"]) == ("log_lines_dropped", "warning", 1)


def test_a_line_that_broke_off_is_not_continued_by_the_next() -> None:
    """After a write that ended in the middle of a line, the next line begins on a line of its own."""
    written = bytearray()
    answers = iter([3, OSError(errno.ENOSPC, ""), 100, 100])

    def output(data: memoryview) -> int:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        written.extend(data[:answer])
        return min(answer, len(data))

    subject = writer.Writer(None, notice)
    subject._output = output
    subject._write_batch([b"broken\n"])
    subject._write_batch([b"whole\n"])
    assert bytes(written) == b"bro\nwhole\ndropped 1\n"


def test_a_count_that_could_not_be_told_is_kept() -> None:
    """A notice that the output refuses is told with the next chance, with all that was lost by then."""
    written = bytearray()
    working = iter([False, True, False, True, True])

    def output(data: memoryview) -> int:
        if not next(working):
            raise OSError(errno.ENOSPC, "")
        written.extend(data)
        return len(data)

    subject = writer.Writer(None, notice)
    subject._output = output
    subject._write_batch([b"lost\n"])
    subject._write_batch([b"first\n"])
    subject._write_batch([b"second\n"])
    assert bytes(written) == b"first\nsecond\ndropped 1\n"


def test_an_output_that_is_set_to_non_blocking_is_waited_for(pipe) -> None:
    """EAGAIN, from a terminal that another program set so, loses no line."""
    reading, stream = pipe
    os.set_blocking(stream.fileno(), False)
    subject = writer.Writer(stream, notice)
    line = b"x" * 999 + b"\n"
    for _ in range(300):
        subject.put(line)
    received = b""
    while len(received) < 300 * len(line):
        received += os.read(reading, 1 << 20)
    subject.close()
    assert received == line * 300
    assert subject.dropped == 0


def test_a_non_blocking_output_that_stalls_is_left_at_the_end(pipe) -> None:
    """EAGAIN does not keep the process from ending either."""
    _, stream = pipe
    os.set_blocking(stream.fileno(), False)
    subject = writer.Writer(stream, notice)
    subject.put(b"x" * 200_000 + b"\n")
    subject.close(timeout=0)
    subject._thread.join()
    assert subject.dropped == 1


def test_a_finaliser_may_log_in_the_middle_of_a_line(pipe) -> None:
    """`put` inside `put`, as the garbage collector can cause it, neither hangs nor loses a line."""
    reading, stream = pipe
    subject = writer.Writer(stream, notice)
    inner = [b"inner\n"]

    class Line(bytes):
        """Logs, as an object does that is collected while its length is asked."""

        def __len__(self) -> int:
            while inner:
                subject.put(inner.pop())
            return super().__len__()

    subject.put(Line(b"outer\n"))
    subject.close()
    assert os.read(reading, 4096) == b"inner\nouter\n"


def test_a_process_without_threads_left_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started lines are dropped, and the next one tries again."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    output = io.StringIO()
    subject = writer.Writer(output, notice)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        subject.put(b"lost\n")
    subject.put(b"kept\n")
    subject.close()
    assert output.getvalue() == "kept\ndropped 1\n"


FORKS = """
import os, structlog
from proxy import logs
writer = logs.configure("info", "json")
log = structlog.get_logger()
log.info("before")
child = os.fork()
if child == 0:
    log.info("child")
    raise SystemExit
os.waitpid(child, 0)
log.info("after")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX forks")
def test_a_fork_and_an_exit_lose_and_double_nothing() -> None:
    """A child writes its own lines only, and the lines of a process that ends without closing come out."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS], capture_output=True, text=True, check=True, timeout=30
    )
    assert sorted(json.loads(line)["event"] for line in done.stdout.splitlines()) == ["after", "before", "child"]


@pytest.mark.usefixtures("lines")
def test_a_request_line_is_cheap() -> None:
    """A line costs some microseconds (5 on an idle machine), and below the level next to nothing."""

    def best(action: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(1000):
                action()
            times.append((time.perf_counter() - started) / 1000)
        return min(times)

    with_writer = logs.configure("info", "json", io.StringIO())
    keys = {"method": "GET", "path": "/v1/things/42", "status": 200, "bytes": 1234, "duration": 0.0123}
    assert best(lambda: log.info("request", **keys)) < 50e-6
    assert best(lambda: log.debug("request", **keys)) < 10e-6
    with_writer.close()
