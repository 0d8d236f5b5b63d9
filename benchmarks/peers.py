"""
Starts the upstream and the contenders: okta-proxy, Envoy, nginx.

The upstream is an nginx that also gives the token, on http and on https. All contenders have the same upstream and add
the same token: okta-proxy and Envoy (credential injector with the OAuth2 source) ask for it, nginx has it in its
configuration, which makes it the floor: what forwarding costs without any care for a token. `ready` believes none of
it before a request has come through with the token.
"""

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import trustme

from benchmarks import configurations
from benchmarks.configurations import LOOPBACK, TOKEN, Origin
from benchmarks.errors import MeasurementError
from benchmarks.names import ENVOY, NGINX, OURS
from benchmarks.servers import Server, Servers
from benchmarks.tools import ROOT, Cores, Tools

BIG = 64 * 1024 * 1024
"""Bytes of the download."""
STARTING = 20.0
"""Seconds that a program has until its first right answer."""
AGAIN = 0.002
"""Seconds between two tries to get it."""


class Peers:
    """Starts the upstream when it is made, and contenders when asked; *servers* ends them. *tree* has our proxy."""

    def __init__(self, tools: Tools, cores: Cores, servers: Servers, tree: Path = ROOT) -> None:
        self.servers = servers
        self._tools = tools
        self._cores = cores
        self._tree = tree
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", LOOPBACK)
        certificate = servers.path("upstream.pem")
        issued.private_key_and_cert_chain_pem.write_to_path(certificate)
        self.origin = Origin(servers.free_port(), servers.free_port(), servers.path("authority.pem"))
        authority.cert_pem.write_to_path(self.origin.authority)
        self._start_upstream(configurations.upstream_nginx(servers.folder, self.origin, certificate))

    def all(self, *, tls: bool = False) -> list[Server]:
        """Start okta-proxy, Envoy and nginx, and return them once each has been seen to forward with the token."""
        started = [self.okta_proxy(tls=tls), self.envoy(tls=tls), self.nginx(tls=tls)]
        for contender in started:
            ready(contender, tls=tls)
        return started

    def okta_proxy(
        self,
        *,
        tls: bool = False,
        level: str = "warning",
        name: str = OURS,
        program: tuple[str, ...] = ("-m", "proxy"),
        pipe: bool = False,
        emulator: Server | None = None,
        dpop: bool = False,
    ) -> Server:
        """Start ours with all but *level* at its default, and with tokens of *emulator*; Python runs *program*."""
        port, base_url = self.servers.free_port(), None if emulator is None else emulator.url
        settings = configurations.okta_proxy_settings(
            self.origin, port, tls=tls, level=level, emulator=base_url, dpop=dpop
        )
        path = self.servers.write("okta-proxy.yaml", json.dumps(settings))
        return self.python(name, *program, "run", "-c", str(path), port=port, pipe=pipe)

    def emulator(self) -> Server:
        """Start an authorization server that knows DPoP, beside the upstream, and return it once it answers."""
        port = self.servers.free_port()
        arguments = ("-m", "benchmarks.emulator", str(port))
        server = self.python("emulator", *arguments, port=port, core=self._cores.load)
        wait_for(server, "/.well-known/openid-configuration", lambda body: "token_endpoint" in body)
        return server

    def python(self, name: str, *arguments: str, port: int, pipe: bool = False, core: int | None = None) -> Server:
        """Start Python, where the contenders run if no *core* is named; the proxy that it imports is the tree's."""
        environ = {"PYTHONPATH": os.pathsep.join([str(self._tree), str(ROOT)])}
        command = [sys.executable, *arguments]
        core = self._cores.proxy if core is None else core
        return self.servers.start(name, command, core=core, port=port, environ=environ, pipe=pipe)

    def envoy(self, *, tls: bool = False) -> Server:
        """Start Envoy with one worker."""
        port = self.servers.free_port()
        settings = configurations.envoy_settings(self.origin, port, tls=tls)
        path = self.servers.write("envoy.json", json.dumps(settings))
        command = [self._tools.envoy, "-c", str(path), "--concurrency", "1", "--disable-hot-restart"]
        return self.servers.start(ENVOY, [*command, "--log-level", "error"], core=self._cores.proxy, port=port)

    def nginx(self, *, tls: bool = False) -> Server:
        """Start nginx with the token as a static header."""
        port = self.servers.free_port()
        text = configurations.forwarding_nginx(self.servers.folder, self.origin, port, tls=tls)
        return self._nginx(NGINX, text, self._cores.proxy, port)

    def _start_upstream(self, text: str) -> None:
        documents = self.servers.folder / "www"
        documents.mkdir()
        documents.joinpath("big").write_bytes(bytes(BIG))
        upstream = self._nginx("upstream", text, self._cores.load, self.origin.http_port)
        wait_for(upstream, "/json", lambda body: body == configurations.ANSWER)

    def _nginx(self, name: str, text: str, core: int, port: int) -> Server:
        path = self.servers.write("nginx.conf", text)
        command = [self._tools.nginx, "-p", str(self.servers.folder), "-e", "stderr", "-c", str(path)]
        return self.servers.start(name, command, core=core, port=port)


def ready(contender: Server, *, tls: bool = False) -> str:
    """
    Wait until *contender* forwards with the token and to the right listener of the upstream; return the TLS it uses.

    The request brings a credential of its own, which must not arrive.
    """

    def is_right(body: str) -> bool:
        authorization, _, transport = body.partition("|")
        return authorization == f"Bearer {TOKEN}" and transport.startswith("TLS") == tls

    return wait_for(contender, "/whoami", is_right).partition("|")[2].strip()


def ready_with(contender: Server, scheme: str) -> None:
    """Wait until *contender* forwards with a token of this *scheme*, and with a proof if and only if it is DPoP."""

    def is_right(body: str) -> bool:
        authorization, _, proof = body.partition("|")
        has_proof = len(proof.split(".")) == 3
        return authorization.startswith(f"{scheme} ey") and has_proof == (scheme == "DPoP")

    wait_for(contender, "/proof", is_right)


def wait_for(server: Server, path: str, is_right: Callable[[str], bool]) -> str:
    """Ask for *path* until the answer is a 200 that *is_right*, and return its body. May raise a `MeasurementError`."""
    end = time.monotonic() + STARTING
    answer = "nothing"
    while time.monotonic() < end:
        server.check()
        try:
            status, body = ask(server, path)
        except (OSError, http.client.HTTPException) as error:
            answer = repr(error)
        else:
            if status == 200 and is_right(body):
                return body
            answer = f"{status} {body[:200]}"
        time.sleep(AGAIN)
    raise MeasurementError(f"{server.name} does not forward {path} as it should, the last answer was: {answer}")


def ask(server: Server, path: str) -> tuple[int, str]:
    """Send one GET with a made-up credential and return the status and the body."""
    connection = http.client.HTTPConnection(LOOPBACK, server.port, timeout=STARTING)
    try:
        connection.request("GET", path, headers={"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
