"""Finding the configuration, and what overrides what."""

import os
from pathlib import Path

import pytest

from proxy.config import find, load, loading
from proxy.errors import ConfigError

GOOD = """\
upstream: {url: "https://file.example"}
oauth:
  issuer: https://dev-1.okta.com/oauth2/default
  client_id: file
  client_secret: ${OKTA_CLIENT_SECRET}
log: {level: warning}
"""
ENVIRON = {"OKTA_CLIENT_SECRET": "s3cret"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a good file."""
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def test_flag_beats_environment_beats_file_beats_default(file: Path) -> None:
    """Each key on its own."""
    environ = ENVIRON | {
        "OKTA_PROXY_OAUTH__CLIENT_ID": "environment",
        "OKTA_PROXY_LISTEN__PORT": "9001",
        "OKTA_PROXY_LOG__LEVEL": "error",
    }
    flags = {"listen.port": 9002, "upstream.url": "https://flag.example", "log.level": None}
    settings = load(str(file), environ, flags=flags).settings
    assert settings.listen.port == 9002
    assert settings.upstream.url.host == "flag.example"
    assert settings.oauth.client_id == "environment"
    assert settings.oauth.issuer == "https://dev-1.okta.com/oauth2/default"
    assert settings.log.level == "error"
    assert settings.log.format == "auto"


def test_empty_variables_and_flags_override_nothing(file: Path) -> None:
    """An empty one is an unset one."""
    settings = load(str(file), ENVIRON | {"OKTA_PROXY_LOG__LEVEL": ""}, flags={"log.level": ""}).settings
    assert settings.log.level == "warning"


def test_messages_name_the_place(file: Path) -> None:
    """The file's line, the variable, or the flag."""
    file.write_text(GOOD.replace("warning", "loud"))
    with pytest.raises(ConfigError) as caught:
        load(str(file), ENVIRON | {"OKTA_PROXY_LISTEN__HOST": "a b"}, flags={"listen.port": "x"})
    assert caught.value.problems == [
        "listen.host: must not contain a blank, a line break or a control character (OKTA_PROXY_LISTEN__HOST)",
        "listen.port: must be a whole number from 0 to 65535 (--port)",
        f"log.level: must be one of debug, info, warning, error ({file} line 6)",
    ]


def test_a_reference_that_is_overridden_need_not_be_set(file: Path) -> None:
    """The file of one place serves in another, where the environment has the secret."""
    with pytest.raises(ConfigError) as caught:
        load(str(file), {})
    remedy = f"set it, or write ${{OKTA_CLIENT_SECRET:-default}} ({file} line 5)"
    assert caught.value.problems == [
        f"oauth.client_secret: the environment variable OKTA_CLIENT_SECRET is not set: {remedy}"
    ]
    secret = load(str(file), {"OKTA_PROXY_OAUTH__CLIENT_SECRET": "other"}).settings.oauth.client_secret
    assert secret is not None
    assert secret.reveal() == "other"


def test_references_are_for_the_file_alone(file: Path) -> None:
    """A variable's value is taken as it is, also if it looks like a reference."""
    settings = load(str(file), ENVIRON | {"OKTA_PROXY_OAUTH__CLIENT_SECRET": "${HOME}"}).settings
    assert settings.oauth.client_secret is not None
    assert settings.oauth.client_secret.reveal() == "${HOME}"


@pytest.mark.parametrize("secret", ["a: b # c", "*a", "${HOME}", "o+d%20d:s/e c=r&e?t", "'\"", "- x", "é"])
def test_a_secret_may_hold_what_yaml_minds(file: Path, secret: str) -> None:
    """References are replaced after YAML was read, and once; a line break at the end does not count."""
    settings = load(str(file), {"OKTA_CLIENT_SECRET": f"{secret}\n"}).settings
    assert settings.oauth.client_secret is not None
    assert settings.oauth.client_secret.reveal() == secret


def test_a_number_may_be_a_reference(file: Path) -> None:
    """`${PORT}` is the number that PORT is."""
    file.write_text(f"{GOOD}listen: {{port: '${{PORT}}', allow_remote: '${{REMOTE:-false}}'}}\n")
    assert load(str(file), ENVIRON | {"PORT": "9000"}).settings.listen.port == 9000


def test_an_empty_scheme_is_a_scheme(file: Path) -> None:
    """It sends the bare token; everywhere else an empty text is an unset key."""
    file.write_text(f"{GOOD}inject: {{scheme: '', header: ''}}\n")
    settings = load(str(file), ENVIRON).settings
    assert settings.inject.scheme == ""
    assert settings.inject.header == "Authorization"
    file.write_text(GOOD)
    assert load(str(file), ENVIRON).settings.inject.scheme is None
    assert load(str(file), ENVIRON | {"OKTA_PROXY_INJECT__SCHEME": '""'}).settings.inject.scheme == ""


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX'")
def test_a_secret_that_every_user_can_read_is_warned_of(file: Path) -> None:
    """If it stands in the file itself; a reference is no secret."""
    file.chmod(0o644)
    assert load(str(file), ENVIRON).warnings == []
    file.write_text(GOOD.replace("${OKTA_CLIENT_SECRET}", "s3cret"))
    assert load(str(file), {}).warnings == [
        f"oauth.client_secret: every user of this machine can read it: chmod 600 {file}"
    ]
    file.chmod(0o640)
    assert load(str(file), {}).warnings == []


def test_the_file_is_looked_for_in_four_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag, the variable, then the defaults in their order; None if there is none."""
    monkeypatch.chdir(tmp_path)
    assert loading.DEFAULT_FILES == ("config.yaml", "/etc/okta-proxy/config.yaml")
    system = tmp_path / "etc.yaml"
    monkeypatch.setattr(loading, "DEFAULT_FILES", ("config.yaml", str(system)))
    assert find(None, {"OKTA_PROXY_CONFIG": ""}) is None
    system.touch()
    assert find(None, {}) == str(system)
    Path("config.yaml").touch()
    assert find(None, {}) == "config.yaml"
    Path("variable.yaml").touch()
    assert find(None, {"OKTA_PROXY_CONFIG": "variable.yaml"}) == "variable.yaml"
    Path("flag.yaml").touch()
    assert find("flag.yaml", {"OKTA_PROXY_CONFIG": "variable.yaml"}) == "flag.yaml"


@pytest.mark.parametrize(
    ("flag", "environ", "problem"),
    [
        ("missing.yaml", {}, "missing.yaml: there is no such file (-c names it)"),
        (None, {"OKTA_PROXY_CONFIG": "a\nb"}, "'a\\nb': there is no such file (OKTA_PROXY_CONFIG names it)"),
    ],
)
def test_a_named_file_must_be_there(
    flag: str | None, environ: dict[str, str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever names a file does not mean another one, also if there is a config.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        find(flag, environ)
    assert caught.value.problems == [problem]
