"""Every way to prove who we are gets tokens, and loses no call while nonces, secrets and keys are rotated."""

import itertools
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
import yaml
from kit import RawConnection, get, post, raw_client, running
from private_keys import FORMS, PASSPHRASE, Private, jwk, make, public_jwk
from promise_kit import tls_server

from proxy.config import Settings, load
from proxy.emulator import AuthorizationServer, EchoApi

TABLE = """
method               form       key  scheme  server  tokens  rotation
client_secret_post   secret     -    http    custom  bearer  ..data
client_secret_post   secret     -    https   custom  DPoP    second line
client_secret_post   secret     -    https   custom  DPoP    replaced
client_secret_basic  secret     -    http    custom  bearer  ..data
client_secret_basic  secret     -    http    custom  DPoP    replaced
client_secret_basic  secret     -    https   custom  DPoP    second line
client_secret_jwt    secret     -    http    custom  bearer  second line
client_secret_jwt    secret     -    https   custom  bearer  ..data
client_secret_jwt    secret     -    https   custom  DPoP    replaced
private_key_jwt      PKCS#8     RSA  http    custom  bearer  ..data
private_key_jwt      PKCS#8     EC   https   org     DPoP    replaced
private_key_jwt      PKCS#1     RSA  http    custom  bearer  ..data
private_key_jwt      PKCS#1     RSA  https   org     DPoP    replaced
private_key_jwt      SEC1       EC   http    org     bearer  replaced
private_key_jwt      SEC1       EC   https   custom  DPoP    ..data
private_key_jwt      encrypted  RSA  http    custom  bearer  replaced
private_key_jwt      encrypted  EC   https   org     DPoP    ..data
private_key_jwt      one line   RSA  http    org     DPoP    replaced
private_key_jwt      one line   EC   https   custom  bearer  ..data
private_key_jwt      JWK        RSA  https   org     DPoP    ..data
private_key_jwt      JWK        EC   http    custom  bearer  replaced
private_key_jwt      JWK set    RSA  https   org     bearer  second key
private_key_jwt      JWK set    RSA  https   org     bearer  ..data
private_key_jwt      JWK set    EC   http    custom  DPoP    second key
private_key_jwt      JWK set    EC   https   org     DPoP    replaced
"""
"""Each pair of values that can occur together stands in some line."""

FORM_NAMES = {
    "PKCS#1": "PKCS#1 or SEC1",
    "SEC1": "PKCS#1 or SEC1",
    "encrypted": "PKCS#8, encrypted",
    "one line": "one line with backslash n",
}
"""The forms whose names are longer in `FORMS`."""

CALLS = 20
NONCE_ROTATES, CREDENTIAL_ROTATES, BOTH_ROTATE = 5, 10, 15
"""The calls before which it happens. `BOTH`: the token is withdrawn, and with it all nonces."""
BODY = b"a body of the client's " * 40
CLIENT_ID = "0oa1client"
SECRETS = ("the-old-secret-of-36-characters-long", "the-new-secret-with-o+d%20d:characters")


class Case(NamedTuple):
    """A line of the table."""

    method: str
    form: str
    key: str
    scheme: str
    server: str
    tokens: str
    rotation: str

    @property
    def at_once(self) -> bool:
        """Whether the new credential stands in the file from the start, behind the old one."""
        return self.rotation.startswith("second")

    @property
    def scope(self) -> str:
        return "okta.users.read" if self.server == "org" else "api.read"


CASES = [Case(*re.split(" {2,}", line)) for line in TABLE.strip().splitlines()[1:]]
VALUES = [tuple(dict.fromkeys(column)) for column in zip(*CASES, strict=True)]


def is_possible(case: Case) -> bool:
    """Tell whether there is such a client."""
    if case.method != "private_key_jwt":
        return (case.form, case.key, case.server) == ("secret", "-", "custom") and case.rotation != "second key"
    if "secret" in case.form or case.key == "-" or case.rotation == "second line":
        return False
    if {"PKCS#1": "RSA", "SEC1": "EC"}.get(case.form, case.key) != case.key:
        return False
    return case.rotation != "second key" or case.form == "JWK set"


def pairs(case: Case) -> set[tuple[object, ...]]:
    """Return the pairs of values in a line, with their columns."""
    return set(itertools.combinations(enumerate(case), 2))


def test_the_table_has_every_pair():
    """No two values that can occur together are left out, and no line is there that cannot be."""
    possible = [case for case in itertools.starmap(Case, itertools.product(*VALUES)) if is_possible(case)]
    assert set(CASES) <= set(possible)
    assert set().union(*map(pairs, possible)) == set().union(*map(pairs, CASES))


class Mounted:
    """The file with the credential, written as the case wants it, and changed as it wants it."""

    def __init__(self, case: Case, folder: Path) -> None:
        self._case = case
        self._folder = folder
        self.path = folder / "credential"
        if case.rotation == "..data":
            # As Kubernetes mounts a Secret.
            self._version(1)
            (folder / "..data").symlink_to("..1")
            self.path.symlink_to("..data/credential")
        else:
            write(self.path, content(case, 0, 1) if case.at_once else content(case, 0))

    def rotate(self) -> None:
        """Have the new credential in the file."""
        if self._case.rotation == "..data":
            self._version(2)
            (self._folder / "..data_tmp").symlink_to("..2")
            (self._folder / "..data_tmp").replace(self._folder / "..data")
        elif self._case.rotation == "replaced":
            write(self._folder / "new", content(self._case, 1)).replace(self.path)

    def _version(self, number: int) -> None:
        (self._folder / f"..{number}").mkdir()
        write(self._folder / f"..{number}" / "credential", content(self._case, number - 1))


def write(path: Path, data: bytes) -> Path:
    """Write a file that only its owner can read."""
    path.touch(0o600)
    path.write_bytes(data)
    return path


def content(case: Case, *numbers: int) -> bytes:
    """Return a file with the credentials of these *numbers*: 0 is the old one, 1 the new one."""
    if case.form == "secret":
        return "".join(f"{SECRETS[number]}\n" for number in numbers).encode()
    keys = [private(case, number) for number in numbers]
    jwks = [jwk(key, kid=kid(number)) for key, number in zip(keys, numbers, strict=True)]
    if case.form.startswith("JWK"):
        return json.dumps({"keys": jwks} if case.form == "JWK set" else jwks[0]).encode()
    (key,) = keys
    return FORMS[FORM_NAMES.get(case.form, case.form)](key)


def private(case: Case, number: int) -> Private:
    """Return the private key of that number."""
    return make("RSA" if case.key == "RSA" else "P-256", number)


def kid(number: int) -> str:
    """Return what that key is called."""
    return f"key-{number}"


def registered(case: Case, *numbers: int) -> list[dict[str, Any]]:
    """Return the public keys as the administrator registers them."""
    return [public_jwk(private(case, number), kid=kid(number)) for number in numbers]


def server(case: Case) -> AuthorizationServer:
    """Return the authorization server, at which the client is registered; both credentials if it has both."""
    known = (0, 1) if case.at_once else (0,)
    is_secret = case.form == "secret"
    return AuthorizationServer(
        client_id=CLIENT_ID,
        client_secret=[SECRETS[number] for number in known] if is_secret else (),
        client_keys=() if is_secret else registered(case, *known),
        scopes=(case.scope,),
        dpop_required=case.tokens == "DPoP",
        tls=tls_server(authority(), "127.0.0.1") if case.scheme == "https" else None,
    )


def retire(case: Case, okta: AuthorizationServer) -> None:
    """Accept the old credential no more."""
    if case.form == "secret":
        okta.accept(SECRETS[1])
    elif case.at_once:
        okta.retire(kid(0))
    else:
        okta.accept_keys(*registered(case, 1))


@cache
def authority() -> trustme.CA:
    """Return the certificate authority of the token endpoints."""
    return trustme.CA()


def loaded(case: Case, okta: AuthorizationServer, api: EchoApi, credential: Path, folder: Path) -> Settings:
    """Return the settings as the program loads them from a file."""
    oauth: dict[str, Any] = {
        "issuer": okta.issuer_of(None if case.server == "org" else "default"),
        "client_id": CLIENT_ID,
        "auth_method": case.method,
        "client_secret_file" if case.form == "secret" else "private_key_file": str(credential),
        "scopes": [case.scope],
        "dpop": case.tokens == "DPoP",
    }
    if case.form == "encrypted":
        oauth["private_key_passphrase_file"] = str(write(folder / "passphrase", PASSPHRASE + b"\n"))
    if case.scheme == "https":
        authority().cert_pem.write_to_path(folder / "ca.pem")
        oauth["ca_file"] = str(folder / "ca.pem")
    document = {
        "listen": {"port": 0},
        "upstream": {"url": api.base_url},
        "oauth": oauth,
        "admin": {"enabled": False},
        "log": {"level": "error"},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    found = load(str(path), {})
    assert found.warnings == []
    return found.settings


async def call(client: RawConnection, number: int) -> None:
    """Make a GET or a POST through the proxy, and check that it came to the API as it was sent."""
    body = b"%d %b" % (number, BODY) if number % 2 else b""
    await client.send(post(body) if body else get(b"/calls/%d?q=%%20" % number))
    answer = await client.message()
    assert answer.status == 200, (number, answer.body)
    seen = json.loads(answer.body)
    assert (seen["method"], seen["body"]["text"]) == ("POST" if body else "GET", body.decode())


@pytest.mark.parametrize("case", CASES, ids=", ".join)
async def test_no_call_is_lost(case: Case, tmp_path: Path):
    """Twenty calls, GET and POST: nonces are forgotten in the middle, the credential is rotated, and all at once."""
    async with (
        server(case) as okta,
        EchoApi(okta, org=case.server == "org", required_scope=case.scope, dpop_nonce=case.tokens == "DPoP") as api,
    ):
        mounted = Mounted(case, tmp_path)
        async with running(loaded(case, okta, api, mounted.path, tmp_path)) as app, raw_client(app) as client:
            for number in range(CALLS):
                if number in {NONCE_ROTATES, BOTH_ROTATE}:
                    okta.rotate_nonce(forget=True)
                    api.rotate_nonce(forget=True)
                if number == CREDENTIAL_ROTATES:
                    mounted.rotate()
                    retire(case, okta)
                if number in {CREDENTIAL_ROTATES, BOTH_ROTATE}:
                    okta.revoke_all()
                await call(client, number)
        errors = [request.error for request in okta.token_requests]
        assert {request.method for request in okta.token_requests} == {case.method}
        assert okta.issued == 3
        assert errors.count("invalid_client") == case.at_once
        # Asked for at the start, and in the two fetches after the nonces were forgotten; a refusal brings one as well.
        assert errors.count("use_dpop_nonce") == (3 - case.at_once if case.tokens == "DPoP" else 0)
        assert len([request for request in api.requests if request.status == 200]) == CALLS
