"""What the documentation promises of the configuration: the example, the page and the program say the same."""

import re
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml

from proxy.config import load, schema
from proxy.config.environment import NAMES
from proxy.config.keys import KEYS, SECTIONS
from proxy.config.values import spell
from proxy.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"
PAGE = (ROOT / "docs" / "configuration.md").read_text()
ENVIRON = {"OKTA_CLIENT_ID": "0oa1b2c3", "OKTA_CLIENT_SECRET": "a: b #${c}"}
SETTING = re.compile(r"^( *)#(?=[^ #])", re.MULTILINE)
"""`#key: value` is a setting, `# text` is prose."""


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    """Return the example with every setting in force."""
    path = tmp_path / "config.yaml"
    path.write_text(SETTING.sub(r"\1", EXAMPLE.read_text()))
    return path


def test_the_example_loads_with_two_variables() -> None:
    """Those and no others are needed, and there is nothing to warn of."""
    assert set(re.findall(r"\$\{(.*?)\}", EXAMPLE.read_text())) == set(ENVIRON)
    loaded = load(str(EXAMPLE), ENVIRON)
    assert loaded.warnings == []
    assert loaded.settings.oauth.client_id == "0oa1b2c3"
    with pytest.raises(ConfigError) as caught:
        load(str(EXAMPLE), {})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "oauth.client_id",
        "oauth.client_secret",
    ]


def test_the_example_has_every_key_and_nothing_else(complete: Path) -> None:
    """Sections and keys stand in the order of the documentation."""
    document = yaml.safe_load(complete.read_text())
    assert list(document) == list(SECTIONS)
    assert [f"{section}.{name}" for section, keys in document.items() for name in keys] == list(KEYS)


def test_the_example_explains_every_key(complete: Path) -> None:
    """A comment stands above each key, one above the pair of client ID and secret."""
    lines = complete.read_text().splitlines()
    bare = [line for above, line in pairwise(lines) if re.match(r" *[a-z]", line) and "#" not in above]
    assert [line.strip() for line in bare] == ["client_secret: ${OKTA_CLIENT_SECRET}"]


def test_the_example_shows_the_defaults(complete: Path) -> None:
    """Removing every `#` changes nothing (but that the admin listener's port is written out)."""
    loaded = load(str(complete), ENVIRON)
    assert loaded.warnings == []
    example = load(str(EXAMPLE), ENVIRON | {"OKTA_PROXY_ADMIN__PORT": "8081"}).settings
    assert example.admin.port == example.listen.port + 1
    assert loaded.settings == example


def test_the_example_is_valid_for_an_editor(complete: Path) -> None:
    """The JSON Schema accepts the file as it is, and with every setting in force."""
    validator = jsonschema.Draft202012Validator(schema())
    validator.validate(yaml.safe_load(EXAMPLE.read_text()))
    validator.validate(yaml.safe_load(complete.read_text()))


def test_the_page_has_every_key_with_its_default() -> None:
    """One row a key, in the order of the file; where a default can be spelt, it is that one."""
    part = PAGE.partition("## Every key")[2].partition("## Issuer")[0]
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.+?) \| (.+) \|$", part, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(KEYS)
    for name, default, _ in rows:
        value = KEYS[name].default
        words = {True: "true", False: "false"}
        if value in (None, (), {}):
            assert not re.fullmatch("`[^`]*`", default), name
        else:
            spelt = spell(KEYS[name], value)
            assert default == f"`{words[spelt] if isinstance(spelt, bool) else spelt}`", name


def test_the_pages_variables_exist() -> None:
    """Each variable that the page names is one, or is named as one that is none."""
    variables = set(re.findall(r"OKTA_PROXY_\w+", PAGE))
    assert variables - set(NAMES) == {"OKTA_PROXY_CONFIG", "OKTA_PROXY_PORT"}


def test_the_pages_first_example_loads(tmp_path: Path) -> None:
    """It can be copied."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "config.yaml"
    path.write_text(blocks[0])
    settings = load(str(path), ENVIRON).settings
    assert settings.oauth.scopes == ("api.read",)


def test_the_pages_environment_is_a_whole_configuration(tmp_path: Path) -> None:
    """The docker command's variables, with a secret file, are all that is needed."""
    secret = tmp_path / "okta-secret"
    secret.write_text("s3cret\n")
    pairs = re.findall(r"-e (OKTA_PROXY_\w+)(?:=(\"[^\"]*\"|\S+))?", PAGE)
    environ = {name: value.strip('"') or "id" for name, value in pairs}
    environ["OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE"] = str(secret)
    loaded = load(None, environ)
    assert loaded.settings.oauth.scopes == ("api.read", "api.write")
    assert [warning.partition(":")[0] for warning in loaded.warnings] == ["listen.host"]


def test_every_problem_is_reported_in_one_run(tmp_path: Path) -> None:
    """File, environment and rules between keys, one line each, without a value."""
    path = tmp_path / "config.yaml"
    path.write_text(
        """\
listen: {host: 0.0.0.0, prot: 8080}
upstream: {url: http://user:s3cret@api, connect_timeout: 10}
oauth: {issuer: https://dev-1-admin.okta.com, client_secret: '${MISSING}', client_secret_file: /s3cret}
"""
    )
    with pytest.raises(ConfigError) as caught:
        load(str(path), {"OKTA_PROXY_LOG__LEVEL": "s3cret"})
    assert [re.split(r": | \(", problem)[0] for problem in caught.value.problems] == [
        "listen.prot",
        "upstream.url",
        "upstream.connect_timeout",
        "oauth.issuer",
        "oauth.client_secret",
        "oauth.client_secret_file",
        "log.level",
        "oauth.client_id",
        "oauth.client_secret",
        "listen.host",
    ]
    assert "s3cret" not in str(caught.value)
