"""The two light commands, `health` and `wait`, against small real servers that answer well, badly or not at all."""

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.cli import health, wait

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\n\r\nNo usable token yet:\nthe first request has not ended.\n"

Behaviour = Callable[[socket.socket], None]


def says(answer: bytes) -> Behaviour:
    """Answer each connection with *answer* and close it."""
    return lambda connection: connection.sendall(answer)


def says_nothing(connection: socket.socket) -> None:
    """Hold the connection until the client has had enough."""
    connection.recv(1)


def drips(connection: socket.socket) -> None:
    """Send an answer that never ends, a byte now and then."""
    connection.settimeout(0.01)
    while True:
        connection.sendall(b"H")
        try:
            if not connection.recv(1):
                return
        except TimeoutError:
            continue


def floods(connection: socket.socket) -> None:
    """Send an answer that never ends, as fast as it is taken."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def resets(connection: socket.socket) -> None:
    """Close with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


class Server(threading.Thread):
    """Serves each connection with the next behaviour, the last one for ever; keeps the requests' bytes."""

    def __init__(self, *behaviours: Behaviour, family: socket.AddressFamily = socket.AF_INET) -> None:
        super().__init__(daemon=True)
        self._behaviours = list(behaviours)
        self._listener = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                request = connection.recv(65536)
                if not request:
                    return
                self.requests.append(request)
                behave = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
                try:
                    behave(connection)
                except OSError:  # the client left
                    continue

    def stop(self) -> None:
        # A connection without a request: the thread ends by itself, also where closing does not wake `accept`.
        with socket.create_connection(self._listener.getsockname()[:2]):
            pass
        self.join()
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server, which ends with the test."""
    servers: list[Server] = []

    def start(*behaviours: Behaviour, family: socket.AddressFamily = socket.AF_INET) -> Server:
        servers.append(Server(*behaviours, family=family))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def free_port() -> int:
    """Give a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_health_is_0_and_silent_when_the_process_serves(serve, capsys) -> None:
    """A 200 is exit code 0 and no output; the request is a plain GET that names the host it went to."""
    server = serve(says(READY))
    assert health.run(server.url, {}) == 0
    assert server.requests == [
        f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n".encode()
    ]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (says(NOT_READY), "answered 503: No usable token yet: the first request has not ended."),
        (says(b"HTTP/1.1 404 Not Found\r\n\r\n"), "answered 404"),
        (says(b"HTTP/1.1 500 x\r\n\r\n\x1b[31mred\x07" + b"x" * 1000), "answered 500: ?[31mred?" + "x" * 591),
        (says(b""), "closed without an answer of HTTP"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "closed without an answer of HTTP"),
        (says(b"HTTP/1.1\r\n\r\n"), "closed without an answer of HTTP"),
        (says(b"HTTP/1.1 abc\r\n\r\n"), "closed without an answer of HTTP"),
        (resets, "Connection reset by peer"),
        (says_nothing, "no answer within 0.2 s"),
        (drips, "no answer within 0.2 s"),
    ],
)
def test_health_is_1_with_the_reason_in_one_line(serve, capsys, monkeypatch, behaviour: Behaviour, reason: str) -> None:
    """Whatever else happens is exit code 1 within the time-out, and one line on standard error."""
    monkeypatch.setattr(health, "TIMEOUT", 0.2)
    server = serve(behaviour)
    started = time.monotonic()
    assert health.run(server.url, {}) == 1
    assert time.monotonic() - started < 2
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith(f"okta-proxy health: http://127.0.0.1:{server.port}/livez")
    assert error.endswith(f"{reason}\n")
    assert error.count("\n") == 1


def test_health_reads_no_answer_without_end(serve) -> None:
    """A yes is a yes, also with a body that never ends: only its beginning is read."""
    assert health.run(serve(floods).url, {}) == 0


def test_health_is_1_when_nobody_listens(capsys, free_port: int) -> None:
    """A refused connection says what to look at."""
    assert health.run(f"http://localhost:{free_port}", {}) == 1
    assert "connection refused: is okta-proxy running, with admin.enabled?" in capsys.readouterr().err


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_localhost_is_both_loopback_addresses(serve, family: socket.AddressFamily) -> None:
    """`localhost` reaches a listener of either family, without asking a resolver."""
    server = serve(says(READY), family=family)
    assert health.run(None, {"OKTA_PROXY_ADMIN__PORT": str(server.port)}) == 0
    assert f"Host: localhost:{server.port}\r\n".encode() in server.requests[0]


def test_an_ipv6_address_is_written_with_brackets(serve) -> None:
    """The Host of an IPv6 literal has brackets (RFC 9110 7.2)."""
    server = serve(says(READY), family=socket.AF_INET6)
    assert health.run(f"http://[::1]:{server.port}/", {}) == 0
    assert f"Host: [::1]:{server.port}\r\n".encode() in server.requests[0]


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        (None, {}, ("localhost", 8081)),
        (None, {"OKTA_PROXY_LISTEN__PORT": "9000"}, ("localhost", 9001)),
        (None, {"OKTA_PROXY_LISTEN__PORT": "9000", "OKTA_PROXY_ADMIN__PORT": "7000"}, ("localhost", 7000)),
        (None, {"OKTA_PROXY_LISTEN__PORT": "", "OKTA_PROXY_ADMIN__PORT": ""}, ("localhost", 8081)),
        (None, {"OKTA_PROXY_ADMIN__HOST": "0.0.0.0"}, ("127.0.0.1", 8081)),
        (None, {"OKTA_PROXY_ADMIN__HOST": "::"}, ("::1", 8081)),
        (None, {"OKTA_PROXY_ADMIN__HOST": "10.1.2.3"}, ("10.1.2.3", 8081)),
        # Kubernetes sets this one for a Service of that name: it is none of ours.
        (None, {"OKTA_PROXY_PORT": "tcp://10.0.0.1:80"}, ("localhost", 8081)),
        ("http://localhost:9001", {"OKTA_PROXY_ADMIN__PORT": "7000"}, ("localhost", 9001)),
        ("HTTP://127.0.0.1:9001/", {}, ("127.0.0.1", 9001)),
        ("http://[::1]:9001", {}, ("::1", 9001)),
        ("http://[::1]", {}, ("::1", 80)),
        ("http://example", {}, ("example", 80)),
    ],
)
def test_where_the_admin_listener_is(url: str | None, environ: dict[str, str], expected: tuple[str, int]) -> None:
    """The flag, then the environment, then the defaults tell the address; all addresses become loopback."""
    assert health.address(url, environ) == expected


@pytest.mark.parametrize(
    ("url", "environ", "reason"),
    [
        ("https://localhost:8081", {}, "the admin listener is http://HOST:PORT"),
        ("localhost:8081", {}, "the admin listener is http://HOST:PORT"),
        ("http://localhost:8081/livez", {}, "the admin listener is http://HOST:PORT"),
        ("http://", {}, "the admin listener is http://HOST:PORT"),
        ("http://user@localhost:8081", {}, "the admin listener is http://HOST:PORT"),
        ("http://localhost:http", {}, "--url: http is not a port"),
        ("http://localhost:99999", {}, "--url: 99999 is not a port"),
        (None, {"OKTA_PROXY_ADMIN__PORT": "x\ny"}, "OKTA_PROXY_ADMIN__PORT: x y is not a port"),
        (None, {"OKTA_PROXY_ADMIN__PORT": "0"}, "OKTA_PROXY_ADMIN__PORT is 0: the port is chosen at the start"),
        (None, {"OKTA_PROXY_LISTEN__PORT": "0"}, "OKTA_PROXY_LISTEN__PORT is 0: the port is chosen at the start"),
    ],
)
def test_an_address_that_cannot_be_told(capsys, url: str | None, environ: dict[str, str], reason: str) -> None:
    """What is wrong with the address is named; for `wait` it is a mistake of usage, not worth waiting."""
    assert health.run(url, environ) == 1
    assert wait.run(url, 30, environ) == 2
    for line in capsys.readouterr().err.splitlines():
        assert reason in line


def test_a_name_that_is_no_name_is_no_traceback(capsys) -> None:
    """A host name outside ASCII, or one that nobody knows, is a reason like any other."""
    assert health.run("http://b\u00fccher:8081", {}) == 1
    assert health.run("http://" + "a" * 64 + ".invalid:8081", {}) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_refusals_remedy_is_shown_whole(serve, capsys) -> None:
    """The longest of our own details, a cause with its remedy and its place, is not cut; what is longer is."""
    detail = "The token endpoint refused. Likely cause: " + "word " * 70 + "the end"
    server = serve(says(b"HTTP/1.1 503 No\r\n\r\n" + detail.encode()), says(b"HTTP/1.1 503 No\r\n\r\n" + b"x" * 700))
    assert health.run(server.url, {}) == 1
    assert capsys.readouterr().err.endswith(f"{detail}\n")
    assert health.run(server.url, {}) == 1
    assert capsys.readouterr().err.endswith(": " + "x" * 600 + "\n")


def test_wait_ends_when_the_proxy_is_ready(serve, capsys, monkeypatch) -> None:
    """`wait` asks `/readyz` again and again, through refusals, until it is 200."""
    monkeypatch.setattr(wait, "PAUSE", 0.01)
    server = serve(says(NOT_READY), resets, says(b""), says(READY))
    assert wait.run(server.url, 30, {}) == 0
    assert [request.split(b" ")[1] for request in server.requests] == [b"/readyz"] * 4
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (says(NOT_READY), "answered 503: No usable token yet: the first request has not ended."),
        (says_nothing, "no answer within 0.2 s"),
    ],
)
def test_wait_is_3_when_the_time_is_over(serve, capsys, monkeypatch, behaviour: Behaviour, reason: str) -> None:
    """The time-out holds, whatever the server does, and the last reason is told."""
    monkeypatch.setattr(wait, "LEAST", 0.2)
    server = serve(behaviour)
    started = time.monotonic()
    assert wait.run(server.url, 0.1, {}) == 3
    assert time.monotonic() - started < 2
    error = capsys.readouterr().err
    assert error.startswith("okta-proxy wait: not ready after 0.1 s: http://127.0.0.1:")
    assert error.endswith(f"{reason}\n")
    assert len(server.requests) == 1


IMPORTED = """
import sys
before = set(sys.modules)
from proxy.cli import health, wait
code = health.run(None, {"OKTA_PROXY_ADMIN__PORT": sys.argv[1]})
print(code, *sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def bare_environment() -> dict[str, str]:
    """Return the environment without what makes coverage measure a child process: that would be measured too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def test_a_probe_imports_nothing_heavy(serve) -> None:
    """Nothing beyond the standard library is imported, and of that nothing that takes long."""
    server = serve(says(READY))
    command = [sys.executable, "-c", IMPORTED, str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=bare_environment(), timeout=30)
    code, *modules = done.stdout.split()
    assert code == "0"
    assert {name for name in modules if name != "proxy" and name not in sys.stdlib_module_names} == set()
    assert {"asyncio", "email", "logging", "ssl", "stringprep", "urllib"} & set(modules) == set()


def test_the_command_answers_within_its_cpu_time(serve) -> None:
    """`okta-proxy health` takes at most 0.15 s of CPU, interpreter and all."""
    server = serve(says(READY))
    command = [sys.executable, "-m", "proxy", "health", "--url", server.url]
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=bare_environment(), timeout=30)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(spent) < 0.15


@pytest.mark.parametrize(("answer", "code"), [(READY, 0), (NOT_READY, 3)])
def test_the_command_waits(serve, answer: bytes, code: int) -> None:
    """`okta-proxy wait` ends with 0 or 3."""
    server = serve(says(answer))
    command = [sys.executable, "-m", "proxy", "wait", "--timeout", "300ms", "--url", server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == (0 if code == 0 else 1)
