"""
`okta-proxy health`: asks `/livez` once, for Docker's health check and exec probes.

Only the lightest of the standard library is imported: a probe at a tenth of a core has a second in all, and the
interpreter takes its part of it. The configuration file is not read: the address comes from `--url`, else from
`OKTA_PROXY_ADMIN__HOST`, `OKTA_PROXY_ADMIN__PORT` and `OKTA_PROXY_LISTEN__PORT`, else it is localhost:8081.
"""

import socket
import sys
import time
from collections.abc import Mapping

TIMEOUT = 2.0
"""Seconds an answer may take, connection and all."""

ANSWER_LIMIT = 16 * 1024
"""Bytes read of an answer: ours have a few hundred."""

REASON_LIMIT = 600
"""Characters of an answer's text that are shown: a cause, its remedy and the place where that is done."""


class ProbeError(Exception):
    """The answer is no, or there is none; the text says why in one line."""


def run(url: str | None, environ: Mapping[str, str]) -> int:
    """
    Ask `/livez` at *url*, or where *environ* says, and return 0 if it answers 200, else 1 (Docker's two answers).

    Nothing is printed for a yes; a no is one line on standard error.
    """
    try:
        host, port = address(url, environ)
        ask(host, port, "/livez", TIMEOUT)
    except ProbeError as error:
        print(f"okta-proxy health: {error}", file=sys.stderr)
        return 1
    return 0


def address(url: str | None, environ: Mapping[str, str]) -> tuple[str, int]:
    """
    Return the admin listener's host and port: those of *url*, else of the environment, else localhost and 8081.

    Raises `ProbeError` if they cannot be told.
    """
    if url is not None:
        return _parse(url)
    host = environ.get("OKTA_PROXY_ADMIN__HOST") or "localhost"
    # A listener on all addresses is reached at the loopback one of its family.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = "OKTA_PROXY_ADMIN__PORT"
    if environ.get(name):
        return host, _port(environ[name], name)
    name = "OKTA_PROXY_LISTEN__PORT"
    return host, _port(environ.get(name) or "8080", name) + 1


def _parse(url: str) -> tuple[str, int]:
    scheme, _, rest = url.partition("://")
    authority = rest.rstrip("/")
    if scheme.lower() != "http" or not authority or any(mark in authority for mark in "/?#@ "):
        raise ProbeError(f"--url {_shown(url)}: the admin listener is http://HOST:PORT")
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, "80"
    return host.removeprefix("[").removesuffix("]"), _port(port, "--url")


def _port(text: str, name: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= 65535:
        return int(text)
    if text == "0":
        raise ProbeError(f"{name} is 0: the port is chosen at the start; give it with --url")
    raise ProbeError(f"{name}: {_shown(text)} is not a port")


def ask(host: str, port: int, path: str, timeout: float) -> None:
    """
    Send a GET for *path* and return if the answer is 200; raise `ProbeError` if it is not, or not within *timeout*.

    `localhost` is 127.0.0.1, then ::1, and is never resolved: so the listener has it.
    """
    deadline = time.monotonic() + timeout
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
    try:
        with _connect(host, port, timeout) as connection:
            connection.sendall(request.encode("ascii"))
            answer = _receive(connection, deadline)
    except (OSError, UnicodeError) as error:
        why = f"no answer within {timeout:.3g} s" if isinstance(error, TimeoutError) else _reason(error)
        raise ProbeError(f"http://{authority}{path}: {why}") from None
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or not status[1].isdigit():
        raise ProbeError(f"http://{authority}{path}: closed without an answer of HTTP")
    if status[1] != b"200":
        text = _shown(_detail(body.decode(errors="replace").strip()))
        raise ProbeError(f"http://{authority}{path} answered {status[1].decode()}" + (f": {text}" if text else ""))


def _detail(text: str) -> str:
    """Return the detail of an RFC 9457 problem, *text* itself if it is none."""
    import json  # noqa: PLC0415 - only a no pays for it

    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    if host.lower() != "localhost":
        return _connect_to(host, port, timeout)
    try:
        return _connect_to("127.0.0.1", port, timeout)
    except OSError as refusal:
        try:
            return _connect_to("::1", port, timeout)
        except OSError:
            raise refusal from None


def _connect_to(host: str, port: int, timeout: float) -> socket.socket:
    # Bytes are not put through the codec for international names, whose import takes longer than the probe.
    return socket.create_connection((host.encode("ascii"), port), timeout)  # type: ignore[arg-type]  # str, it says


def _receive(connection: socket.socket, deadline: float) -> bytes:
    """Read the answer to its end; an answer that comes in drops is not waited for beyond *deadline*."""
    answer = b""
    while len(answer) < ANSWER_LIMIT:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(ANSWER_LIMIT)
        if not piece:
            break
        answer += piece
    return answer


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: is okta-proxy running, with admin.enabled?"
    return getattr(error, "strerror", None) or type(error).__name__


def _shown(text: str) -> str:
    """Return *text* as one line that is fit for a terminal."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in line[:REASON_LIMIT])
