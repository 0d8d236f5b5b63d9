"""`okta-proxy check` as a command: where the configuration comes from, exit codes, Ctrl-C, colours."""

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from private_keys import PASSPHRASE, jwk, make, pem
from signed import certificate, rsa

from proxy import __version__
from proxy.cli import check
from proxy.config import load
from proxy.emulator import AuthorizationServer, EchoApi, faults

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "proxy", "check"]
SECRET = "the-client-secret-4711"
TOKEN_URL = "https://dev-123456.okta.com/oauth2/default/v1/token"
EXAMPLE = {"OKTA_CLIENT_ID": "0oa1client", "OKTA_CLIENT_SECRET": SECRET}
CONFIGURED = {
    "OKTA_PROXY_UPSTREAM__URL": "https://api.example.com",
    "OKTA_PROXY_OAUTH__ISSUER": "https://dev-1.okta.com/oauth2/default",
    "OKTA_PROXY_OAUTH__CLIENT_ID": "0oa1client",
    "OKTA_PROXY_OAUTH__CLIENT_SECRET": SECRET,
}
SKIPPED = "SKIP dns, tls, clock, token, claims, upstream: "


async def as_json(*arguments, **variables):
    """Run the real command with --json; return its exit code, its document and its standard error."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "--json",
        *arguments,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, json.loads(out), err


def statuses(document):
    """Return name and status of each step."""
    return [(step["name"], step["status"]) for step in document["steps"]]


def offline(config=None, **environ):
    """Run the command in this process without the network."""
    return check.run(config, environ, offline=True, flags={})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder: no ./config.yaml is found by chance."""
    monkeypatch.chdir(tmp_path)


def environment(**variables):
    """Return this process's environment without a configuration, with *variables* instead."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OKTA_", "NO_COLOR"))}
    return own | {"PYTHONPATH": str(ROOT)} | variables


def test_the_example_passes_offline():
    """The example configuration passes with its two variables set, as a real command."""
    example = str(ROOT / "config.example.yaml")
    done = subprocess.run(
        [*COMMAND, "--offline", "-c", example], env=environment(**EXAMPLE), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"PASS config: {example}: requests go to https://api.example.com, tokens come from {TOKEN_URL}",
        f"{SKIPPED}--offline",
        "1 check passed, 1 skipped.",
    ]
    assert done.returncode == 0


async def test_the_command_fails_with_3_and_is_fit_for_a_ticket():
    """As a real command, a refused secret ends with 3; neither it nor a traceback is in what is printed."""
    async with (
        AuthorizationServer(client_id="0oa1client", client_secret="another-one-0815") as okta,
        EchoApi(okta) as api,
    ):
        variables = CONFIGURED | {
            "OKTA_PROXY_OAUTH__ISSUER": okta.issuer,
            "OKTA_PROXY_OAUTH__SCOPES": "api.read",
            "OKTA_PROXY_UPSTREAM__URL": api.base_url,
        }
        process = await asyncio.create_subprocess_exec(
            *COMMAND, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await process.communicate()
    assert (process.returncode, err) == (3, b"")
    assert b"FAIL token: " in out
    assert SECRET.encode() not in out


async def test_ctrl_c_ends_it_without_a_traceback():
    """Ctrl-C while Okta is silent ends the command with 130 and one line."""
    async with AuthorizationServer(client_id="0oa1client", client_secret=SECRET) as okta:
        okta.always(faults.HANG)
        variables = CONFIGURED | {"OKTA_PROXY_OAUTH__TOKEN_URL": okta.token_url, "OKTA_PROXY_OAUTH__ISSUER": ""}
        variables["OKTA_PROXY_UPSTREAM__URL"] = okta.base_url
        process = await asyncio.create_subprocess_exec(
            *COMMAND, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        await okta.requested(1)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 130
    assert err == b"okta-proxy check: interrupted\n"
    assert b"PASS dns" in out


def test_no_configuration_at_all_says_how_to_start(capsys):
    """Without a file and without variables the way to one is shown, and the exit code is 2."""
    assert offline() == 2
    assert capsys.readouterr().out.splitlines() == [
        "FAIL config: there is none: no ./config.yaml, no /etc/okta-proxy/config.yaml, no OKTA_PROXY_... variable",
        "     Copy config.example.yaml to config.yaml, or name a file with -c; `okta-proxy demo` needs none.",
        "0 checks passed, 1 failed.",
    ]


def test_each_problem_of_the_configuration_is_a_line(tmp_path, capsys):
    """All problems are shown, one a line, without any value; the exit code is 2 and nothing else is tried."""
    file = tmp_path / "mine.yaml"
    file.write_text(f"upstream: {{url: 'ftp://x'}}\noauth:\n  client_secret: {SECRET}\n  scope: [a]\n")
    assert offline(str(file)) == 2
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("FAIL config: ") for line in lines) == 4
    assert lines[-2:] == [f"{SKIPPED}the configuration must be right first", "0 checks passed, 4 failed, 1 skipped."]
    assert SECRET not in "\n".join(lines)


def test_a_file_that_is_not_there_is_a_problem(capsys):
    """A file that was named and is missing is a line and exit code 2."""
    assert offline("gone.yaml") == 2
    assert "gone.yaml: there is no such file (-c names it)" in capsys.readouterr().out


def test_warnings_fail_nothing(capsys):
    """A warning of the configuration is a WARN line, and the exit code stays 0."""
    assert offline(**CONFIGURED, OKTA_PROXY_OAUTH_CLIENT_ID="x") == 0
    out = capsys.readouterr().out
    assert out.startswith("PASS config: the environment: ")
    (warning,) = [line for line in out.splitlines() if line.startswith("WARN config: ")]
    assert "OKTA_PROXY_OAUTH_CLIENT_ID" in warning
    assert out.endswith("1 check passed, 1 warning, 1 skipped.\n")


def test_flags_go_over_the_environment(capsys):
    """A flag is the configuration's last word here too."""
    assert check.run(None, CONFIGURED, offline=True, flags={"upstream.url": "https://other.example.com"}) == 0
    assert "requests go to https://other.example.com" in capsys.readouterr().out


def test_the_files_that_are_named_are_read(tmp_path, capsys):
    """A secret file that holds no text fails, a file of authorities that holds none too."""
    secret, authorities = tmp_path / "secret", tmp_path / "ca.pem"
    secret.write_bytes(b"\xff\xfe\n")
    authorities.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    variables = CONFIGURED | {
        "OKTA_PROXY_OAUTH__CLIENT_SECRET": "",
        "OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE": str(secret),
        "OKTA_PROXY_UPSTREAM__CA_FILE": str(authorities),
    }
    assert offline(**variables) == 3
    out = capsys.readouterr().out
    assert "FAIL files: upstream.ca_file cannot be used\n" in out
    assert "FAIL files: oauth.client_secret_file is not UTF-8 text\n" in out


def test_a_good_secret_file_passes(tmp_path, capsys):
    """A secret file is read as the proxy will read it."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    variables = CONFIGURED | {
        "OKTA_PROXY_OAUTH__CLIENT_SECRET": "",
        "OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE": str(secret),
        # A password of the outbound proxy and a header that is a secret are to be kept in as well.
        "OKTA_PROXY_OAUTH__PROXY": "http://me:hush-hush@proxy.example.com:3128",
        "OKTA_PROXY_UPSTREAM__HEADERS": "{X-Api-Key: hush-hush-too}",
    }
    assert offline(**variables) == 0
    out = capsys.readouterr().out
    assert "PASS files: oauth.client_secret_file holds a secret" in out
    assert "hush-hush" not in out


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("'the secret with a blank '", "begins or ends with a blank"),
        ("'päßwörd-päßwörd'", "has characters that Okta's secrets never have"),
        ("'o+d%20d:s/e c=r&e?t'", None),
    ],
)
def test_a_secret_that_looks_like_a_bad_copy_is_a_warning(tmp_path, capsys, secret, expected):
    """A secret with a blank at its ends, or with letters that Okta has not, is warned of and not shown."""
    file = tmp_path / "mine.yaml"
    file.write_text(f"oauth:\n  client_secret: {secret}\n", encoding="utf-8")
    file.chmod(0o600)
    variables = {name: value for name, value in CONFIGURED.items() if not name.endswith("SECRET")}
    assert offline(str(file), **variables) == 0
    out = capsys.readouterr().out
    assert ("WARN files: " in out) is (expected is not None)
    assert (expected or "") in out
    assert secret.strip("'") not in out


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals(monkeypatch, variables, coloured):
    """On a terminal the outcomes are coloured, unless NO_COLOR is set; elsewhere they never are."""
    main, end = pty.openpty()
    with os.fdopen(end, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert offline(**CONFIGURED, **variables) == 0
        monkeypatch.undo()
        shown = os.read(main, 65536)
    os.close(main)
    assert (b"\x1b[32mPASS\x1b[0m config" in shown) is coloured
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert offline(**CONFIGURED) == 0
    assert "\x1b" not in stream.getvalue()


# For scripts.


async def test_a_script_gets_one_document():
    """With --json there is one document, with a step for each verdict, and nothing else."""
    async with (
        AuthorizationServer(client_id="0oa1client", client_secret=SECRET) as okta,
        EchoApi(okta) as api,
    ):
        variables = CONFIGURED | {
            "OKTA_PROXY_OAUTH__ISSUER": okta.issuer,
            "OKTA_PROXY_OAUTH__SCOPES": "api.read",
            "OKTA_PROXY_UPSTREAM__URL": api.base_url,
        }
        code, document, err = await as_json(**variables)
    assert (code, err) == (0, b"")
    assert list(document) == ["version", "okta_proxy", "ok", "exit_code", "meaning", "problems", "steps"]
    steps = document.pop("steps")
    assert document == {
        "version": 1,
        "okta_proxy": __version__,
        "ok": True,
        "exit_code": 0,
        "meaning": "nothing failed",
        "problems": [],
    }
    names = [step["name"] for step in steps]
    assert names == ["config", "dns", "dns", "tls", "tls", "discovery", "clock", "token", "claims", "upstream"]
    assert {step["status"] for step in steps} == {"pass", "skip"}
    assert all(list(step) == ["name", "status", "detail", "remedy"] for step in steps)


async def test_a_script_gets_what_failed_and_no_secret():
    """A refused secret is exit code 3, its step has the remedy, and what the server repeated is stars."""
    said = f'{{"error": "invalid_client", "error_description": "not {SECRET}"}}'.encode()
    async with AuthorizationServer(client_id="0oa1client", client_secret=SECRET) as okta, EchoApi(okta) as api:
        okta.always(faults.Answer(401, said, "application/json"))
        variables = CONFIGURED | {"OKTA_PROXY_OAUTH__ISSUER": okta.issuer, "OKTA_PROXY_UPSTREAM__URL": api.base_url}
        code, document, err = await as_json(**variables)
    assert (code, err) == (3, b"")
    assert (document["ok"], document["exit_code"], document["meaning"]) == (False, 3, "a step failed")
    (failed,) = [step for step in document["steps"] if step["status"] == "fail"]
    assert failed["name"] == "token"
    assert failed["detail"] == "The token endpoint answered 401, invalid_client: not ***."
    assert any("oauth.client_secret" in line for line in failed["remedy"])
    assert document["problems"] == [failed["detail"]]
    assert SECRET not in json.dumps(document)


async def test_a_script_gets_the_problems_of_a_configuration(tmp_path):
    """A configuration that cannot be used is exit code 2, its problems a list, and each other step a skipped one."""
    file = tmp_path / "mine.yaml"
    file.write_text(f"upstream: {{url: 'ftp://x'}}\noauth:\n  client_secret: {SECRET}\n  scope: [a]\n")
    code, document, err = await as_json("-c", str(file))
    assert (code, err) == (2, b"")
    assert (document["ok"], document["meaning"]) == (False, "the configuration cannot be used")
    assert len(document["problems"]) == 4
    assert any("oauth.client_id" in problem for problem in document["problems"])
    skipped = [(name, "skip") for name in ("dns", "tls", "clock", "token", "claims", "upstream")]
    assert statuses(document) == [("config", "fail")] * 4 + skipped
    assert SECRET not in json.dumps(document)


async def test_a_script_may_stay_offline():
    """What needs the network is skipped, a step each."""
    code, document, _ = await as_json("--offline", **CONFIGURED)
    assert (code, document["ok"]) == (0, True)
    assert statuses(document)[:2] == [("config", "pass"), ("dns", "skip")]


async def test_a_script_without_any_configuration_gets_a_document():
    """That is exit code 2 as well, with the way out as the remedy."""
    code, document, _ = await as_json()
    assert (code, document["exit_code"]) == (2, 2)
    assert document["problems"][0].startswith("there is none:")
    assert document["steps"][0]["remedy"][0].startswith("Copy config.example.yaml")


# Files of keys.


def with_key(path, **more):
    """Return the variables of a client with a private key."""
    keys = {"OKTA_PROXY_OAUTH__CLIENT_SECRET": "", "OKTA_PROXY_OAUTH__PRIVATE_KEY_FILE": str(path)}
    return CONFIGURED | keys | {f"OKTA_PROXY_{name}": str(value) for name, value in more.items()}


def keep(path, content, mode=0o600):
    """Write a file with this mode."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_file_is_read_and_its_readers_are_looked_at(tmp_path, capsys):
    """What it holds is named by kid and algorithm; one that everybody can read is a warning with the command."""
    both = json.dumps({"keys": [jwk(make("P-256"), kid="new"), jwk(make("RSA"), kid="old")]}).encode()
    path = keep(tmp_path / "keys.json", both, 0o644)
    assert offline(**with_key(path)) == 0
    out = capsys.readouterr().out
    assert "oauth.private_key_file holds the key with the kid new (ES256) and the key with the kid old (RS256)" in out
    warned = f"WARN files: oauth.private_key_file: every user of this machine can read it\n     chmod 600 {path}\n"
    assert out.count("every user of this machine") == 1
    assert warned in out
    path.chmod(0o600)
    assert offline(**with_key(path)) == 0
    assert "PASS files: oauth.private_key_file: the other users" in capsys.readouterr().out


def test_a_passphrase_file_is_looked_at_too(tmp_path, capsys):
    """It is as secret as the key; neither is shown."""
    path = keep(tmp_path / "key.pem", pem(make("P-256"), passphrase=PASSPHRASE))
    passphrase = keep(tmp_path / "passphrase", PASSPHRASE + b"\n", 0o604)
    assert offline(**with_key(path, OAUTH__PRIVATE_KEY_PASSPHRASE_FILE=passphrase)) == 0
    out = capsys.readouterr().out
    assert "WARN files: oauth.private_key_passphrase_file: every user" in out
    assert PASSPHRASE.decode() not in out


@pytest.mark.parametrize("name", ["oauth", "upstream"])
def test_our_own_certificates_are_looked_at(tmp_path, capsys, name):
    """Both the one whose digest names the key and the one for the upstream are told to run out soon."""
    path = keep(tmp_path / "key.pem", rsa().as_pem(private=True))
    cert = keep(tmp_path / "cert.pem", certificate().encode())
    more = {"OAUTH__ASSERTION": f"{{certificate_file: {cert}}}"}
    if name == "upstream":
        more = {"UPSTREAM__CLIENT_CERT_FILE": cert, "UPSTREAM__CLIENT_KEY_FILE": path}
    assert offline(**with_key(path, **more)) == 0
    key = "oauth.assertion: certificate_file" if name == "oauth" else "upstream.client_cert_file"
    assert f"WARN files: {key} holds a certificate that is valid for less than a day more" in capsys.readouterr().out


def test_all_that_is_secret_is_known(tmp_path):
    """Every line of a secret file, passwords of both outbound proxies, keys and passphrase are kept out of reports."""
    secret = keep(tmp_path / "secret", b"line-one-0815\nline-two-0815\n")
    plain = {"OKTA_PROXY_OAUTH__CLIENT_SECRET": "", "OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE": str(secret)}
    proxies = {
        "OKTA_PROXY_OAUTH__PROXY": "http://me:hush%20one@proxy.example.com:3128",
        "OKTA_PROXY_UPSTREAM__PROXY": "http://me:hush-two@proxy.example.com:3128",
    }
    found = set(check.secrets_of(load(None, CONFIGURED | plain | proxies).settings))
    assert {"line-one-0815", "line-two-0815", "hush one", "hush%20one", "hush-two"} <= found
    path = keep(tmp_path / "key.pem", pem(make("P-256"), passphrase=PASSPHRASE))
    passphrase = keep(tmp_path / "passphrase", PASSPHRASE + b"\n")
    variables = with_key(path, OAUTH__PRIVATE_KEY_PASSPHRASE_FILE=passphrase)
    found = set(check.secrets_of(load(None, variables).settings))
    assert PASSPHRASE.decode() in found
    assert {line for line in path.read_text().splitlines() if "--" not in line and len(line) > 24} <= found
