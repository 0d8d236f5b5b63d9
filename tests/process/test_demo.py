"""The demo: no account, no network, no file."""

import json
import os
import pty
import re
import signal
import socket
import sys

import pytest
from command import command, environment, started, tool

NONE = {name: value for name, value in environment("", "").items() if not name.startswith("OKTA_PROXY_")}


async def test_the_line_it_prints_works(tmp_path):
    """The curl line of the first screen is answered by the echo API with the token's claims."""
    async with command("demo", "--port", "0", environ=NONE, cwd=tmp_path) as demo:
        screen = await demo.until("Stop: Ctrl-C")
        line = next(line for line in screen.splitlines() if "Try:" in line)
        curl, url = line.split("Try:")[1].split()
        assert curl == "curl"
        code, output = await tool("curl", "-sS", url)
        assert code == 0
        assert json.loads(output)["token"]["scp"] == ["api.read"]
        assert "ready, for 60 min" in screen
        demo.send(signal.SIGTERM)
        assert await demo.ended() == 0


async def test_a_busy_port_is_no_obstacle(tmp_path):
    """With 8080 taken the demo picks a free port and says which."""
    try:
        taken = socket.create_server(("127.0.0.1", 8080))
    except OSError:
        taken = None  # somebody else holds it, which serves as well
    try:
        async with command("demo", environ=NONE, cwd=tmp_path) as demo:
            assert not demo.url.endswith(":8080")
    finally:
        if taken is not None:
            taken.close()


async def test_a_chosen_port_that_is_busy_is_an_error(tmp_path):
    """A port that the user named is not silently exchanged for another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await started("demo", "--port", str(taken.getsockname()[1]), environ=NONE, cwd=tmp_path)
        assert await process.ended() == 1
    assert "is in use" in "".join(process.output)


def run_on_a_terminal(*arguments: str, environ: dict[str, str]) -> tuple[str, int]:
    """Run the command on a terminal until its first screen is there, press Ctrl-C, return the screen and exit code."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "proxy", *arguments], environ)  # noqa: S606 - our own command
    screen = b""
    while b"Stop: Ctrl-C" not in screen:
        screen += os.read(master, 4096)
    os.write(master, b"\x03")
    try:
        while data := os.read(master, 4096):
            screen += data
    except OSError:
        pass  # Linux ends a terminal with EIO
    _, status = os.waitpid(pid, 0)
    os.close(master)
    return screen.decode(), os.waitstatus_to_exitcode(status)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
def test_the_first_screen_of_a_terminal():
    """On a terminal `run` shows where it listens, where it forwards, the token's state and the admin page."""
    environ = environment("https://api.invalid", "http://127.0.0.1:1/token", COLUMNS="200")
    screen, code = run_on_a_terminal("run", environ=environ)
    text = re.sub(r"\x1b\[[0-9;]*m", "", screen)
    assert code == 0
    assert re.search(r"listening on +http://localhost:\d+", text)
    assert re.search(r"forwarding to +https://api\.invalid", text)
    assert re.search(r"token +none\. The token endpoint was not reached: it refused the connection\.", text)
    assert re.search(r"admin page +http://localhost:\d+", text)
