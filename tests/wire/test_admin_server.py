"""The admin listener over real sockets: its routes, its refusals, and what hostile bytes get out of it."""

import asyncio
import json
import logging
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import pytest
import structlog

from proxy.admin import listener
from proxy.admin import server as server_module
from proxy.admin.overview import EMPTY, Overview, TokenView
from proxy.admin.server import AdminServer
from proxy.errors import BrowserRequestDeniedError, HostNotAllowedError

NOW = 1_800_000_000.0
GOOD = TokenView(True, NOW + 2700, NOW - 900, NOW + 1700, None, None, None, {"ok": 4})
DOWN = TokenView(False, None, None, NOW + 7.5, NOW - 3, "Okta was not reached.", "token_unavailable", {})
REFUSED = replace(DOWN, error="Okta refused: invalid_client.", error_code="token_refused")
OVERVIEW = Overview(
    version="1.2.3",
    started_at=NOW - 60,
    now=NOW,
    listen="http://localhost:8080",
    upstream="https://api.example.com",
    draining=False,
    token=GOOD,
    requests={("GET", 200): 5},
    durations=EMPTY,
    token_waits=EMPTY,
    in_flight=2,
    replays=1,
    upstream_connections={},
)


@dataclass
class Answer:
    """An answer as it came: status line, header lines with lower-case names, body."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self):
        return int(self.line.split(" ")[1])

    @property
    def problem(self):
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)


class Proxy:
    """What the application gives the admin server, and what was asked of it."""

    def __init__(self):
        self.overview = OVERVIEW
        self.collected = 0
        self.refreshes = 0
        self.quits = 0
        self.broken = False
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    def collect(self):
        self.collected += 1
        if self.broken:
            raise RuntimeError("broken")
        return self.overview

    async def refresh(self):
        self.refreshes += 1
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        return "ok"

    def quit(self):
        self.quits += 1

    def guard(self, headers):
        """The guard's rules in short: one known Host, no Origin, nothing from another site."""
        for name, value in headers:
            match name.lower():
                case b"host" if value.rsplit(b":", 1)[0] not in (b"localhost", b"127.0.0.1", b"[::1]"):
                    return HostNotAllowedError("The request names another host.")
                case b"origin":
                    return BrowserRequestDeniedError("A web page made the request.")
                case b"sec-fetch-site" if value not in (b"same-origin", b"none"):
                    return BrowserRequestDeniedError("A web page made the request.")
        return None


@asynccontextmanager
async def serving(proxy, *sockets, allow_remote=False):
    """Run an admin server on *sockets*, else on 127.0.0.1, and give the first one's address."""
    bound = sockets or (socket.create_server(("127.0.0.1", 0)),)
    address = bound[0].getsockname()
    server = AdminServer(
        proxy.collect, guard=proxy.guard, refresh=proxy.refresh, quit=proxy.quit, allow_remote=allow_remote
    )
    await server.start(bound)
    try:
        yield address
    finally:
        await server.stop()


async def connect(address):
    """Open a connection to a listener on a path (Unix) or on an IP address."""
    if isinstance(address, str):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address[:2])


async def send(address, request: bytes) -> bytes:
    """Send raw bytes and return everything up to the end of the connection."""
    reader, writer = await connect(address)
    writer.write(request)
    received = await reader.read()
    writer.close()
    return received


def parse(raw: bytes) -> Answer:
    """Split one answer into its parts."""
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = head.decode("ascii").split("\r\n")
    return Answer(line, {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}, body)


async def ask(address, method="GET", path="/status", *lines, host="localhost:8081") -> Answer:
    """Make one request on a connection of its own."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "Connection: close"]
    return parse(await send(address, "\r\n".join([*head, "", ""]).encode("latin-1")))


async def test_probes_of_a_proxy_that_is_ready():
    """Both say ok, and the liveness probe does not even collect the overview."""
    proxy = Proxy()
    async with serving(proxy) as address:
        live = await ask(address, path="/livez")
        assert (live.status, live.body, proxy.collected) == (200, b"ok\n", 0)
        ready = await ask(address, path="/readyz?verbose")
        assert (ready.status, ready.body) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("overview", "detail"),
    [
        (replace(OVERVIEW, token=DOWN), "No usable token (token_unavailable): Okta was not reached."),
        (replace(OVERVIEW, token=REFUSED), "No usable token (token_refused): Okta refused: invalid_client."),
        (replace(OVERVIEW, draining=True), "Draining: what is in flight is finished, nothing new should come."),
    ],
)
async def test_readiness_says_why_not(overview, detail):
    """503 with the reason, while the process is alive all the same."""
    proxy = Proxy()
    proxy.overview = overview
    async with serving(proxy) as address:
        answer = await ask(address, path="/readyz")
        assert (answer.status, answer.problem["code"], answer.problem["detail"]) == (503, "not_ready", detail)
        assert (await ask(address, path="/livez")).status == 200


async def test_metrics_are_prometheus_text():
    """The content type names the format, the body ends with a newline."""
    async with serving(Proxy()) as address:
        answer = await ask(address, path="/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'\nokta_proxy_requests_total{code="200",method="GET"} 5.0\n' in answer.body
    assert b"python_" not in answer.body


async def test_status_is_json():
    """The overview for scripts."""
    async with serving(Proxy()) as address:
        answer = await ask(address)
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body)["token"]["seconds_left"] == 2700


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/status"])
async def test_head_answers_as_get_without_the_body(path):
    """The same status, type and length (RFC 9110 9.3.2)."""
    async with serving(Proxy()) as address:
        got, head = await ask(address, "GET", path), await ask(address, "HEAD", path)
    assert head.body == b""
    assert head.status == got.status
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize("path", ["/", "/livez", "/status", "/nope", "/refresh"])
async def test_every_answer_keeps_to_itself(path):
    """Nothing is cached or sniffed, and nothing tells which server it is, errors included."""
    async with serving(Proxy()) as address:
        answer = await ask(address, path=path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["server"] == "okta-proxy"
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_page_can_be_neither_framed_nor_extended():
    """Its policy allows its own style and script, it is HTML, and it tells no other site where it was."""
    async with serving(Proxy()) as address:
        answer = await ask(address, path="/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert b"curl -X POST http://localhost:8081/refresh<" in answer.body


async def test_the_page_keeps_itself_fresh_past_the_guard():
    """A same-origin fetch of a browser has no Origin and says same-origin."""
    async with serving(Proxy()) as address:
        answer = await ask(address, "GET", "/", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")
    assert answer.status == 200


async def test_the_page_without_a_usable_host_names_the_socket():
    """HTTP/1.0 needs no Host, and one that is no host and port is not put into the curl lines."""
    proxy = Proxy()
    proxy.guard = lambda _: None
    async with serving(proxy) as address:
        for head in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nX-A: b\r\nHost: a b;c\r\n\r\n"):
            answer = parse(await send(address, head))
            assert f"curl -X POST http://127.0.0.1:{address[1]}/refresh<".encode() in answer.body


async def test_the_page_on_an_ipv6_address_has_it_in_brackets():
    """The socket's address, fit for a URL."""
    async with serving(Proxy(), socket.create_server(("::1", 0), family=socket.AF_INET6)) as address:
        answer = parse(await send(address, b"GET / HTTP/1.0\r\n\r\n"))
    assert f"curl http://[::1]:{address[1]}/status".encode() in answer.body


async def test_refresh_asks_for_a_new_token():
    """200 and how it ended."""
    proxy = Proxy()
    async with serving(proxy) as address:
        answer = await ask(address, "POST", "/refresh")
    assert (answer.status, answer.body, proxy.refreshes) == (200, b"ok\n", 1)


@pytest.mark.parametrize(
    ("token", "status", "code", "retry_after"),
    [
        (DOWN, 503, "token_unavailable", "8"),
        (replace(DOWN, next_try_at=None), 503, "token_unavailable", "1"),
        (REFUSED, 502, "token_refused", None),
    ],
)
async def test_a_refresh_that_failed_is_an_error_in_the_same_words(token, status, code, retry_after):
    """The status and the code are those that clients get, so that a script can act on them."""
    proxy = Proxy()
    proxy.overview = replace(OVERVIEW, token=token)
    async with serving(proxy) as address:
        answer = await ask(address, "POST", "/refresh")
    assert (answer.status, answer.problem["code"], answer.problem["detail"]) == (status, code, token.error)
    assert answer.headers.get("retry-after") == retry_after


async def test_quitquitquit_starts_the_drain():
    """It answers before anything stops."""
    proxy = Proxy()
    async with serving(proxy) as address:
        answer = await ask(address, "POST", "/quitquitquit")
    assert (answer.status, answer.body, proxy.quits) == (200, b"draining\n", 1)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/refresh", 405, "POST"),
        ("HEAD", "/quitquitquit", 405, "POST"),
        ("GET", "/quitquitquit", 405, "POST"),
        ("POST", "/status", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("OPTIONS", "/livez", 405, "GET, HEAD"),
        ("TRACE", "/livez", 405, "GET, HEAD"),
        ("TRACE", "/nope", 405, "GET, HEAD, POST"),
        ("CONNECT", "localhost:8081", 405, "GET, HEAD, POST"),
        ("CONNECT", "evil.example:443", 405, "GET, HEAD, POST"),
        ("GET", "/nope", 404, None),
        ("GET", "/livez/", 404, None),
        ("GET", "//livez", 404, None),
        ("GET", "/x/../livez", 404, None),
        ("GET", "/%6civez", 404, None),
        ("OPTIONS", "*", 404, None),
        ("GET", "http://localhost:8081/status", 200, None),
        ("GET", "http://127.0.0.1", 200, None),
        ("GET", "http://evil.example/status", 421, None),
        ("POST", "http://evil.example/quitquitquit", 421, None),
        ("GET", "http://localhost@evil.example/status", 421, None),
        ("GET", "https://localhost/status", 404, None),
        ("GET", "ftp://localhost/status", 404, None),
    ],
)
async def test_methods_and_targets(method, path, status, allow):
    """Each is what its route takes, or a problem that says so; nothing is done on the way."""
    proxy = Proxy()
    async with serving(proxy) as address:
        answer = await ask(address, method, path)
    assert answer.status == status
    assert answer.headers.get("allow") == allow
    assert (proxy.quits, proxy.refreshes) == (0, 0)
    if status != 200 and method != "HEAD":
        assert answer.problem["status"] == status
        assert len(bytes.fromhex(answer.problem["request_id"])) == 16


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/metrics", "/status", "/refresh", "/quitquitquit", "/nope"]
)
@pytest.mark.parametrize(
    ("lines", "host", "status"),
    [
        ((), "evil.example", 421),
        ((), "localhost.evil.example:8081", 421),
        (("Origin: http://localhost:8081", "Sec-Fetch-Site: same-origin"), "localhost:8081", 403),
        (("Origin: null",), "localhost:8081", 403),
        (("Sec-Fetch-Site: cross-site",), "localhost:8081", 403),
    ],
)
async def test_a_web_page_reaches_nothing(path, lines, host, status):
    """The guard stands before every route and every method, with `admin.allow_remote` too."""
    proxy = Proxy()
    async with serving(proxy, allow_remote=True) as address:
        for method in ("GET", "POST", "OPTIONS"):
            answer = await ask(address, method, path, *lines, host=host)
            assert answer.status == status
            assert b"evil" not in answer.body
    assert (proxy.quits, proxy.refreshes, proxy.collected) == (0, 0, 0)


@pytest.mark.parametrize(("allow_remote", "probe"), [(True, 200), (False, 403)])
async def test_peers_that_are_not_on_loopback(tmp_path, allow_remote, probe):
    """They get three paths with `admin.allow_remote`, else nothing; a peer without an IP address stands for them."""
    proxy = Proxy()
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "admin"))
    async with serving(proxy, unix, allow_remote=allow_remote) as address:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await ask(address, "GET", path, host="10.0.0.7:8081")).status == probe
            assert (await ask(address, "POST", path)).status == 403
        for path in ("/", "/status", "/nope", "http://localhost/status", "http://livez/status", "/livez/../status"):
            answer = await ask(address, "GET", path)
            assert (answer.status, answer.problem["code"]) == (403, "path_not_allowed")
        for path in ("/refresh", "/quitquitquit", "http://localhost/quitquitquit", "/metrics/../quitquitquit"):
            assert (await ask(address, "POST", path)).status == 403
        assert (await ask(address, "CONNECT", "localhost:8081")).status == 403
    assert (proxy.quits, proxy.refreshes) == (0, 0)


async def test_ipv4_mapped_loopback_is_this_machine():
    """A dual-stack socket shows 127.0.0.1 as ::ffff:127.0.0.1."""
    mapped = socket.socket(socket.AF_INET6)
    mapped.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    mapped.bind(("::ffff:127.0.0.1", 0))
    async with serving(Proxy(), mapped) as address:
        answer = await ask(("127.0.0.1", address[1]))
    assert answer.status == 200


async def test_several_sockets_are_served():
    """Both loopback families, as `localhost` means."""
    pair = socket.create_server(("127.0.0.1", 0)), socket.create_server(("::1", 0), family=socket.AF_INET6)
    addresses = [each.getsockname() for each in pair]
    async with serving(Proxy(), *pair):
        assert [(await ask(address, path="/livez")).status for address in addresses] == [200, 200]


async def test_a_connection_is_kept_for_the_next_request():
    """A scraper's connection serves one request after the other, also after an error."""
    async with serving(Proxy()) as address:
        raw = await send(
            address,
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert raw.count(b"HTTP/1.1 404 Not Found") == 1


async def test_a_client_that_has_sent_everything_is_answered():
    """Half-closing after the request is no hang-up; without a request it is the end."""
    async with serving(Proxy()) as address:
        for request, first in ((b"GET /livez HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK"), (b"", b""), (b"GET /li", b"")):
            reader, writer = await connect(address)
            writer.write(request)
            writer.write_eof()
            assert (await reader.read()).split(b"\r\n")[0] == first
            writer.close()


async def test_what_follows_a_connect_is_not_read_as_a_request():
    """The connection ends with the 405."""
    proxy = Proxy()
    async with serving(proxy) as address:
        raw = await send(
            address,
            b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
    assert raw.count(b"HTTP/1.1 ") == 1
    assert proxy.quits == 0


CANARY = b"SECRET-CANARY"

HOSTILE = [
    b"GET /\x01" + CANARY + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer " + CANARY + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00" + CANARY + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + CANARY * 2000 + b"\r\n\r\n",
    b"GET /" + CANARY * 2000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + CANARY + b"\r\n" * 1 + b"X: a\r\n" * 300 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + CANARY + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: " + CANARY + b"\r\n\r\n",
    b"get /" + CANARY + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01" + CANARY,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + CANARY,
    b"GET " + CANARY + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" + CANARY,
    b"POST /nope HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + CANARY + b"\r\n",
    b"GET http://[" + CANARY + b"/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http:///" + CANARY + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://localhost:99999999/" + CANARY + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: localhost/" + CANARY + b":99999\r\nConnection: close\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", HOSTILE, ids=range(len(HOSTILE)))
async def test_malformed_requests_come_back_neither_in_the_answer_nor_in_the_log(request_bytes, caplog, capfd):
    """One problem without a byte of the request, the connection ends, and nothing is logged."""
    caplog.set_level(logging.DEBUG)
    proxy = Proxy()
    with structlog.testing.capture_logs() as events:
        async with serving(proxy) as address:
            reader, writer = await connect(address)
            writer.write(request_bytes)
            writer.write_eof()
            raw = await reader.read()
            writer.close()
            assert (await ask(address, path="/livez")).status == 200
    answer = parse(raw)
    assert 400 <= answer.status < 500
    assert answer.problem["status"] == answer.status
    assert CANARY not in raw
    assert answer.headers["server"] == "okta-proxy"
    shown = "".join(capfd.readouterr()) + "".join(record.getMessage() for record in caplog.records)
    assert CANARY.decode() not in shown
    assert "Traceback" not in shown
    assert not events
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9"])
async def test_other_versions_are_refused_in_our_own(version):
    """505 in an HTTP/1.1 status line, and the connection ends."""
    async with serving(Proxy()) as address:
        answer = parse(await send(address, b"GET /livez " + version + b"\r\nHost: localhost\r\n\r\n"))
    assert answer.line == "HTTP/1.1 505 HTTP Version Not Supported"
    assert answer.problem["code"] == "version_not_supported"


async def test_a_bug_is_an_answer_and_a_log_event():
    """500 without a word of the exception; the log has its traceback and the same request id."""
    proxy = Proxy()
    proxy.broken = True
    with structlog.testing.capture_logs() as events:
        async with serving(proxy) as address:
            answer = await ask(address)
    assert (answer.status, answer.problem["code"]) == (500, "internal_error")
    assert b"broken" not in answer.body
    (event,) = events
    assert (event["event"], event["log_level"], event["listener"]) == ("internal_error", "error", "admin")
    assert event["request_id"] == answer.problem["request_id"]


async def test_a_body_that_no_route_reads_does_not_cost_the_answer():
    """A client that sends a body with its POST gets the answer, and the connection goes on."""
    proxy = Proxy()
    async with serving(proxy) as address:
        raw = await send(
            address,
            b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert proxy.refreshes == 1


async def test_connections_over_the_limit_are_cut(monkeypatch):
    """They cost no file descriptor, and those that are open go on; one that ends makes room."""
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 1)
    async with serving(Proxy()) as address:
        reader, writer = await connect(address)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        with suppress(ConnectionResetError):
            assert await send(address, b"") == b""
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert (await ask(address, path="/livez")).status == 200


async def test_stop_lets_an_answer_on_its_way_arrive():
    """A refresh that is under way is answered, new connections are refused."""
    proxy = Proxy()
    proxy.gate = asyncio.Event()
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    server = AdminServer(proxy.collect, guard=proxy.guard, refresh=proxy.refresh, quit=proxy.quit, allow_remote=False)
    await server.start([sock])
    asking = asyncio.create_task(ask(address, "POST", "/refresh"))
    await proxy.asked.wait()
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    assert sock.fileno() == -1
    proxy.gate.set()
    assert (await asking).body == b"ok\n"
    await stopping
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await connect(address)


async def test_stop_cuts_what_does_not_end(monkeypatch):
    """A refresh that hangs ends with its connection when the grace is over."""
    monkeypatch.setattr(server_module, "GRACE", 0.01)
    proxy = Proxy()
    proxy.gate = asyncio.Event()
    async with serving(proxy) as address:
        reader, writer = await connect(address)
        writer.write(b"POST /refresh HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await proxy.asked.wait()
    assert await reader.read() == b""
    writer.close()


async def test_a_head_that_does_not_end_is_cut(monkeypatch):
    """A connection costs a slow or silent client's peer no more than the keep-alive time."""
    monkeypatch.setattr(listener, "KEEPALIVE", 0.02)
    async with serving(Proxy()) as address:
        assert await send(address, b"GET /livez HTTP/1.1\r\nHost: local") == b""


async def test_stop_ends_idle_connections():
    """A scraper's kept connection does not hold the process up."""
    async with serving(Proxy()) as address:
        reader, writer = await connect(address)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"ok\n")
    assert await reader.read() == b""
    writer.close()
