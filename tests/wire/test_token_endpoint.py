"""One call of the token endpoint: what exactly goes over the wire, and what is made of what comes back."""

import asyncio
import gzip
import os
import socket
import struct
import time
from urllib.parse import parse_qsl

import pytest
from clocks import HandClock
from kit import CLIENT_ID, CLIENT_SECRET
from token_servers import RawServer, closed_port, endpoint, failed, fetched, response

from proxy import __version__
from proxy.config import Secret
from proxy.emulator import AuthorizationServer, faults
from proxy.tokens.answer import LARGEST_ANSWER, read_answer
from proxy.tokens.endpoint import CONNECT_TIMEOUT, TOTAL_TIMEOUT, joined
from proxy.tokens.source import Token

ODD = "o+d%20d:s/e c=r&e?t"
OK = response()


async def test_a_token_request_byte_for_byte():
    """A POST with a form and seven headers: no cookie, no `Expect`, nothing that invites a coded answer."""
    async with RawServer(OK) as server:
        await fetched(endpoint(f"{server.url}/oauth2/default/v1/token?x=1", scopes=("api.read", "api.write")))
    (request,) = server.requests
    assert request.line == "POST /oauth2/default/v1/token?x=1 HTTP/1.1"
    assert {name.lower(): value for name, value in request.headers} == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"okta-proxy/{__version__}",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(request.body)),
        "connection": "close",
    }
    assert (
        request.body
        == (
            f"grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&scope=api.read+api.write"
        ).encode()
    )


async def test_basic_authentication_puts_the_secret_into_the_header_alone():
    """One method a request: Okta refuses two."""
    async with RawServer(OK) as server:
        await fetched(endpoint(server.url, auth_method="client_secret_basic"))
    (request,) = server.requests
    assert request.value("Authorization").startswith("Basic ")
    assert request.body == b"grant_type=client_credentials"


async def test_no_scopes_send_no_parameter():
    """An absent scope and an empty one are not the same to every server."""
    async with RawServer(OK) as server:
        await fetched(endpoint(server.url, scopes=()))
    assert b"scope" not in server.requests[0].body


async def test_extra_parameters_are_sent_each_time():
    """`oauth.extra_params` are form-encoded into every token request."""
    async with RawServer(OK) as server:
        side = endpoint(server.url, extra_params={"audience": "https://api.example.com/?a=b&c", "resource": "x y"})
        await fetched(side)
        await fetched(side)
    for request in server.requests:
        assert ("audience", "https://api.example.com/?a=b&c") in parse_qsl(request.body.decode())
        assert ("resource", "x y") in parse_qsl(request.body.decode())


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("secret", [CLIENT_SECRET, ODD])
async def test_okta_accepts_our_credentials(method, secret):
    """The emulated Okta, which decodes as RFC 6749 2.3.1 has it, gives a token for ordinary and odd secrets."""
    async with AuthorizationServer(client_id=CLIENT_ID, client_secret=secret) as okta:
        side = endpoint(okta.token_url, auth_method=method, client_secret=Secret(secret), scopes=("api.read",))
        result = await fetched(side)
        assert isinstance(read_answer(result.answer, result.secret), Token)
        assert okta.token_requests[0].method == method


async def test_no_cookie_is_kept():
    """Okta sets several; none comes back, and each request has a connection of its own."""
    cookies = response(200, {}, "Set-Cookie: sid=1; Path=/", "Set-Cookie: JSESSIONID=2; Path=/")
    async with RawServer(cookies) as server:
        side = endpoint(server.url)
        for _ in range(3):
            await fetched(side)
    assert [request.value("Cookie") for request in server.requests] == [None] * 3
    assert server.connections == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status):
    """The secret never goes where a redirect points; it is an answer of no use."""
    async with RawServer(OK) as elsewhere, RawServer(response(status, {}, f"Location: {elsewhere.url}/")) as server:
        result = await fetched(endpoint(server.url))
        failure = read_answer(result.answer, result.secret)
        assert failure.outcome == "failed"
        assert failure.message == f"The token endpoint answered {status}."
        assert (server.connections, elsewhere.connections) == (1, 0)


async def test_netrc_and_the_process_environment_are_not_looked_at(tmp_path, monkeypatch):
    """Credentials of `.netrc` are not sent, and a proxy comes from the environment that was passed in."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login who password what\ndefault login who password what\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with RawServer(OK) as server:
        await fetched(endpoint(server.url))
    assert server.requests[0].value("Authorization") is None


async def test_the_life_counts_from_before_the_sending():
    """However long the answer takes, the moments it carries are those before the request left."""
    clock = HandClock()
    boot, wall = clock.boot(), clock.wall()

    async def slow(_, writer):
        await clock.advance(7)
        writer.write(OK)

    async with RawServer(slow) as server:
        answer = (await fetched(endpoint(server.url, clock=clock))).answer
    assert (answer.sent_boot, answer.sent_wall) == (boot, wall)
    assert clock.boot() == boot + 7


async def test_repeated_headers_are_joined():
    """Of several `X-Rate-Limit-Reset` none is lost: the smallest one decides."""
    limits = ("Date: Fri, 15 Jan 2027 08:00:00 GMT", "X-Rate-Limit-Reset: 1800000090", "X-Rate-Limit-Reset: 1800000020")
    async with RawServer(response(429, {}, *limits, "X-Rate-Limit-Reset: 1800000500")) as server:
        result = await fetched(endpoint(server.url))
    assert result.answer.headers["x-rate-limit-reset"] == "1800000090, 1800000020, 1800000500"
    assert read_answer(result.answer, result.secret).delay == 21.0
    assert joined([("A", "1"), ("b", "2"), ("a", "3")]) == {"a": "1, 3", "b": "2"}


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,
    ],
)
async def test_each_way_to_frame_an_answer_is_read(answer):
    """By length, in chunks, to the end of the connection, after an interim answer."""
    async with RawServer(answer) as server:
        assert (await fetched(endpoint(server.url))).answer.status == 200


def reset(writer):
    """Break the connection off with a RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def reset_at_once(_, writer):
    """Answer with a RST."""
    reset(writer)


async def reset_in_the_body(_, writer):
    """Answer with half a body and a RST."""
    writer.write(OK[:-10])
    await asyncio.sleep(0)
    reset(writer)


@pytest.mark.parametrize(
    ("answer", "outcome", "named"),
    [
        (b"", "unreachable", "closed the connection"),
        (reset_at_once, "unreachable", "the connection broke"),
        (reset_in_the_body, "", "The token endpoint"),
        (OK[:-5], "failed", "not HTTP as it should be"),
        (OK[:30], "unreachable", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "failed", "not HTTP as it should be"),
        (b"HTTP/1.1 abc\r\n\r\n", "failed", "not HTTP as it should be"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", "failed", "not HTTP as it should be"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "failed", "not HTTP as it should be"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n{}", "failed", "not HTTP as it should be"),
        (b"\x16\x03\x01\x00\x05hello", "failed", "not HTTP as it should be"),
    ],
)
async def test_what_is_no_answer_is_a_failure_with_a_name(answer, outcome, named):
    """Closed, reset, cut, another protocol, HTTP that is none: in our words, and never an exception."""
    async with RawServer(answer) as server:
        failure = await failed(endpoint(server.url))
    assert outcome in failure.outcome
    assert named in failure.message
    assert failure.remedy
    assert CLIENT_SECRET not in repr(failure)


async def test_nobody_listens():
    """A refused connection says so and leads to the issuer and the network."""
    failure = await failed(endpoint(f"http://127.0.0.1:{closed_port()}/token"))
    assert failure.outcome == "unreachable"
    assert "refused the connection" in failure.message
    assert "oauth.issuer" in failure.remedy


def test_the_timeouts_of_the_contract():
    """3 s to connect and 8 s for the whole call, unless a test injects others."""
    assert (CONNECT_TIMEOUT, TOTAL_TIMEOUT) == (3.0, 8.0)
    timeout = endpoint("http://127.0.0.1:1/")._timeout
    assert (timeout.connect, timeout.total) == (3.0, 8.0)


async def hang(_, __):
    """Answer nothing."""
    await asyncio.Event().wait()


async def hang_in_the_body(_, writer):
    """Answer half a body."""
    writer.write(OK[:-10])
    await writer.drain()
    await asyncio.Event().wait()


async def trickle(_, writer):
    """Answer a byte at a time."""
    for number in range(len(OK)):
        writer.write(OK[number : number + 1])
        await writer.drain()
        await asyncio.sleep(0.02)  # the trickle is what is tested


@pytest.mark.parametrize("answer", [hang, hang_in_the_body, trickle])
async def test_an_endpoint_that_hangs_or_trickles_is_cut_at_the_total(answer):
    """Silence, silence in the middle of a body and one byte after the other all end with the call's time."""
    started = time.monotonic()
    async with RawServer(answer) as server:
        failure = await failed(endpoint(server.url, timeouts={"total_timeout": 0.15}))
    assert 0.1 < time.monotonic() - started < 2
    assert failure.outcome == "unreachable"
    assert "did not answer in time" in failure.message


async def test_a_connection_that_does_not_come_is_cut_at_the_connect_timeout():
    """A TLS server that says nothing is no connection, long before the total is over."""
    started = time.monotonic()
    async with RawServer(hang) as server:
        url = server.url.replace("http:", "https:")
        failure = await failed(endpoint(url, timeouts={"connect_timeout": 0.15}))
    assert 0.1 < time.monotonic() - started < 2
    assert server.connections == 1
    assert "did not answer in time" in failure.message


async def test_an_answer_in_pieces_is_read_to_its_end():
    """What comes in several packets is one answer."""

    async def pieces(_, writer):
        for start in range(0, len(OK), 50):
            writer.write(OK[start : start + 50])
            await writer.drain()
            await asyncio.sleep(0.002)

    async with RawServer(pieces) as server:
        assert OK.endswith((await fetched(endpoint(server.url))).answer.body)


@pytest.mark.parametrize(("size", "read"), [(LARGEST_ANSWER, True), (LARGEST_ANSWER + 1, False)])
async def test_an_answer_is_read_up_to_64_kib(size, read):
    """Exactly so much is taken; a byte more is a failure with a name."""
    async with RawServer(response(body=b"{" + b" " * (size - 2) + b"}")) as server:
        if read:
            assert len((await fetched(endpoint(server.url))).answer.body) == 64 * 1024
        else:
            assert "larger than 64 KiB" in (await failed(endpoint(server.url))).message


async def test_an_endless_answer_is_not_read_on():
    """The connection is closed long before the server has sent what it promised."""
    sent = 0
    gone = asyncio.Event()

    async def flood(_, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            while sent < 100_000_000:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            gone.set()
            raise

    async with RawServer(flood) as server:
        failure = await failed(endpoint(server.url))
        assert "larger than 64 KiB" in failure.message
        await gone.wait()
    assert sent < 30_000_000


async def test_a_coded_answer_is_not_decoded():
    """A gzip bomb stays as small as it came, and is no JSON."""
    bomb = gzip.compress(b'{"access_token":"' + b"x" * 30_000_000 + b'"}')
    assert len(bomb) < LARGEST_ANSWER
    async with RawServer(response(200, None, "Content-Encoding: gzip", body=bomb)) as server:
        result = await fetched(endpoint(server.url))
    assert result.answer.body == bomb
    assert "not a JSON object" in read_answer(result.answer, result.secret).message


async def test_the_emulators_coded_answer_is_not_decoded():
    """Nobody asked for a coding, so a coded token is none."""
    async with AuthorizationServer(client_id=CLIENT_ID, client_secret=CLIENT_SECRET) as okta:
        okta.always(faults.GZIP)
        result = await fetched(endpoint(okta.token_url, scopes=("api.read",)))
        assert read_answer(result.answer, result.secret).outcome == "failed"


async def test_the_secret_file_is_read_for_each_request(tmp_path):
    """A rotated secret goes out with the next request; a file that is gone is a refusal that names the key."""
    path = tmp_path / "secret"
    async with RawServer(OK) as server:
        side = endpoint(server.url, client_secret=None, client_secret_file=str(path))
        for secret in ("first", "second"):
            path.write_text(secret + "\n")
            assert (await fetched(side)).secret == secret
        path.unlink()
        failure = await failed(side)
    assert [dict(parse_qsl(request.body.decode()))["client_secret"] for request in server.requests] == [
        "first",
        "second",
    ]
    assert failure.outcome == "refused"
    assert failure.message == "oauth.client_secret_file cannot be read: No such file or directory."


async def test_a_secret_file_that_cannot_be_read_in_time_is_a_failure(tmp_path):
    """A file system that hangs, here a pipe without a writer, does not stop the retries."""
    path = tmp_path / "secret"
    os.mkfifo(path)
    side = endpoint(
        "http://127.0.0.1:1/", client_secret=None, client_secret_file=str(path), timeouts={"total_timeout": 0.1}
    )
    failure = await failed(side)
    assert failure.outcome == "failed"
    assert "could not be read in time" in failure.message
    with open(path, "wb"):  # noqa: ASYNC230, PTH123  # lets the thread that waits for a writer end
        pass


async def test_nothing_prints_a_secret():
    """The endpoint, what it fetched and the answer have a `repr` without secret, token or header."""
    async with RawServer(response(200, None, "X-Echo: tell-nobody", body=b'{"access_token":"tell-nobody"}')) as server:
        side = endpoint(server.url, extra_params={"key": "tell-nobody"})
        result = await fetched(side)
    shown = f"{side!r} {result!r} {result.answer!r} {side._settings!r}"
    assert CLIENT_SECRET not in shown
    assert "tell-nobody" not in shown
    assert repr(side) == f"<TokenEndpoint {server.url}>"
