"""`okta-proxy check` against the emulated Okta: what it says, taken apart for tests."""

import asyncio
import re
from contextlib import asynccontextmanager

from proxy.cli import check
from proxy.emulator import AuthorizationServer, EchoApi

CLIENT_ID = "0oa1client"
SECRET = "the-client-secret-4711"
OPAQUE = "opaque-token-0815-very-long"


class World:
    """An Okta and an API, and what the command says of them with the given keys."""

    def __init__(self, okta, api, capsys):
        self.okta = okta
        self.api = api
        self._capsys = capsys
        self.code = None
        self.out = ""

    async def check(self, *, offline=False, as_json=False, environ=None, **keys):
        """Run the command with keys as the environment has them (`UPSTREAM__URL`); nothing secret may come out."""
        own = {
            "UPSTREAM__URL": self.api.base_url,
            "OAUTH__TOKEN_URL": self.okta.token_url,
            "OAUTH__CLIENT_ID": CLIENT_ID,
            "OAUTH__CLIENT_SECRET": SECRET,
            "OAUTH__SCOPES": "api.read",
        } | keys
        variables = {f"OKTA_PROXY_{name}": value for name, value in own.items()} | (environ or {})
        self.code = await asyncio.to_thread(check.run, None, variables, offline=offline, flags={}, as_json=as_json)
        # A connection that the command opened and dropped last is still to be accepted, and closed, on this loop.
        for _ in range(10):
            await asyncio.sleep(0)
        self.out, err = self._capsys.readouterr()
        assert err == ""
        assert "Traceback" not in self.out
        for secret in (SECRET, variables["OKTA_PROXY_OAUTH__CLIENT_SECRET"] or SECRET, "eyJ", OPAQUE):
            assert secret not in self.out
        return self.out

    def steps(self):
        """Outcome and step of each line, in their order."""
        return re.findall(r"^([A-Z]{4}) ([a-z]+):", self.out, re.MULTILINE)

    def said(self, outcome, step):
        """The text of each such verdict, with its remedy."""
        found = re.findall(rf"^{outcome} {step}: (.*(?:\n     .*)*)", self.out, re.MULTILINE)
        return "\n".join(found)


@asynccontextmanager
async def emulated(capsys, *, api=None, **settings):
    """Start an Okta with these settings and an API with those of *api*; yields the `World` of the two."""
    async with (
        AuthorizationServer(**{"client_id": CLIENT_ID, "client_secret": SECRET} | settings) as okta,
        EchoApi(okta, **(api or {})) as echo,
    ):
        yield World(okta, echo, capsys)
