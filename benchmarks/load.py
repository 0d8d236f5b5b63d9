"""The load: wrk and what it says, downloads, and connections that are kept idle. All of it is bounded in time."""

import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.configurations import LOOPBACK
from benchmarks.errors import MeasurementError
from benchmarks.servers import Server

UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
SLACK = 20
"""Seconds that wrk may take longer than asked."""
TIMEOUT = 30.0
"""Seconds of silence after which a download or a kept connection is a failure."""
BLOCK = 1 << 20

POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", {size})
"""
"""A script for wrk that sends bodies."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a run of wrk; latencies are in milliseconds."""

    requests: int
    seconds: float
    median: float
    p99: float


def wrk(program: str, server: Server, path: str, *, connections: int, seconds: int, script: Path | None = None) -> Load:
    """Load *server* with one thread of wrk. Raises `MeasurementError` unless every answer was right."""
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
    command += ["-s", str(script)] if script is not None else []
    try:
        done = subprocess.run(
            [*command, server.url + path], capture_output=True, text=True, check=False, timeout=seconds + SLACK
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"wrk did not end: {server!r}") from error
    if done.returncode != 0:
        raise MeasurementError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
    try:
        return parse_wrk(done.stdout)
    except MeasurementError as error:
        raise MeasurementError(f"{server.name}: {error}") from error


def parse_wrk(text: str) -> Load:
    """Return what wrk prints. Raises `MeasurementError` for a status of 400 or more, a socket error, no requests."""
    wrong = re.search(r"(Non-2xx or 3xx responses: \d+|Socket errors: .*)", text)
    if wrong:
        raise MeasurementError(f"wrk saw {wrong[1]}")
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", text)
    latency = {share: milliseconds(value) for share, value in re.findall(r"^ +(50|99)% +(\S+) *$", text, re.MULTILINE)}
    if total is None or int(total[1]) == 0 or len(latency) != 2:
        raise MeasurementError(f"wrk made no requests: {text[-300:]!r}")
    return Load(int(total[1]), float(total[2]) * UNITS[total[3]] / 1000, latency["50"], latency["99"])


def milliseconds(text: str) -> float:
    """Return wrk's `1.23ms`, `450.00us` or `2.00s` in milliseconds."""
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise MeasurementError(f"wrk's {text!r} is no time")
    return float(found[1]) * UNITS[found[2]]


def download(server: Server, path: str, *, size: int, connections: int, times: int) -> float:
    """Download *path* *times* over each of so many connections at once; return the seconds. All bytes must come."""
    errors: list[Exception] = []

    def one() -> None:
        try:
            for _ in range(times):
                receive(server, path, size)
        except (OSError, MeasurementError) as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(connections)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise MeasurementError(f"{server.name}, a download: {errors[0]}")
    return time.perf_counter() - start


def receive(server: Server, path: str, size: int) -> None:
    """GET *path* on a new connection and read its *size* bytes, without keeping them."""
    with socket.create_connection((LOOPBACK, server.port), TIMEOUT) as connection:
        request(connection, server, path)
        head, rest = read_head(connection)
        check_head(head, size)
        receive_rest(connection, size - len(rest))


def receive_rest(connection: socket.socket, left: int) -> None:
    """Read the *left* bytes of a body."""
    block = bytearray(min(BLOCK, left))
    while left > 0:
        got = connection.recv_into(block)
        if got == 0:
            raise MeasurementError(f"the connection closed, {left} bytes did not come")
        left -= got


def hold(server: Server, path: str, *, size: int, count: int) -> list[socket.socket]:
    """Open *count* connections, one after the other, make one request on each, and return them idle."""
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            held.append(socket.create_connection((LOOPBACK, server.port), TIMEOUT))
            request(held[-1], server, path)
            head, rest = read_head(held[-1])
            check_head(head, size)
            receive_rest(held[-1], size - len(rest))
    except (OSError, MeasurementError) as error:
        release(held)
        raise MeasurementError(f"{server.name}, connection {len(held)} of {count}: {error}") from error
    return held


def still_open(held: list[socket.socket]) -> int:
    """Return how many of the idle connections the other side has kept."""
    count = 0
    for connection in held:
        connection.setblocking(False)
        try:
            connection.recv(1)
        except BlockingIOError:
            count += 1
        except OSError:
            continue
    return count


def release(held: list[socket.socket]) -> None:
    """Close the connections."""
    for connection in held:
        connection.close()


def request(connection: socket.socket, server: Server, path: str) -> None:
    """Send a GET."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{server.port}\r\n\r\n".encode())


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return an answer's head, and what has come of its body."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(BLOCK)
        if not more:
            raise MeasurementError(f"no whole head came, but {got[:200]!r}")
        got += more
    head, _, rest = got.partition(b"\r\n\r\n")
    return head, rest


def check_head(head: bytes, size: int) -> None:
    """Raise a `MeasurementError` unless *head* is a 200 that announces *size* bytes."""
    length = re.search(rb"(?im)^content-length: *(\d+) *\r?$", head)
    if not head.startswith(b"HTTP/1.1 200 ") or length is None or int(length[1]) != size:
        raise MeasurementError(f"not a 200 with {size} bytes, but {head[:200]!r}")
