"""What the benchmarks read: the output of wrk and strace, /proc, and where samples were taken. Text in, numbers out."""

import pytest

from benchmarks.errors import MeasurementError, UnusableError
from benchmarks.load import Load, check_head, milliseconds, parse_wrk
from benchmarks.profiling import by_mode, parse_strace
from benchmarks.sampling import TICK, parse_core, parse_schedstat, parse_smaps, parse_stat
from benchmarks.stages import LOOP, OTHER, PARSE_ANSWER, PARSE_REQUEST, WRITE, shares, stage_of
from benchmarks.starting import foreign_packages
from benchmarks.tools import HOW_TO_GET, find_tools

WRK = """Running 2s test @ http://127.0.0.1:9203/json
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.29ms    1.02ms  19.06ms   98.13%
    Req/Sec    26.90k     1.70k   28.68k    90.00%
  Latency Distribution
     50%    1.15ms
     75%    1.24ms
     90%    1.35ms
     99%    1.41s\x20
  53525 requests in 2.10s, 17.20MB read
{more}Requests/sec:  26748.77
Transfer/sec:      8.60MB
"""


def test_what_wrk_saw_is_read():
    """Requests, seconds and the two latencies in milliseconds come out of wrk's text."""
    assert parse_wrk(WRK.format(more="")) == Load(requests=53525, seconds=2.1, median=1.15, p99=1410)


@pytest.mark.parametrize(
    "more",
    ["  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 3, write 0, timeout 0\n"],
)
def test_a_run_with_failures_gives_no_number(more):
    """A status of 400 or more and a socket error are errors that say what wrk saw."""
    with pytest.raises(MeasurementError, match=more.strip()):
        parse_wrk(WRK.format(more=more))


@pytest.mark.parametrize("text", ["", "unable to connect\n", WRK.replace("53525", "0")])
def test_a_run_without_requests_gives_no_number(text):
    """Nothing that came back is no measurement."""
    with pytest.raises(MeasurementError, match="no requests"):
        parse_wrk(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("450.00us", 0.45), ("1.23ms", 1.23), ("2.00s", 2000), ("1.00m", 60_000)]
)
def test_wrks_times_have_units(text, expected):
    """Each unit that wrk prints is known."""
    assert milliseconds(text) == pytest.approx(expected)


def test_an_unknown_time_gives_no_number():
    """A unit that wrk is not known to print is an error."""
    with pytest.raises(MeasurementError, match="-nan"):
        milliseconds("-nan")


def test_a_download_has_to_announce_its_size():
    """Only a 200 with exactly the expected length is the answer that was asked for."""
    check_head(b"HTTP/1.1 200 OK\r\nServer: a\r\ncontent-length:  12", 12)
    for head in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 13",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12",
    ):
        with pytest.raises(MeasurementError, match="not a 200 with 12 bytes"):
            check_head(head, 12)


def test_cpu_time_is_the_sum_of_all_threads():
    """The nanoseconds of each thread's schedstat add up."""
    assert parse_schedstat(["1500 20 3\n", "500 7 1\n"]) == 2000


def test_a_process_may_have_any_name():
    """User and kernel time are found behind a name with spaces and parentheses."""
    text = "77 (a) b (c) S 1 77 77 0 -1 4194560 100 0 0 0 250 125 0 0 20 0 3 0 5 6 7"
    assert parse_stat(text) == (250 * TICK, 125 * TICK)


def test_a_cores_work_leaves_out_its_idling():
    """Of what /proc/stat counts for a core, idle and iowait are none; guest time is within user time already."""
    text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 4 1000 500 8 16 32 64 128\ncpu1 7 7 7 7 7 7 7 7 7 7\n"
    assert parse_core(text, 0) == pytest.approx(63 * TICK)
    with pytest.raises(MeasurementError, match="core 2"):
        parse_core(text, 2)


def test_memory_is_read_in_bytes():
    """Resident, proportional and private memory come out of smaps_rollup."""
    text = "55f-7ff ---p 0 00:00 0 [rollup]\nRss: 100 kB\nPss:                 60 kB\nPss_Anon: 1 kB\n"
    text += "Shared_Clean: 10 kB\nPrivate_Clean: 20 kB\nPrivate_Dirty: 30 kB\n"
    assert parse_smaps(text) == (100 * 1024, 60 * 1024, 50 * 1024)


def test_system_calls_are_counted_by_name():
    """Strace's summary gives calls by name, with and without errors, the most frequent first."""
    text = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.300000           5      1000        12 read
 39.00    0.100000           2      3000           epoll_pwait
  1.00    0.000100           0         7           getpid
------ ----------- ----------- --------- --------- ----------------
100.00    0.400100           3      4007        12 total
"""
    assert list(parse_strace(text).items()) == [("epoll_pwait", 3000), ("read", 1000), ("getpid", 7)]


def test_ticks_only_divide_what_is_measured_exactly():
    """The total is the median of the runs; user and kernel share it as the ticks of all runs do."""
    assert by_mode([(40, 20, 10), (30, 10, 20), (50, 30, 0)]) == {
        "total": 40,
        "user": 40 * 60 / 90,
        "system": 40 * 30 / 90,
    }


@pytest.mark.parametrize(
    ("file", "text", "stage"),
    [
        ("", "", LOOP),
        ("/x/site-packages/aiohttp/web_protocol.py", "self._messages.append(message)", PARSE_REQUEST),
        ("/x/proxy/forwarding/connection.py", "messages, upgraded, tail = parser.feed_data(data)", PARSE_REQUEST),
        ("/x/proxy/forwarding/upstream.py", "self._parser.feed_data(data)", PARSE_ANSWER),
        ("/x/proxy/forwarding/upstream.py", "self._transport.write(data)", WRITE),
        ("/x/proxy/forwarding/upstream.py", "self._idle = True", "upstream connection and pool"),
        ("/x/proxy/forwarding/guard.py", "return None", "admission and guard"),
        ("/x/proxy/tokens/refresher.py", "return self._token", "token"),
        ("/proxy/proxy/logs/rendering.py", "return line", "log line"),
        ("/x/proxy/forwarding/no_such_module.py", "pass", OTHER),
    ],
)
def test_a_sample_belongs_to_a_stage(file, text, stage):
    """The module decides, and for what is written in C the line that calls it."""
    assert stage_of(file, 7, lambda *_: text) == stage


def test_shares_are_of_all_samples():
    """Stages are in a request's order, whatever the samples' order; those without a sample are left out."""
    samples = [("/x/proxy/forwarding/pool.py", "take", 1, 3), ("/x/proxy/tokens/a.py", "b", 2, 1), ("", "", 0, 4)]
    found = shares(samples, lambda *_: "")
    assert list(found.items()) == [(LOOP, 0.5), ("token", 0.125), ("upstream connection and pool", 0.375)]


def test_packages_are_counted_by_what_is_installed():
    """Modules of one package count once; ours and Python's do not count."""
    names = ["sys", "asyncio.base_events", "proxy.app", "aiohttp", "aiohttp.web", "yaml", "_yaml", "cython_runtime"]
    assert foreign_packages(names) == {"aiohttp", "PyYAML"}


def test_all_missing_programs_are_named_with_the_way_to_get_them():
    """What is not there is said at once, and each with how to get it."""
    with pytest.raises(UnusableError) as caught:
        find_tools(lambda name: None if name != "nginx" else "/usr/sbin/nginx")
    assert str(caught.value).splitlines() == [f"{name} is missing: {HOW_TO_GET[name]}" for name in ("wrk", "envoy")]
