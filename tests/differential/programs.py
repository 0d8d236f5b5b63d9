"""Origins that are programs: nginx, HAProxy and Node, each asked over a Unix socket what it reads in some bytes."""

import asyncio
import contextlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from canonical import Request, Seen, requests_in
from kit import PATIENCE, RawConnection
from parsers import Reading

REQUIRED = "OKTA_PROXY_TESTS_REQUIRE"
"""The environment variable that names programs (with commas) without which tests fail instead of being skipped."""
HERE = Path(__file__).parent
Read = Callable[[bytes], Awaitable[Reading]]

_SEEN = re.compile(rb"^x-seen: (.*?)\r$", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"^HTTP/1\.[01] ([0-9]{3})", re.MULTILINE)


def needs(name: str) -> str:
    """Return the program's path; without it the test is skipped, or fails where it is required."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if path is None:
        reason = f"{name} is not installed"
        if name in os.environ.get(REQUIRED, "").split(","):
            pytest.fail(f"{reason}, and {REQUIRED} asks for it")
        pytest.skip(reason)
    return path


@contextlib.asynccontextmanager
async def program(*command: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the end of the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


@contextlib.asynccontextmanager
async def dialled(path: Path) -> AsyncIterator[RawConnection]:
    """Connect to a Unix socket."""
    reader, writer = await asyncio.open_unix_connection(path, limit=2**22)
    connection = RawConnection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


async def listening(path: Path) -> None:
    """Wait until a program listens on *path*."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError):
                async with dialled(path):
                    return
            await asyncio.sleep(0.005)  # another process makes the socket, and tells nobody


def asking(path: Path) -> Read:
    """Return how to ask the origin at *path*: by its answers to the bytes. It ends them, or they are cut."""

    async def read(data: bytes) -> Reading:
        async with dialled(path) as connection:
            with contextlib.suppress(ConnectionError):
                await connection.send(data)
                if not data.endswith(b"\r\nConnection: close\r\n\r\n"):
                    connection.half_close()
            answers = (await connection.ending()).data
        found = [told(line) for line in answers_of(answers)]
        return Reading(found, refused=len(_STATUS.findall(answers)) > len(found))

    return read


def answers_of(data: bytes) -> list[bytes]:
    """Return what the answers in *data* tell of the requests that they are for."""
    return _SEEN.findall(data)


def told(line: bytes) -> Seen:
    """Return the request that an origin tells of."""
    told = json.loads(line)
    return Seen(
        told["method"].encode("latin-1"),
        told["target"].encode("latin-1"),
        tuple(host.encode("latin-1") for host in told["hosts"]),
        tuple(value.encode("latin-1") for value in told["authorizations"]),
        told["body"].encode("latin-1"),
    )


def telling(request: Request) -> bytes:
    """Return an answer that tells what the request is."""
    seen = {
        name: [each.decode("latin-1") for each in value] if isinstance(value, tuple) else value.decode("latin-1")
        for name, value in request.seen._asdict().items()
    }
    return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Seen: %b\r\n\r\n" % json.dumps(seen).encode("ascii")


@contextlib.asynccontextmanager
async def sink(path: Path) -> AsyncIterator[None]:
    """Listen on *path* as what stands behind a server that forwards what it reads: it sends clean HTTP."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while piece := await reader.read(2**16):
                data += piece
                found, data = requests_in(data)
                writer.write(b"".join(map(telling, found)))

    async with await asyncio.start_unix_server(serve, path):
        yield


@contextlib.contextmanager
def folder() -> AsyncIterator[Path]:
    """Make a folder whose name is short enough for a Unix socket, and that other users may enter."""
    with TemporaryDirectory(prefix="okta-proxy-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log /dev/null;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    large_client_header_buffers 16 128k;
    client_max_body_size 0;
    underscores_in_headers on;
    ignore_invalid_headers off;
    merge_slashes off;
    keepalive_requests 100000;
    upstream behind {{
        server {behind};
        keepalive 4;
    }}
    server {{
        listen unix:{folder}/front;
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_buffer_size 256k;
            proxy_buffers 8 256k;
            proxy_busy_buffers_size 512k;
            proxy_ignore_client_abort on;
        }}
    }}
}}
"""
HAPROXY = """
global
    tune.bufsize 262144
    tune.maxrewrite 1024
    tune.http.maxhdr 1000
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend front
    bind unix@{folder}/front
    default_backend behind
backend behind
    http-reuse always
    server behind {behind}
"""


@contextlib.asynccontextmanager
async def nginx(behind: str) -> AsyncIterator[Path]:
    """Run nginx before *behind* (`unix:PATH` or `HOST:PORT`); the Unix socket that it listens on."""
    binary = needs("nginx")
    with folder() as place:
        user = "user root;" if os.geteuid() == 0 else ""
        (place / "conf").write_text(NGINX.format(folder=place, behind=behind, user=user))
        async with program(binary, "-e", "/dev/null", "-p", place, "-c", place / "conf"):
            await listening(place / "front")
            yield place / "front"


@contextlib.asynccontextmanager
async def haproxy(behind: str) -> AsyncIterator[Path]:
    """Run HAProxy before *behind*; the Unix socket that it listens on."""
    binary = needs("haproxy")
    with folder() as place:
        (place / "conf").write_text(HAPROXY.format(folder=place, behind=behind.replace("unix:", "unix@")))
        async with program(binary, "-q", "-db", "-f", place / "conf"):
            await listening(place / "front")
            yield place / "front"


FRONTS = {"nginx": nginx, "haproxy": haproxy}


@contextlib.asynccontextmanager
async def forwarding(front: str) -> AsyncIterator[Read]:
    """Ask a server that forwards what it reads."""
    with folder() as place:
        async with sink(place / "sink"), FRONTS[front](f"unix:{place}/sink") as path:
            yield asking(path)


@contextlib.asynccontextmanager
async def node(*, lenient: bool) -> AsyncIterator[Read]:
    """Ask Node's http, *lenient* with the parser that reads what it should not."""
    binary = needs("node")
    with folder() as place:
        async with program(binary, HERE / "origin.js", place / "strict", place / "lenient") as process:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            yield asking(place / ("lenient" if lenient else "strict"))


PROGRAMS = {
    "nginx": lambda: forwarding("nginx"),
    "HAProxy": lambda: forwarding("haproxy"),
    "Node": lambda: node(lenient=False),
    "Node, lenient": lambda: node(lenient=True),
}
