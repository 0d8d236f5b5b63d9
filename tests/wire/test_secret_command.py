"""A secret that another program prints, run as a user's would be."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from clocks import HandClock, oauth_settings
from loops import every_loop, settled
from token_servers import RawServer, endpoint, failed, fetched, response

from proxy.tokens.clock import SystemClock
from proxy.tokens.command import REST, TIMEOUT, SecretCommand
from proxy.tokens.credentials import CredentialError, fingerprint

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
OK = response(200, {"token_type": "Bearer", "access_token": "t", "expires_in": 3600})
WRONG = response(401, {"error": "invalid_client", "error_description": "The client secret supplied is invalid."})


def python(program, *arguments):
    """Return a command that runs *program*."""
    return (sys.executable, "-c", program, *arguments)


def with_command(url, *command, **options):
    """Return our side with such a secret."""
    return endpoint(url, client_secret=None, client_secret_command=command, **options)


def sent(request):
    """Return the secret of a token request."""
    return parse_qs(request.body.decode())["client_secret"][0]


def counting(path, then="print('hush-' + str(n))"):
    """Return a program that counts its runs in a file."""
    return python(
        "import pathlib, sys; p = pathlib.Path(sys.argv[1]);"
        f"n = int(p.read_text()) + 1 if p.exists() else 1; p.write_text(str(n)); {then}",
        str(path),
    )


@every_loop
async def test_what_it_prints_is_the_secret():
    """Its arguments are its own: no shell reads them."""
    side = SecretCommand(python("import sys; print(sys.argv[1])", "a $HOME `b` 'c'"), SystemClock())
    assert await side.read() == ("a $HOME `b` 'c'",)


async def test_each_line_is_a_secret():
    """As in a file: the second is tried when the first is refused."""

    async def idp(request, writer):
        writer.write(OK if sent(request) == "old" else WRONG)

    async with RawServer(idp) as server:
        side = with_command(server.url, *python("print('new'); print('old')"))
        result = await fetched(side)
    assert (result.answer.status, result.credential, result.refused) == (200, "2", ("1",))


async def test_it_is_run_again_after_a_minute(tmp_path):
    """Retries in an outage do not run a password manager each second; a refresh an hour later does."""
    clock = HandClock()
    async with RawServer(response(503, {})) as server:
        side = with_command(server.url, *counting(tmp_path / "runs"), clock=clock)
        for _ in range(3):
            await fetched(side)
        await clock.advance(REST - 1)
        await fetched(side)
        assert (tmp_path / "runs").read_text() == "1"
        await clock.advance(1)
        await fetched(side)
    assert [sent(request) for request in server.requests] == ["hush-1"] * 4 + ["hush-2"]


async def test_it_is_run_again_after_a_refusal(tmp_path):
    """The secret was rotated: the next fetch takes what the program says now."""

    async def idp(request, writer):
        writer.write(OK if sent(request) == "hush-2" else WRONG)

    async with RawServer(idp) as server:
        side = with_command(server.url, *counting(tmp_path / "runs"))
        assert [(await fetched(side)).answer.status for _ in range(3)] == [401, 200, 200]
    assert (tmp_path / "runs").read_text() == "2"


@pytest.mark.parametrize(
    ("command", "outcome", "said"),
    [
        (("/nowhere/op", "read"), "refused", "cannot be run: No such file or directory"),
        ((str(Path(__file__).parent),), "refused", "cannot be run: Permission denied"),
        (python("print('hush'); raise SystemExit(3)"), "failed", "ended with status 3"),
        (python("import os; print('hush'); os.kill(os.getpid(), 9)"), "failed", "was ended by signal 9"),
        (python("import sys; print('hush', file=sys.stderr)"), "refused", "is empty"),
        (python("import sys; sys.stdout.buffer.write(b'hush\\xff')"), "refused", "is not UTF-8 text"),
        (python("while True: print('hush' * 1000)"), "refused", "prints more than 64 KiB"),
    ],
)
async def test_a_program_that_gives_none(command, outcome, said, capfd):
    """Each way has its words and its remedy; nothing of what it printed is in them, or on our standard error."""
    failure = await failed(with_command("http://127.0.0.1:1/", *command))
    assert failure.outcome == outcome
    assert failure.message.startswith("oauth.client_secret_command ")
    assert said in failure.message
    assert failure.remedy
    assert "hush" not in repr(failure)
    assert capfd.readouterr() == ("", "")


async def test_a_program_that_failed_is_run_again():
    """With the next try, however soon: a vault that was sealed is open again."""
    clock = HandClock()
    command = SecretCommand(python("raise SystemExit(1)"), clock)
    for _ in range(2):
        with pytest.raises(CredentialError):
            await command.read()
    command._command = python("print('now')")
    assert await command.read() == ("now",)


def is_running(pid):
    """Tell whether there is such a process, and it is no zombie that nobody has waited for yet."""
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


WAITS = (
    "import os, subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "open(sys.argv[1] + '.new', 'w').write(f'{os.getpid()} {child.pid}'); os.rename(sys.argv[1] + '.new', sys.argv[1]);"
    "time.sleep(600)"
)


async def ended(path):
    """Wait until the program that wrote its ids to *path*, and its child, are gone."""
    pids = [int(pid) for pid in path.read_text().split()]
    await settled(lambda: not any(map(is_running, pids)))


@linux
@every_loop
async def test_a_program_that_hangs_is_ended(tmp_path_factory):
    """With all that it started, when its time is over; the failure passes, and says what it may wait for."""
    path = tmp_path_factory.mktemp("command") / "pids"
    side = with_command("http://127.0.0.1:1/", *python(WAITS, str(path)), timeouts={"command_timeout": 0.7})
    failure = await failed(side)
    assert failure.outcome == "failed"
    assert "did not end within" in failure.message
    assert "login" in failure.remedy
    await ended(path)


@linux
@every_loop
async def test_a_fetch_that_is_cancelled_ends_the_program(tmp_path_factory):
    """When the proxy stops, nothing that it started is left."""
    path = tmp_path_factory.mktemp("command") / "pids"
    fetching = asyncio.create_task(with_command("http://127.0.0.1:1/", *python(WAITS, str(path))).fetch())
    await settled(path.exists)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await ended(path)


async def test_it_cannot_ask_a_person():
    """Its standard input is empty, and it has no terminal to ask at: Ctrl-C for the proxy is not for it either."""
    program = "import os, sys; print(repr(sys.stdin.read()), os.getsid(0) == os.getpid())"
    command = SecretCommand(python(program), HandClock())
    assert await command.read() == ("'' True",)


def test_the_numbers_of_the_documentation():
    """Ten seconds to run, a minute to be used again; no file is watched for it."""
    assert (TIMEOUT, REST) == (10.0, 60.0)
    settings = oauth_settings(client_secret=None, client_secret_command=("tell-nobody",))
    assert fingerprint(settings) is None
    assert "tell-nobody" not in f"{settings!r} {SecretCommand(('tell-nobody',), HandClock())!r}"
