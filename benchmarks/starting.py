"""How long it takes from the start of the process to its first answer, and what it has loaded until then."""

import contextlib
import json
import socket
import time
from importlib import metadata

from benchmarks.bench import Bench
from benchmarks.configurations import LOOPBACK
from benchmarks.errors import MeasurementError
from benchmarks.load import request
from benchmarks.names import BARE, ENVOY, OURS
from benchmarks.peers import AGAIN, STARTING, Peers, ready
from benchmarks.servers import Server
from benchmarks.turns import Rounds, Sample, by_turns

LISTING = """
import atexit, json, sys
path = sys.argv.pop(1)
atexit.register(lambda: open(path, "w").write(json.dumps(list(sys.modules))))
from proxy.cli import main
sys.exit(main())
"""
"""Runs the proxy, and at its end writes down the modules that it loaded, in their order."""

BARE_PROGRAM = """
import sys
port, *modules = sys.argv[1:]
for name in modules:
    try:
        __import__(name)
    except ImportError:
        pass  # not a module of its own: its package has made it
import asyncio

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(port))
    await server.serve_forever()

factory = sys.modules["uvloop"].new_event_loop if "uvloop" in sys.modules else None
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""
"""Imports the same modules but ours, opens one port and answers one request: what no proxy of these packages beats."""


def starts(bench: Bench) -> Rounds:
    """Measure the start of ours until its first forwarded answer, of the bare process and of Envoy until theirs."""
    with bench.peers() as peers:
        modules = loaded_modules(peers)
        counts = {"packages": float(len(foreign_packages(modules))), "modules": float(len(modules))}
        starters = {OURS: peers.okta_proxy, BARE: lambda: bare(peers, modules), ENVOY: peers.envoy}

        def one(name: str) -> Sample:
            start = time.perf_counter()
            server = starters[name]()
            first_answer(server)
            seconds = time.perf_counter() - start
            server.end()
            return {"seconds": seconds, **(counts if name == OURS else {})}

        for name in starters:
            # Compiles what is not compiled yet, and brings the files into memory.
            one(name)
        # A start is short, and scatters more than a second of load.
        return by_turns(list(starters), bench.rounds + 2, str, one)


def bare(peers: Peers, modules: list[str]) -> Server:
    """Start the process that does no more than import *modules* and answer."""
    port = peers.servers.free_port()
    foreign = [name for name in modules if name.partition(".")[0] not in {"proxy", "__main__"}]
    return peers.python(BARE, "-c", BARE_PROGRAM, str(port), *foreign, port=port)


def loaded_modules(peers: Peers) -> list[str]:
    """Return what a proxy that has answered a request has loaded, in this order."""
    path = peers.servers.path("modules.json")
    listing = peers.servers.write("listing.py", LISTING)
    server = peers.okta_proxy(program=(str(listing), str(path)))
    ready(server)
    server.end()
    modules = json.loads(path.read_text())
    if "proxy.app" not in modules:
        raise MeasurementError("the proxy's modules could not be listed")
    return [str(name) for name in modules]


def foreign_packages(modules: list[str]) -> set[str]:
    """Return the installed packages, by their names on PyPI, that *modules* are of; ours is none of them."""
    known = metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in modules}
    return {package for top in tops - {"proxy", "benchmarks"} for package in known.get(top, [])}


def first_answer(server: Server) -> None:
    """Ask until the answer is a 200."""
    end = time.monotonic() + STARTING
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, server.port), 5) as connection:
            request(connection, server, "/json")
            if connection.recv(1024).startswith(b"HTTP/1.1 200 "):
                return
        server.check()
        time.sleep(AGAIN)
    raise MeasurementError(f"{server.name} did not answer: {server.last_words()}")
