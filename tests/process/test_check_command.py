"""`okta-proxy check` as a command: where the configuration comes from, exit codes, Ctrl-C, colours."""

import asyncio
import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli import check
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
