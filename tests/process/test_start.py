"""How the process starts, or says in one line why it does not."""

import asyncio
import socket
import sys
import time

import pytest
from command import command, environment, output_of
from kit import GET, OK, RawUpstream, always, raw_client

NOWHERE = "http://127.0.0.1:1"


async def test_a_port_in_use_is_one_line_and_exit_1():
    """A taken port ends the start within 2 s of the process's own time, with the keys to change and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = time.monotonic()
        code, output = await output_of("run", "--port", str(port), environ=environment(NOWHERE, NOWHERE + "/token"))
        assert time.monotonic() - before < 10, "a start that fails must not hang"
    assert code == 1
    assert output.count("\n") == 1
    assert f"port {port} is in use" in output
    assert "listen.port" in output


async def test_a_port_in_use_on_the_other_family_is_fatal_too():
    """A stranger on [::1] must not get what callers of localhost send us."""
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with taken:
        port = taken.getsockname()[1]
        code, output = await output_of("run", "--port", str(port), environ=environment(NOWHERE, NOWHERE + "/token"))
    assert (code, output.count("\n")) == (1, 1)


async def test_the_admin_port_in_use_names_its_key():
    """A taken admin port is told apart from the listener's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environ = environment(NOWHERE, NOWHERE + "/token", OKTA_PROXY_ADMIN__PORT=port)
        code, output = await output_of("run", environ=environ)
    assert code == 1
    assert "admin.port" in output


async def test_nothing_configured_says_how_to_start(tmp_path):
    """Without any configuration the user learns of the demo and the example, exit 2."""
    environ = {name: value for name, value in environment("", "").items() if not name.startswith("OKTA_PROXY_")}
    code, output = await output_of("run", environ=environ, cwd=tmp_path)
    assert code == 2
    assert "okta-proxy demo" in output
    assert "config.example.yaml" in output


async def test_all_problems_in_one_run_and_no_traceback(tmp_path):
    """Each problem of a configuration is a line of its own; none shows a secret."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "upstream: {url: 'ftp://x', uurl: 1}\noauth: {client_secret: hunter2hunter2, issuer: 'http://a.example'}\n"
    )
    environ = {name: value for name, value in environment("", "").items() if not name.startswith("OKTA_PROXY_")}
    code, output = await output_of("run", "-c", str(file), environ=environ)
    assert code == 2
    for key in ("upstream.url", "upstream.uurl", "oauth.issuer", "oauth.client_id"):
        assert f"  {key}: " in output
    assert "hunter2" not in output
    assert "Traceback" not in output


async def test_both_loopback_families_listen():
    """`localhost` is 127.0.0.1 and ::1 with the same number."""
    async with command("run", environ=environment(NOWHERE, NOWHERE + "/token")) as proxy:
        port = int(proxy.url.rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port)).close()
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            pytest.skip(f"this machine has no IPv6 loopback: {error}")
        socket.create_connection(("::1", port)).close()


@pytest.mark.parametrize("arguments", [("--frobnicate",), ("frobnicate",), (), ("run", "--port", "99999")])
async def test_wrong_usage_exits_2(arguments: tuple[str, ...]):
    """What the command line does not know is usage, not a crash."""
    code, output = await output_of(*arguments, environ=environment(NOWHERE, NOWHERE + "/token"))
    assert code == 2
    assert "usage: okta-proxy" in output


async def test_closed_standard_files_do_no_harm():
    """Started with its standard files closed, it serves; no connection gets their numbers."""
    async with RawUpstream(always(OK)) as upstream:
        environ = environment(upstream.url, NOWHERE + "/token", OKTA_PROXY_INJECT__CLIENT_AUTHORIZATION="keep")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        closed = "import os,sys; [os.close(n) for n in (0, 1, 2)]; os.execv(sys.executable, sys.argv[1:])"
        arguments = [sys.executable, "-c", closed, sys.executable, "-m", "proxy", "run", "--port", str(port)]
        process = await asyncio.create_subprocess_exec(*arguments, env=environ)
        try:
            url = f"http://127.0.0.1:{port}"
            await asyncio.wait_for(reachable(port), 20)
            async with raw_client(url) as client:
                await client.send(GET.replace(b"\r\n\r\n", b"\r\nAuthorization: own\r\n\r\n"))
                assert (await client.response())[0] == 200
            process.terminate()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def reachable(port: int) -> None:
    """Return when somebody listens on *port*: without output there is no other sign."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)  # another process, without output: asking again is all there is
            continue
        writer.close()
        return


async def test_an_address_for_all_is_shown_as_it_was_configured():
    """Who listens on 0.0.0.0 reads that, and the line to try has an address that works."""
    environ = environment(
        NOWHERE, NOWHERE + "/token", OKTA_PROXY_LISTEN__HOST="0.0.0.0", OKTA_PROXY_LISTEN__ALLOW_REMOTE="true"
    )
    async with command("run", environ=environ) as proxy:
        assert proxy.url.startswith("http://0.0.0.0:")


@pytest.mark.parametrize("life", ["0", "-5", "nan", "1", "x"])
async def test_a_token_life_that_cannot_be_is_usage(life: str):
    """The demo's tokens live for 2 s at least; anything else is told, without a traceback."""
    code, output = await output_of("demo", "--token-life", life, environ=environment(NOWHERE, NOWHERE + "/token"))
    assert code == 2
    assert "Traceback" not in output
