"""What signs and what it signed is never shown: a run that fails is searched for key, assertion and proof."""

import asyncio
import json
import urllib.error
import urllib.request
from urllib.parse import parse_qs

from command import command, environment, output_of
from private_keys import PASSPHRASE, jwk, make, pem
from strict_idp import StrictIdp
from token_servers import RawServer, response

KEY = make("P-256")
NEEDLES = [
    "eyJ",  # how each JWT begins
    jwk(KEY)["d"],
    *[line for line in pem(KEY).decode().splitlines() if "-----" not in line],
    PASSPHRASE.decode(),
]


class Echo(StrictIdp):
    """Gives one token, and then repeats in its errors what it was sent."""

    async def __call__(self, request, writer):
        if not self.tokens:
            await super().__call__(request, writer)
            return
        self.tokens.append("")
        form = parse_qs(request.body.decode())
        text = f"{form['client_assertion'][0]} and {request.value('DPoP')} are wrong"
        document = {"error": "invalid_client", "error_description": text}
        writer.write(response(401, document, f"x-okta-request-id: {request.value('DPoP')}"))


def read(url, method="GET"):
    """Return what the admin listener says."""
    request = urllib.request.Request(url, method=method)  # noqa: S310  # our own admin listener
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def test_no_key_and_nothing_that_it_signed_is_shown(tmp_path):
    """At level debug, with asyncio's own debugging, on the admin's pages and in the log."""
    key, passphrase = tmp_path / "key.pem", tmp_path / "passphrase"
    key.write_bytes(pem(KEY, passphrase=PASSPHRASE))
    passphrase.write_bytes(PASSPHRASE)
    idp = Echo(dpop=True)
    idp._check_signature = lambda *_: None
    async with RawServer(idp) as server:
        environ = environment(
            "http://127.0.0.1:1",
            f"{server.url}/token",
            OKTA_PROXY_OAUTH__CLIENT_SECRET="",
            OKTA_PROXY_OAUTH__PRIVATE_KEY_FILE=str(key),
            OKTA_PROXY_OAUTH__PRIVATE_KEY_PASSPHRASE_FILE=str(passphrase),
            OKTA_PROXY_OAUTH__DPOP="true",
            OKTA_PROXY_LOG__LEVEL="debug",
            PYTHONASYNCIODEBUG="1",
        )
        async with command("run", environ=environ) as proxy:
            await proxy.event("token_refreshed")
            shown = [await asyncio.to_thread(read, f"{proxy.admin_url}/refresh", "POST")]
            event = await proxy.event("token_refresh_failed")
            assert "are wrong" in event["reason"]
            shown += [await asyncio.to_thread(read, proxy.admin_url + path) for path in ("/status", "/", "/metrics")]
        shown += proxy.output
        _, token = await output_of("token", environ=environ)
    shown.append(token)
    text = json.dumps(shown)
    assert "are wrong" in token
    assert [needle for needle in NEEDLES if needle in text] == []


async def test_no_key_is_shown_at_a_start_that_fails(tmp_path):
    """Exit 2, a line for each mistake, and nothing of any file."""
    key, passphrase = tmp_path / "key.pem", tmp_path / "passphrase"
    key.write_bytes(pem(KEY, passphrase=b"another"))
    passphrase.write_bytes(PASSPHRASE)
    base = environment("https://api.example", "https://idp.example/token", OKTA_PROXY_OAUTH__CLIENT_SECRET="")
    for keys, said in (
        ({"PRIVATE_KEY": pem(KEY).decode()[:80]}, "oauth.private_key: holds a key that is damaged"),
        ({"PRIVATE_KEY": json.dumps({**jwk(KEY), "x": "AA"})}, "oauth.private_key: holds a key that is damaged"),
        (
            {"PRIVATE_KEY_FILE": str(key), "PRIVATE_KEY_PASSPHRASE_FILE": str(passphrase)},
            "oauth.private_key_passphrase_file: holds a passphrase that does not open the private key",
        ),
        ({"PRIVATE_KEY": pem(KEY).decode(), "ASSERTION": "{algorithm: RS256}"}, "cannot sign with RS256"),
    ):
        environ = base | {f"OKTA_PROXY_OAUTH__{name}": value for name, value in keys.items()}
        for arguments in (("run",), ("token",), ("check", "--offline")):
            code, output = await output_of(*arguments, environ=environ)
            assert code == 2
            assert said in " ".join(output.split())
            assert [needle for needle in NEEDLES if needle in output] == []
