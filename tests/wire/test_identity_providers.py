"""Each configuration of docs/identity-providers.md gets a token from the emulator in that server's manner."""

import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from pages import ROOT, Block, blocks
from signed import certificate, public, rsa

from proxy.config import OAuth, load
from proxy.emulator import AuthorizationServer, EchoApi
from proxy.emulator.manner import manner_of
from proxy.tokens.answer import read_answer
from proxy.tokens.clock import SystemClock
from proxy.tokens.endpoint import Fetched, TokenEndpoint
from proxy.tokens.source import Token

PAGE = ROOT / "docs" / "identity-providers.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECRET = "the-secret-of-the-page-with-o+d%20d:characters"

MANNERS = {
    "Okta: custom authorization server": "okta",
    "Okta: org authorization server": "okta",
    "Auth0": "auth0",
    "Entra ID": "entra",
    "Keycloak": "keycloak",
    "Cognito": "cognito",
    "PingOne": "pingone",
    "PingFederate": "pingfederate",
}
"""The page's headings with a configuration below, and the manner of each."""


class Case(NamedTuple):
    """A configuration of the page."""

    heading: str
    document: dict[str, Any]

    @property
    def oauth(self) -> dict[str, Any]:
        return self.document["oauth"]

    @property
    def is_org(self) -> bool:
        """Whether it is for Okta's own authorization server, which has no path."""
        return "org" in self.heading

    @property
    def audience(self) -> str:
        """What the API is called: Auth0 wants it as a parameter, Entra ID in the scope."""
        if self.heading == "Entra ID":
            return self.oauth["scopes"][0].removesuffix("/.default")
        return self.oauth.get("extra_params", {}).get("audience", "api://default")


def heading_of(block: Block) -> str:
    """Return the heading above *block*."""
    line = int(block.where.rpartition(":")[2])
    above = "\n".join(TEXT.splitlines()[:line])
    return re.findall(r"^## (.+)$", above, re.MULTILINE)[-1]


# One is `yml`: it names a file inside `assertion`, which only this test has.
CASES = [Case(heading_of(block), yaml.safe_load(block.text)) for block in blocks(PAGE, "yaml", "yml")]

each_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.heading}, {'key' if 'private_key_file' in case.oauth else 'secret'}"
)


def server(case: Case, **changed: Any) -> AuthorizationServer:
    """Return the server of *case*, where its client is registered."""
    oauth = case.oauth
    kid = oauth.get("private_key_id", "kid-of-the-jwk")
    keys = certificate() if "assertion" in oauth and "certificate_file" in oauth["assertion"] else key(kid)
    settings = {
        "manner": MANNERS[case.heading],
        "client_id": oauth["client_id"],
        "client_secret": SECRET if "client_secret_file" in oauth else (),
        "client_keys": keys if "private_key_file" in oauth else (),
        "scopes": oauth.get("scopes", ("api.read",)),
        "audience": case.audience,
        "dpop_required": oauth.get("dpop", False),
    }
    return AuthorizationServer(**(settings | changed))


def key(kid: str) -> dict[str, Any]:
    """Return the public key as it is registered."""
    return public(rsa()) | {"kid": kid}


def at(base_url: str, address: str) -> str:
    """Return *address* with its scheme and host replaced: the path is the server's own."""
    return base_url + urlsplit(address).path


def settings_of(case: Case, okta: AuthorizationServer, api: EchoApi, folder) -> OAuth:
    """Load the configuration of *case* as the program does, with the emulator's host and files that there are."""
    files = {
        "private-key.pem": rsa().as_pem(private=True),
        "private-key.json": json.dumps(dict(rsa().as_dict(private=True)) | {"kid": "kid-of-the-jwk"}).encode(),
        "client-secret": SECRET.encode() + b"\n",
        "certificate.pem": certificate().encode(),
    }
    for name, content in files.items():
        (folder / name).touch(0o600)
        (folder / name).write_bytes(content)
    document = json.loads(json.dumps(case.document).replace("/run/secrets", str(folder)))
    document["upstream"]["url"] = api.base_url
    oauth = document["oauth"]
    for name in {"issuer", "token_url"} & set(oauth):
        oauth[name] = at(okta.base_url, oauth[name])
    assertion = oauth.get("assertion", {})
    if "://" in assertion.get("audience", ""):
        assertion["audience"] = at(okta.base_url, assertion["audience"])
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    loaded = load(str(path), {})
    assert loaded.warnings == []
    return loaded.settings.oauth


async def token_with(oauth: OAuth) -> Any:
    """Fetch a token as the proxy does; what is no token comes back as it is."""
    result = await TokenEndpoint(oauth, SystemClock(), {}).fetch()
    return read_answer(result.answer, result.secret) if isinstance(result, Fetched) else result


@each_case
async def test_each_configuration_gets_a_token_that_the_api_takes(case, tmp_path):
    """The page's configuration as it stands, but for the host: a token, and a call of the API with it."""
    async with (
        server(case) as okta,
        EchoApi(okta, org=case.is_org, required_scope=case.oauth.get("scopes", ["api.read"])[0]) as api,
        aiohttp.ClientSession() as client,
    ):
        token = await token_with(settings_of(case, okta, api, tmp_path))
        assert isinstance(token, Token), token
        assert (token.prover is not None) == case.oauth.get("dpop", False)
        headers = {"Authorization": f"{token.scheme} {token.value}"}
        url = f"{api.base_url}/hello"
        if token.prover is not None:
            headers["DPoP"] = token.prover.proof("POST", url)
        async with client.post(url, data=b"body", headers=headers) as response:
            assert response.status == 200, await response.text()
        errors = [request.error for request in okta.token_requests]
        challenged = case.oauth.get("dpop", False) and manner_of(MANNERS[case.heading]).dpop_nonce
        assert errors == (["use_dpop_nonce", None] if challenged else [None])


@each_case
async def test_each_configuration_is_refused_where_its_client_is_not_known(case, tmp_path):
    """Another secret and another key at the server: what it says comes back as a refusal with a remedy."""
    changed = {"client_secret": "another"} if "client_secret_file" in case.oauth else {"client_keys": public(rsa("x"))}
    async with server(case, **changed) as okta, EchoApi(okta) as api:
        failure = await token_with(settings_of(case, okta, api, tmp_path))
        assert failure.outcome == "refused"
        assert failure.remedy
        assert okta.token_requests[-1].error in {"invalid_client", "access_denied", "unauthorized_client"}


async def test_auth0_without_the_audience_says_what_the_page_says(tmp_path):
    """What is in the configuration beside the credentials is needed."""
    found = next(case for case in CASES if case.heading == "Auth0")
    without = Case(found.heading, found.document | {"oauth": found.oauth | {"extra_params": {}}})
    async with server(without) as okta, EchoApi(okta) as api:
        failure = await token_with(settings_of(without, okta, api, tmp_path))
    assert "Non-global clients are not allowed access to APIv1" in failure.detail


async def test_entra_with_another_scope_says_what_the_page_says(tmp_path):
    """A scope that is no `/.default` has the number that the page names."""
    found = next(case for case in CASES if case.heading == "Entra ID")
    other = Case(found.heading, found.document | {"oauth": found.oauth | {"scopes": ["api.read"]}})
    async with server(other) as okta, EchoApi(okta) as api:
        failure = await token_with(settings_of(other, okta, api, tmp_path))
    assert "AADSTS1002012" in failure.detail


def test_every_server_of_the_table_has_a_configuration():
    """Each manner has its section, each section a configuration, and the table a row for each."""
    assert {case.heading for case in CASES} == set(MANNERS)
    rows = re.findall(r"^\| \[.+?\]\(#([a-z0-9-]+)\)", TEXT, re.MULTILINE)
    assert rows == [heading.lower().replace(":", "").replace(" ", "-") for heading in MANNERS]


@pytest.mark.parametrize("heading", ["Auth0", "Entra ID"])
def test_the_refusals_of_the_page_are_the_emulators(heading):
    """What the page's tables quote is what the server says in that manner."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    said = [description for _, error, description in manner_of(MANNERS[heading]).texts.values()]
    quoted = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)[1:]
    pieces = [piece.strip() for cell in quoted for piece in re.split(r"\.\.\.|, (?=AADSTS)", cell) if piece.strip()]
    # AADSTS70011 is what older answers say for AADSTS1002012.
    assert [piece for piece in pieces if piece != "AADSTS70011" and not any(piece in text for text in said)] == []
    assert len(pieces) >= 4
