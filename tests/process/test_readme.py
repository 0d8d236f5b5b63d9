"""
The terminal sessions of the README and of docs/okta.md, run as they stand: their commands, and what they print.

What differs from run to run (ports, ids, dates, versions) is compared by its form, all the rest to the letter.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from command import command
from pages import README, ROOT, Block, Step, blocks, steps

from proxy.emulator import AuthorizationServer, EchoApi

OKTA = "dev-123456.okta.com"
API = "api.example.com"
IDENTITY = {"OKTA_CLIENT_ID": "0oa1example", "OKTA_CLIENT_SECRET": "example-secret"}

VARYING = (
    (r"okta-proxy \d+\.\d+\.\d+\S*", "okta-proxy VERSION"),
    (r"curl/[\d.]+", "curl/VERSION"),
    (r'"1\.1 [0-9a-f]{16}"', '"1.1 PSEUDONYM"'),
    (r"Bearer sha256:[0-9a-f]{16}", "Bearer sha256:DIGEST"),
    (r'"jti": "AT\.[\w-]+"', '"jti": "AT.ID"'),
    (r'"(iat|exp|expires_in)": \d+', r'"\1": SECONDS'),
    (r"expires in \d+ s", "expires in SECONDS s"),
    (r"x-okta-request-id [\w-]+", "x-okta-request-id ID"),
    (r"is at [\d., ]+", "is at ADDRESSES "),
    (r"TLSv?1\.\d", "TLSv1.x"),
    (r"\d{4}-\d{2}-\d{2}", "DATE"),
    (r"\d+ days", "N days"),
)

RESOLVER = """
# Stands in for DNS in each Python process that has this folder on its path: two names are servers of the test, and
# nobody else is ever asked. The ports are rewritten because 443 is not ours to open.
import os, socket

ports = dict(pair.split("=") for pair in os.environ["TEST_NAMES"].split())
system = socket.getaddrinfo

def getaddrinfo(host, port, *arguments, **options):
    name = host.decode() if isinstance(host, bytes) else host
    if name in ports:
        return system("127.0.0.1", int(ports[name]) if port else None, *arguments, **options)
    if name in ("127.0.0.1", "::1", "localhost", None):
        return system(host, port, *arguments, **options)
    raise socket.gaierror(socket.EAI_NONAME, "not a name of this test")

socket.getaddrinfo = getaddrinfo
"""


def normal(text: str) -> str:
    """Return what a command printed without what varies; line breaks are blanks, for pages wrap long lines."""
    for pattern, replacement in VARYING:
        text = re.sub(pattern, replacement, text)
    return " ".join(text.split())


def sessions(page: Path) -> list[tuple[Block, list[Step]]]:
    """Return the terminal sessions of *page*."""
    return [(block, steps(block)) for block in blocks(page, "console")]


async def run(line: str, environ: dict[str, str], folder: Path) -> str:
    """Run a command line in a shell, with the `okta-proxy` that is tested, and return all that it prints."""
    process = await asyncio.create_subprocess_shell(
        line.replace("okta-proxy ", f"{sys.executable} -m proxy "),
        cwd=folder,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what would change what the commands do."""
    unwanted = re.compile(r"(OKTA_|OKTA_PROXY_|(https?|all|no)_proxy$)", re.IGNORECASE)
    # curl's progress meter belongs to terminals with redirected output.
    return {name: value for name, value in os.environ.items() if not unwanted.match(name)} | {"NO_COLOR": "1"}


def authorities(screen: str) -> list[str]:
    """Return each host and port of the demo's first screen, in order, once."""
    return list(dict.fromkeys(re.findall(r"http://([\w.]+:\d+)", screen)))


async def test_the_demo_session(tmp_path):
    """The demo shows what the README shows, and each command of its second terminal prints what stands there."""
    (_, [start]), (_, calls) = sessions(README)[:2]
    assert start.command == "okta-proxy demo"
    async with command("demo", "--port", "0", environ=plain_environment(), cwd=tmp_path) as demo:
        lines = (await demo.until("Stop: Ctrl-C")).splitlines()
        # Log lines come whenever they come.
        screen = "\n".join(line for line in lines if not line.startswith("{"))
        actual = dict(zip(authorities(start.output), authorities(screen), strict=True))

        def translated(text: str, names: dict[str, str]) -> str:
            return re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], text)

        shown = {there: here for here, there in actual.items()}
        assert normal(translated(screen, shown)) == normal(start.output)
        for call in calls:
            line = translated(call.command, actual).replace("curl ", "curl -sS ")
            output = await run(line, plain_environment(), tmp_path)
            assert normal(translated(output, shown)) == normal(call.output), call.command
        for line in client_lines():
            output = await run(translated(line, actual).replace("curl ", "curl -sS "), plain_environment(), tmp_path)
            assert "/items" in output, line
            assert "api.read" in output, line
        demo.send(signal.SIGINT)
        assert await demo.ended() == 0


def client_lines() -> list[str]:
    """Return the README's ways to call the proxy, those whose program is installed."""
    (block,) = [block for block in blocks(README, "sh") if "wget" in block.text]
    lines = [line.replace("python3 ", f"{sys.executable} ") for line in block.text.splitlines()]
    assert len(lines) == 3
    return [line for line in lines if shutil.which(line.split()[0])]


class Org(AuthorizationServer):
    """The emulated Okta under the name of a real one, so that its tokens say what a user's do."""

    base_url = f"https://{OKTA}"


@contextlib.asynccontextmanager
async def tls_front(port: int, certificate: trustme.LeafCert) -> AsyncIterator[int]:
    """Accept TLS on a port of its own, which is yielded, and pass it on to *port* as plain TCP."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    tasks = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, to_writer), pipe(to_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks)


@contextlib.asynccontextmanager
async def okta_world(folder: Path) -> AsyncIterator[tuple[Org, dict[str, str]]]:
    """
    Run the Okta org and the API of the pages' examples, under their names and with TLS.

    Yields the org and the environment in which commands reach them.
    """
    authority = trustme.CA(organization_name="Example CA")
    certificate = authority.issue_cert(OKTA, API)
    authority.cert_pem.write_to_path(folder / "roots.pem")
    (folder / "sitecustomize.py").write_text(RESOLVER)
    async with (
        Org(client_id=IDENTITY["OKTA_CLIENT_ID"], client_secret=IDENTITY["OKTA_CLIENT_SECRET"]) as org,
        EchoApi(org) as api,
        tls_front(port_of(org._listener.base_url), certificate) as org_port,
        tls_front(port_of(api.base_url), certificate) as api_port,
    ):
        yield (
            org,
            plain_environment()
            | IDENTITY
            | {
                "SSL_CERT_FILE": str(folder / "roots.pem"),
                "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
                "TEST_NAMES": f"{OKTA}={org_port} {API}={api_port}",
            },
        )


def port_of(url: str) -> int:
    """Return the port in *url*."""
    port = urlsplit(url).port
    assert port is not None
    return port


def the_configuration() -> str:
    """Return the README's configuration: its first YAML block."""
    return blocks(README, "yaml")[0].text


@pytest.mark.parametrize(
    ("block", "session"),
    [pytest.param(*found, id=found[0].where) for page in (README, ROOT / "docs/okta.md") for found in sessions(page)
     if found[1][0].command != "okta-proxy demo" and "localhost:8080" not in found[0].text],
)  # fmt: skip
async def test_the_okta_sessions(block: Block, session: list[Step], tmp_path: Path):
    """
    With the README's configuration, and an Okta org of that name, each command prints what the page shows.

    The word behind ```` ```console ```` says what is amiss in the org: `no-policy`, `dpop`, `wrong-secret`.
    """
    (tmp_path / "config.yaml").write_text(the_configuration())
    async with okta_world(tmp_path) as (org, environ):
        org.policy = block.note != "no-policy"
        org.dpop_required = block.note == "dpop"
        if block.note == "wrong-secret":
            org.accept("another-secret")
        for step in session:
            assert normal(await run(step.command, environ, tmp_path)) == normal(step.output), step.command
