"""oidc-provider, which knows nothing of us, gives tokens to each kind of client, and an API takes them."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit import RawUpstream, fetch, get, post, running
from oidc import KINDS, RESOURCE, SCOPE, SECRET, Providers, providers
from private_keys import jwk, make, pem
from verifying import Api, keys_of

from proxy.app import App
from proxy.config import load

SECRET_CLIENTS = {
    "client_secret_post": {},
    "client_secret_basic": {},
    "client_secret_jwt": {},
    "client_secret_jwt, HS512": {"assertion": {"algorithm": "HS512"}},
}
KEY_CLIENTS = {
    "RS256": ("rsa", {}),
    "RS512": ("rsa", {"assertion": {"algorithm": "RS512"}}),
    "PS256": ("rsa", {"assertion": {"algorithm": "PS256"}}),
    "ES256": ("p256", {}),
    "ES384": ("p384", {}),
    "ES512": ("p521", {}),
    "ES256 for the issuer": ("p256", {"assertion": {"audience": "issuer"}}),
}
CALLS = 6

each_server = pytest.mark.parametrize(
    ("server", "dpop"), [("plain", False), ("nonce", False), ("plain", True), ("nonce", True)]
)


@pytest.fixture(scope="module")
def idp(tmp_path_factory):
    """Run oidc-provider for the tests of this module."""
    with providers(tmp_path_factory.mktemp("provider")) as started:
        yield started


@contextlib.asynccontextmanager
async def proxied(idp: Providers, server: str, folder: Path, **oauth: Any) -> AsyncIterator[tuple[App, Api]]:
    """Run the proxy between *server* and an API, with settings that are loaded as the program does it."""
    issuer = getattr(idp, server)
    api = Api(issuer, await keys_of(issuer, idp.authority))
    async with RawUpstream(api) as upstream:
        document = {
            "listen": {"port": 0},
            "upstream": {"url": upstream.url},
            "oauth": {
                "issuer": issuer,
                "scopes": [SCOPE],
                "extra_params": {"resource": RESOURCE},
                "ca_file": str(idp.authority),
                **oauth,
            },
            "admin": {"enabled": False},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(document))
        loaded = load(str(folder / "config.yaml"), {})
        assert loaded.warnings == []
        async with running(loaded.settings) as app:
            yield app, api


def secret_client(name: str, folder: Path) -> dict[str, Any]:
    """Return the settings of a client with a secret."""
    method = name.partition(",")[0]
    path = written(folder / "secret", SECRET.encode())
    return {"client_id": method, "auth_method": method, "client_secret_file": path, **SECRET_CLIENTS[name]}


def key_client(name: str, folder: Path) -> dict[str, Any]:
    """Return the settings of a client with a key in PEM form."""
    kid, more = KEY_CLIENTS[name]
    path = written(folder / "key.pem", pem(make(KINDS[kid])))
    return {"client_id": "private_key_jwt", "private_key_file": path, "private_key_id": kid, **more}


def written(path: Path, data: bytes) -> str:
    """Write a file that only its owner can read."""
    path.touch(0o600)
    path.write_bytes(data)
    return str(path)


async def calls(app: App, api: Api, *, dpop: bool) -> None:
    """Make some calls, with another nonce at the API in the middle: none is lost, and tokens are as they should be."""
    for number in range(CALLS):
        if number == CALLS // 2:
            api.nonce = "second"
        body = b"body %d" % number if number % 2 else b""
        answer = await fetch(app, post(body, path=b"/calls%2F") if body else get(b"/a%20b?q=1"))
        assert (answer.status, answer.body) == (200, body), api.refused
    assert [claims.get("cnf") is not None for claims in api.tokens] == [dpop] * CALLS
    assert api.refused == ["use_dpop_nonce"] * (2 if dpop else 0)


@each_server
@pytest.mark.parametrize("client", SECRET_CLIENTS)
async def test_clients_with_a_secret(idp, server, dpop, client, tmp_path):
    """The secret is sent, with characters that need care, or signs; the tokens are bound if wanted."""
    async with proxied(idp, server, tmp_path, **secret_client(client, tmp_path), dpop=dpop) as (app, api):
        await calls(app, api, dpop=dpop)


@each_server
@pytest.mark.parametrize("client", KEY_CLIENTS)
async def test_clients_with_a_key(idp, server, dpop, client, tmp_path):
    """Each algorithm signs assertions that are taken, by the token endpoint's address and by the issuer."""
    async with proxied(idp, server, tmp_path, **key_client(client, tmp_path), dpop=dpop) as (app, api):
        await calls(app, api, dpop=dpop)


@pytest.mark.parametrize("dpop", [False, True])
async def test_a_key_that_is_not_registered_yet(idp, dpop, tmp_path):
    """The first key of a set is refused, and the second one takes its place, with a nonce of its own if needed."""
    keys = [jwk(make("P-256", 7), kid="new"), jwk(make("P-256"), kid="p256")]
    path = written(tmp_path / "keys.json", json.dumps({"keys": keys}).encode())
    client = {"client_id": "private_key_jwt", "private_key_file": path, "dpop": dpop}
    async with proxied(idp, "nonce", tmp_path, **client) as (app, api):
        await calls(app, api, dpop=dpop)
        assert app.tokens.credential == "p256"


async def test_a_key_that_takes_over(idp, tmp_path):
    """A file that is replaced while the proxy runs signs the next token request."""
    first, second = key_client("RS256", tmp_path), jwk(make("P-384"), kid="p384")
    path = written(tmp_path / "key.json", json.dumps(jwk(make("RSA"), kid="rsa")).encode())
    client = {"client_id": first["client_id"], "private_key_file": path}
    async with proxied(idp, "plain", tmp_path, **client) as (app, api):
        assert (await fetch(app, get())).status == 200
        assert app.tokens.credential == "rsa"
        written(Path(path), json.dumps(second).encode())
        await app.tokens.refresh()
        assert (await fetch(app, get())).status == 200
        assert app.tokens.credential == "p384"
        assert len({claims["jti"] for claims in api.tokens}) == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"client_id": "bound"}, "oauth.dpop"),
        ({"private_key_id": "p384"}, "the key"),
        ({"client_id": "nobody"}, "oauth.client_id"),
        ({"extra_params": {"resource": "not a URI"}}, "oauth.extra_params"),
    ],
    ids=["no DPoP", "another kid", "unknown client", "unknown resource"],
)
async def test_what_is_refused_has_a_remedy(idp, changed, said, tmp_path):
    """What it says of a mistake becomes our 502, which names the key to change."""
    async with proxied(idp, "plain", tmp_path, **(key_client("ES256", tmp_path) | changed)) as (app, _):
        answer = await fetch(app, get())
        assert (answer.status, answer.code) == (502, "token_refused")
        assert said in answer.problem["detail"]
