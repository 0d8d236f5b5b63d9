"""What tests of promises share beside `kit`: our own answers, what is logged, free ports, TLS of our own."""

import contextlib
import io
import json
import logging
import ssl
from collections.abc import Iterator
from typing import Any

import structlog
import trustme
from kit import Message, RawConnection

from proxy import logs
from proxy.binding import bind, port_of
from proxy.errors import phrase


def assert_ours(answer: Message, status: int, code: str, error: str, *, body: bool = True) -> str:
    """
    Check that *answer* is one that the proxy gives itself, with nothing in it but what docs/troubleshooting.md says.

    Return its detail; *body* is False for an answer to HEAD, which has none.
    """
    assert answer.first == b"HTTP/1.1 %d %b" % (status, phrase(status).encode())
    assert answer.value(b"content-type") == b"application/problem+json"
    assert answer.value(b"cache-control") == b"no-store"
    assert answer.value(b"proxy-status") == b"okta-proxy; error=" + error.encode()
    assert answer.value(b"date") is not None
    names = {line.split(b":")[0] for line in answer.lines}
    assert names <= {
        b"Content-Type",
        b"Cache-Control",
        b"X-Content-Type-Options",
        b"Proxy-Status",
        b"Content-Length",
        b"Date",
        b"Connection",
        b"Retry-After",
        b"Allow",
    }
    if not body:
        assert int(answer.value(b"content-length") or 0) > 0
        return ""
    problem = answer.problem
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (problem["type"], problem["status"], problem["code"]) == ("about:blank", status, code)
    assert problem["title"] == phrase(status)
    assert problem["request_id"]
    return str(problem["detail"])


async def assert_closed(client: RawConnection) -> None:
    """Check that the proxy ended the connection, well and with nothing more to say."""
    ending = await client.ending()
    assert (ending.data, ending.reset) == (b"", False)


class Logged:
    """What was logged, as text and as the dictionaries of its lines. Complete when `logged` has ended."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@contextlib.contextmanager
def logged(level: logs.Level = "debug") -> Iterator[Logged]:
    """Collect what the whole process logs meanwhile, as `okta-proxy run` would print it into a pipe."""
    output, collected, root = io.StringIO(), Logged(), logging.getLogger()
    root_level = root.level
    writer = logs.configure(level, "json", output)
    try:
        yield collected
    finally:
        writer.close()
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.removeHandler(logs._handler)
        root.setLevel(root_level)
        collected.text = output.getvalue()


def free_port() -> int:
    """Return a port that is free on both loopback addresses."""
    sockets = bind("localhost", 0, "listen")
    port = port_of(sockets)
    for sock in sockets:
        sock.close()
    return port


def tls_server(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return a server's context with a certificate for *names*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
