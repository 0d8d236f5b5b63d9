"""oidc-provider, as a process of its own: where it stands, how it is started, and who is registered there."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from pages import ROOT
from private_keys import make, public_jwk

REQUIRED = "OKTA_PROXY_TESTS_REQUIRE"
"""The environment variable that names programs (with commas) without which tests fail instead of being skipped."""
NAME = "oidc-provider"
INSTALLED = ROOT / ".interop"
SERVER = Path(__file__).with_name("server.mjs")
PATIENCE = 20
"""Seconds in which it must have ended."""

SCOPE, RESOURCE = "api.read", "https://api.example.com"
SECRET = "a-client-secret-of-40-characters+:% and ~"
KINDS = {"rsa": "RSA", "p256": "P-256", "p384": "P-384", "p521": "P-521"}
"""The registered keys by their `kid`."""


class Providers(NamedTuple):
    """Two issuers with the same clients: http without nonces, and https with proofs that need one."""

    plain: str
    nonce: str
    authority: Path
    """The file with the root of `nonce`'s certificate."""


def needed() -> str:
    """Return Node's path; without it and what `make interop` installs the test is skipped, or fails if required."""
    node = shutil.which("node")
    lacking = "Node is not installed" if node is None else "`make interop` installs it"
    if node is not None and (INSTALLED / "node_modules" / NAME).is_dir():
        return node
    reason = f"{NAME} is not there: {lacking}"
    if NAME in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(f"{reason}, and {REQUIRED} asks for it")
    pytest.skip(reason)


@contextlib.contextmanager
def providers(folder: Path) -> Iterator[Providers]:
    """Run it until the end of the block; *folder* is for its files."""
    node, authority = needed(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    settings = {
        "clients": clients(),
        "scope": SCOPE,
        "resource": RESOURCE,
        "key": issued.private_key_pem.bytes().decode(),
        "certificate": issued.cert_chain_pems[0].bytes().decode(),
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    command = [node, str(SERVER), str(INSTALLED), str(path)]
    # It says that it is not set up for production, and each refused request on a line.
    pipe, log = subprocess.PIPE, folder / "provider.log"
    with log.open("wb") as errors, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Providers(**json.loads(line), authority=folder / "authority.pem")
        # Its standard input ends, and so does it.
        process.communicate(timeout=PATIENCE)


def clients() -> list[Mapping[str, Any]]:
    """Return the registrations: one for each way to authenticate, and one that may have bound tokens only."""
    keys = {"keys": [public_jwk(make(kind), kid=kid) for kid, kind in KINDS.items()]}
    jwks = {"token_endpoint_auth_method": "private_key_jwt", "jwks": keys}
    methods = ("client_secret_post", "client_secret_basic", "client_secret_jwt")
    with_secret = {name: {"token_endpoint_auth_method": name, "client_secret": SECRET} for name in methods}
    given = {**with_secret, "private_key_jwt": jwks, "bound": {**jwks, "dpop_bound_access_tokens": True}}
    common = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    return [{"client_id": name, **common, **more} for name, more in given.items()]
