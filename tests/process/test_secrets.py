"""
No secret is ever shown: everything that a debug-level run prints and answers is searched for what it was given.

The run is made to fail in each way that has ever leaked a credential: malformed requests with an Authorization line,
malformed answers of the upstream (aiohttp's exceptions hold the request's headers), a token endpoint that repeats the
secret, asyncio's debug mode, tracebacks.
"""

import asyncio
import gc
import json
import urllib.error
import urllib.request
from pathlib import Path

from command import Command, command, environment, output_of
from kit import GET, OK, RawConnection, RawUpstream, raw_client, running, settings

SECRET = "canary-secret-4f1d9a77"
TOKEN = "canary-token-b83c0e5512"
CLIENT = "canary-client-07aa41"
COOKIE = "canary-cookie-99e2d0"
CANARIES = (SECRET, TOKEN, CLIENT, COOKIE)

ANSWERS = {
    b"/ok": OK,
    b"/401": b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n",
    b"/garbage": b"\x00\x01garbage\r\n\r\n",
    b"/both": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    b"/control": b"HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 2\r\n\r\nok",
    b"/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
    b"/close": b"",
}

REQUESTS = [
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\nCookie: c=%b\r\n\r\n"
    % (path, CLIENT.encode(), COOKIE.encode())
    for path in ANSWERS
]
MALFORMED = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\x00\r\n\r\n" % CLIENT.encode(),
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization : %b\r\n\r\n" % CLIENT.encode(),
    b"GET /?%b\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n" % CLIENT.encode(),
    b"%b / HTTP/1.1\r\nHost: localhost\r\n\r\n" % CLIENT.encode(),
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz %b\r\n" % CLIENT.encode(),
    b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % CLIENT.encode(),
    b"GET http://user:%b@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n" % CLIENT.encode(),
    b"\x16\x03\x01" + CLIENT.encode() + b"\r\n\r\n",
]


class Leaky:
    """A token endpoint that repeats the secret in its errors, and an upstream that answers as `ANSWERS` says."""

    def __init__(self) -> None:
        self.tokens = 0

    async def __call__(self, upstream: RawUpstream, connection: RawConnection) -> None:
        while True:
            head = await upstream.request(connection)
            path = head.split(b" ")[1]
            if path == b"/token":
                await connection.exactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                await connection.send(self._token())
            elif data := ANSWERS.get(path):
                await connection.send(data)
                if path in {b"/garbage", b"/cut"}:
                    return
            else:
                return

    def _token(self) -> bytes:
        self.tokens += 1
        if self.tokens > 1:
            text = {"error": "invalid_client", "error_description": f"secret {SECRET} or Bearer {TOKEN} is wrong"}
            return _json(b"400 Bad Request", text)
        return _json(b"200 OK", {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})


def _json(status: bytes, document: dict[str, object]) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def fetch(url: str, method: str = "GET") -> str:
    """Return the head and body of an answer, whatever its status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:  # noqa: S310 - our own URL
            return f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.headers}{error.read().decode()}"


async def answers(proxy: Command) -> bytes:
    """Send all the requests, and return all that came back."""
    came = b""
    for data in REQUESTS + MALFORMED:
        async with raw_client(proxy.url) as client:
            await client.send(data)
            client.half_close()
            came += await asyncio.wait_for(client.reader.read(-1), 20)
    return came


async def test_nothing_that_is_printed_or_answered_holds_a_secret():
    """Logs at debug level, answers, pages, metrics and the process's arguments hold none of the canaries."""
    async with RawUpstream(Leaky()) as upstream:
        environ = environment(
            upstream.url,
            upstream.url + "/token",
            OKTA_PROXY_OAUTH__CLIENT_SECRET=SECRET,
            OKTA_PROXY_LOG__LEVEL="debug",
            PYTHONASYNCIODEBUG="1",
            PYTHONDEVMODE="1",
        )
        async with command("run", environ=environ) as proxy:
            shown = (await answers(proxy)).decode("latin-1")
            for path, method in (
                ("/", "GET"),
                ("/status", "GET"),
                ("/metrics", "GET"),
                ("/readyz", "GET"),
                ("/refresh", "POST"),
            ):
                shown += await asyncio.to_thread(fetch, proxy.admin_url + path, method)
            shown += await asyncio.to_thread(Path(f"/proc/{proxy.process.pid}/cmdline").read_text)
            await asyncio.to_thread(fetch, proxy.admin_url + "/quitquitquit", "POST")
            assert await proxy.ended() == 0
        shown += "".join(proxy.output)
        for arguments in (("check",), ("token", "--claims"), ("token",)):
            shown += (await output_of(*arguments, environ=environ))[1]
    assert "token_refreshed" in shown
    assert "token_refresh_failed" in shown
    assert "okta_proxy_requests_total" in shown
    assert upstream.heads, "the requests must have gone through for this test to mean anything"
    assert [canary for canary in CANARIES if canary in shown] == []


async def test_no_repr_of_a_living_object_holds_a_secret():
    """Whatever object of ours a debugger or an error report prints, its repr shows no canary."""
    async with RawUpstream(Leaky()) as upstream:
        configuration = settings(upstream.url, upstream.url + "/token")
        secret = configuration.oauth.client_secret
        assert secret is not None
        async with running(configuration) as app:
            await app.tokens.first_result(10)
            async with raw_client(app) as client:
                await client.send(GET.replace(b"/ ", b"/ok "))
                await client.response()
                ours = [thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("proxy.")]
                shown = "\n".join(map(repr, ours)) + repr(configuration)
    assert "Refresher" in shown
    assert "<Token Bearer *** " in shown
    assert secret.reveal() not in shown
    assert TOKEN not in shown
