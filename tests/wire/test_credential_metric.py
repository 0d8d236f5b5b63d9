"""Which secret or key works is on the admin listener, so that an administrator knows when the old one may go."""

import json

import aiohttp
import pytest
from kit import CLIENT_ID, running, settings
from signed import ec, public

from proxy.app import App
from proxy.emulator import AuthorizationServer, EchoApi

METRIC = "okta_proxy_token_credential_info"


async def told(app: App, client: aiohttp.ClientSession) -> tuple[list[str], str]:
    """Ask for a new token; return the metric's series, and what /status says."""
    async with client.post(f"{app.admin_url}/refresh") as answer:
        assert answer.status == 200, await answer.text()
    async with client.get(f"{app.admin_url}/metrics") as answer:
        series = [line for line in (await answer.text()).splitlines() if line.startswith(METRIC)]
    async with client.get(f"{app.admin_url}/status") as answer:
        return series, (await answer.json())["token"]["credential"]


def series(name: str) -> list[str]:
    """Return the one series that there is while the credential *name* works."""
    return [f'{METRIC}{{credential="{name}"}} 1.0']


async def test_secrets_are_known_by_their_line(tmp_path):
    """The old secret works until the new one is active in Okta; then it is the first line, and the old one may go."""
    path = tmp_path / "secret"
    path.write_text("new-secret-4711\nold-secret-4711\n")
    async with (
        AuthorizationServer(client_id=CLIENT_ID, client_secret="old-secret-4711") as okta,
        EchoApi(okta) as api,
        aiohttp.ClientSession() as client,
    ):
        oauth = {"client_secret": None, "client_secret_file": str(path)}
        async with running(settings(api.base_url, okta.token_url, oauth=oauth)) as app:
            assert await told(app, client) == (series("2"), "2")
            okta.accept("new-secret-4711")
            assert await told(app, client) == (series("1"), "1")


@pytest.mark.parametrize("dpop", [False, True])
async def test_keys_are_known_by_their_kid(tmp_path, dpop):
    """A key that is retired gives way to the next of the set, and there is never more than one series."""
    path = tmp_path / "keys.json"
    path.touch(0o600)
    path.write_text(json.dumps({"keys": [dict(ec(kid).as_dict(private=True)) for kid in ("one", "two")]}))
    async with (
        AuthorizationServer(client_id=CLIENT_ID, client_keys=[public(ec("one")), public(ec("two"))]) as okta,
        EchoApi(okta) as api,
        aiohttp.ClientSession() as client,
    ):
        oauth = {"client_secret": None, "private_key_file": str(path), "dpop": dpop}
        async with running(settings(api.base_url, okta.token_url, oauth=oauth)) as app:
            assert await told(app, client) == (series("one"), "one")
            okta.retire("one")
            assert await told(app, client) == (series("two"), "two")
