"""`okta-proxy check` on how the client proves who it is: keys, several secrets, audience, clock; and other servers."""

import json
import re
import time
from functools import partial
from itertools import product

import pytest
from doctor import emulated
from kit import RawUpstream, always
from signed import certificate, ec, public, rsa

from proxy.emulator import faults

WRONG = ("secret", "scope", "dpop", "limit")
NO_SECRET = {"OAUTH__CLIENT_SECRET": ""}


@pytest.fixture
def world(capsys):
    """Give a context manager that starts the servers."""
    return partial(emulated, capsys)


@pytest.fixture
def keep(tmp_path):
    """Give a function that writes a file which only we can read, and returns its path."""

    def write(name, content):
        path = tmp_path / name
        path.touch(0o600)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def key_set(*keys):
    """Return the private JWK set of these."""
    return json.dumps({"keys": [dict(key.as_dict(private=True)) for key in keys]})


def pem(key):
    """Return a private key as PEM, which has no kid."""
    return key.as_pem(private=True)


async def test_a_registered_key_is_named(world, keep):
    """With a key everything passes, and it is said which one it was: its kid and its algorithm."""
    async with world(client_keys=[public(rsa("kid-1")), public(ec("kid-2"))]) as it:
        path = keep("key.json", key_set(ec("kid-2")))
        await it.check(**NO_SECRET, OAUTH__PRIVATE_KEY_FILE=path)
    assert it.code == 0, it.out
    assert it.said("PASS", "credential") == (
        "the key with the kid kid-2 (ES256) is registered: the token endpoint took what it signed"
    )
    assert "oauth.private_key_file holds the key with the kid kid-2 (ES256)" in it.said("PASS", "files")
    assert "oauth.private_key_file: the other users of this machine cannot read it" in it.said("PASS", "files")


UNREGISTERED = {
    "another kid": (key_set(ec("mine")), "", "no active key of this name", "the key with the kid mine (ES256)"),
    "no kid": (
        pem(ec("mine")),
        "",
        "none was named",
        "a key without a kid (ES256, and no oauth.private_key_id is set)",
    ),
    "another key": (pem(rsa("x")), "kid-1", "not what is registered", "the key with the kid kid-1 (RS256)"),
}
"""What the file holds, `oauth.private_key_id`, the cause, and what was sent."""


@pytest.mark.parametrize("name", UNREGISTERED)
async def test_a_key_that_is_not_registered(world, keep, name):
    """The refusal says which kid was sent, for which audience, and the page of the console where keys are."""
    content, kid, cause, sent = UNREGISTERED[name]
    async with world(client_keys=[public(rsa("kid-1")), public(ec("kid-2"))]) as it:
        path = keep("key", content)
        await it.check(**NO_SECRET, OAUTH__PRIVATE_KEY_FILE=path, OAUTH__PRIVATE_KEY_ID=kid)
        audience = it.okta.token_url
    told = it.said("FAIL", "token")
    assert it.code == 3
    assert cause in told
    assert f"Sent: an assertion by {sent}, for the audience {audience}" in told
    assert "General > Client Credentials > Public Keys" in told


async def test_an_app_without_keys(world, keep):
    """An app to which no key belongs is told from one that has another."""
    async with world() as it:
        await it.check(**NO_SECRET, OAUTH__PRIVATE_KEY_FILE=keep("key", key_set(ec())))
    assert "no usable public key is registered for the app" in it.said("FAIL", "token")


async def test_the_wrong_audience_is_shown(world, keep):
    """What was sent as the assertion's audience stands beside the refusal."""
    async with world(client_keys=public(ec())) as it:
        await it.check(
            **NO_SECRET,
            OAUTH__PRIVATE_KEY_FILE=keep("key", key_set(ec())),
            OAUTH__ASSERTION="{audience: 'https://elsewhere.example.com/token'}",
        )
    told = it.said("FAIL", "token")
    assert "the assertion is for another address than this server expects" in told
    assert "for the audience https://elsewhere.example.com/token" in told
    assert "> Settings" in told


async def test_one_of_two_keys_is_refused(world, keep):
    """In the middle of a rotation the check passes, with a warning that names both."""
    async with world(client_keys=public(ec("old"))) as it:
        await it.check(**NO_SECRET, OAUTH__PRIVATE_KEY_FILE=keep("key", key_set(ec("new"), ec("old"))))
    assert it.code == 0
    assert it.said("WARN", "credential").startswith(
        "refused as invalid_client: the key with the kid new (ES256); taken after it: the key with the kid old (ES256)"
    )


@pytest.mark.parametrize("accepted", ["second-secret-0815", "another-one-0815"])
async def test_several_secrets(world, keep, accepted):
    """Which line was refused and which was taken is said, and no secret of the file is shown, refused or not."""
    async with world(client_secret=accepted) as it:
        path = keep("secret", "first-secret-0815\nsecond-secret-0815\n")
        await it.check(**NO_SECRET, OAUTH__CLIENT_SECRET_FILE=path)
    assert it.said("PASS", "files") == "oauth.client_secret_file holds 2 secrets"
    if accepted.startswith("second"):
        assert it.code == 0
        assert "secret 1 of oauth.client_secret_file; taken after it: secret 2" in it.said("WARN", "credential")
    else:
        assert it.code == 3
        assert "Sent: secret 2 of oauth.client_secret_file" in it.said("FAIL", "token")
        assert "Refused before it: secret 1 of oauth.client_secret_file" in it.said("FAIL", "token")
    assert "-secret-0815" not in it.out


async def test_every_secret_is_hidden_not_the_first_alone(world, keep):
    """A server that repeats what it was sent, however old, gives nothing away."""
    said = b'{"error": "invalid_client", "error_description": "neither one-secret-0815 nor two-secret-0815"}'
    async with world() as it:
        it.okta.always(faults.Answer(401, said, "application/json"))
        path = keep("secret", "one-secret-0815\ntwo-secret-0815\n")
        await it.check(**NO_SECRET, OAUTH__CLIENT_SECRET_FILE=path)
    assert "neither *** nor ***" in it.said("FAIL", "token")


async def test_a_command_s_secret_is_hidden_too(world):
    """It is known when the request is made, and in no line after it: not where the API repeats it either."""
    challenge = b'Bearer error="invalid_token", error_description="not from-a-command-0815"'
    answer = b"HTTP/1.1 401 No\r\nWWW-Authenticate: " + challenge + b"\r\nContent-Length: 0\r\n\r\n"
    async with world(client_secret="from-a-command-0815") as it, RawUpstream(always(answer)) as api:
        command = "[echo, from-a-command-0815]"
        await it.check(**NO_SECRET, OAUTH__CLIENT_SECRET_COMMAND=command, UPSTREAM__URL=api.url)
    assert "from-a-command" not in it.out
    assert 'error_description="not ***"' in it.said("FAIL", "upstream")


@pytest.mark.parametrize(("ahead", "outcome"), [(-5, "WARN"), (-120, "FAIL")])
async def test_a_clock_that_okta_minded(world, keep, ahead, outcome):
    """Few seconds are enough for Okta to refuse an assertion: the token comes all the same, and the clock is named."""
    async with world(client_keys=public(ec()), clock=lambda: time.time() + ahead) as it:
        await it.check(**NO_SECRET, OAUTH__PRIVATE_KEY_FILE=keep("key", key_set(ec())))
    told = it.said(outcome, "clock")
    assert re.match(r"this machine is \d+ (s|min) ahead of the token endpoint", told)
    assert "It refused what was signed by this clock" in told
    assert "NTP" in told
    assert ("PASS", "token") in it.steps()
    assert it.code == (0 if outcome == "WARN" else 3)


async def test_the_org_server_and_okta_s_own_api(world, keep):
    """Its tokens are opaque by contract, and Okta's own API takes them."""
    scopes = {"scopes": ("okta.users.read",), "api": {"org": True, "required_scope": "okta.users.read"}}
    async with world(client_keys=public(ec()), **scopes) as it:
        await it.check(
            **NO_SECRET,
            OAUTH__PRIVATE_KEY_FILE=keep("key", key_set(ec())),
            OAUTH__TOKEN_URL=it.okta.token_url_of(None),
            OAUTH__SCOPES="okta.users.read okta.apps.read",
        )
    assert it.code == 0, it.out
    assert "are, by contract" in it.said("SKIP", "claims")
    assert it.said("WARN", "token") == (
        "not granted, though asked for in oauth.scopes: okta.apps.read\n"
        "     Grant them to the app (Okta: Applications > Applications > your app > Okta API Scopes)."
    )


async def test_a_token_of_the_org_server_for_another_api(world, keep):
    """It is seen before the API refuses it, and the API's 401 has that as its cause."""
    async with world(client_keys=public(ec()), scopes=("okta.users.read",)) as it:
        await it.check(
            **NO_SECRET,
            OAUTH__PRIVATE_KEY_FILE=keep("key", key_set(ec())),
            OAUTH__TOKEN_URL=it.okta.token_url_of(None),
            OAUTH__SCOPES="okta.users.read",
            UPSTREAM__URL=it.api.base_url.replace("127.0.0.1", "localhost"),
        )
    assert it.code == 3
    assert it.said("WARN", "claims").startswith("the token is from Okta's org authorization server")
    assert "Likely cause: the token is from Okta's org authorization server" in it.said("FAIL", "upstream")
    assert "{org}/oauth2/{id}" in it.said("FAIL", "upstream")


# What PingOne says of a scope is not known: the emulator says it in Okta's words.
@pytest.mark.parametrize(
    ("manner", "wrong"),
    sorted(
        set(product(["auth0", "entra", "keycloak", "cognito", "pingone", "pingfederate"], WRONG))
        - {("pingone", "scope")}
    ),
)
async def test_another_product_s_users_are_not_sent_to_okta(world, manner, wrong):
    """Whatever it refuses, no line names Okta's console, status page or support."""
    changed = {"client_secret": "another-one-0815"} if wrong == "secret" else {}
    async with world(manner=manner, **changed) as it:
        if wrong == "limit":
            it.okta.always(faults.Answer(429, b"slow down", "text/plain"))
        keys = {"OAUTH__SCOPES": "unknown.scope"} if wrong == "scope" else {}
        if wrong == "dpop":
            keys = {"OAUTH__DPOP": "true"}
        if manner == "auth0":
            keys |= {"OAUTH__EXTRA_PARAMS": "{audience: 'api://default'}"}
        if manner == "entra" and wrong in {"dpop", "secret"}:
            keys |= {"OAUTH__SCOPES": "api://default/.default"}
        await it.check(**keys)
    assert "okta" not in re.sub(r"config: .*|Okta's secrets", "", it.out).lower(), it.out
    if wrong != "dpop":
        assert it.code == 3
        assert ("FAIL", "token") in it.steps()


async def test_a_certificate_of_entra_s(world, keep):
    """The key's certificate is looked at: how long it lasts, and that Entra ID knows it."""
    async with world(manner="entra", client_keys=certificate(), scopes=("api://default/.default",)) as it:
        await it.check(
            **NO_SECRET,
            OAUTH__PRIVATE_KEY_FILE=keep("key", pem(rsa())),
            OAUTH__ASSERTION=f"{{algorithm: PS256, certificate_file: {keep('cert', certificate())}}}",
            OAUTH__SCOPES="api://default/.default",
        )
    assert "oauth.assertion: certificate_file holds a certificate that is valid for" in it.said("WARN", "files")
    assert "a key without a kid (PS256 and named by its certificate)" in it.said("PASS", "credential")
