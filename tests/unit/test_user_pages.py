"""What the README and the pages in docs/ name exists: files, commands, flags, keys, variables, codes, metrics."""

import argparse
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import PAGES, README, ROOT, Block, blocks, inline_code, prose
from private_keys import make, pem

from proxy import errors
from proxy.admin import server as admin_server
from proxy.admin.access import ROUTES
from proxy.cli import _parser
from proxy.config import load
from proxy.config.environment import NAMES
from proxy.config.keys import KEYS, SECTIONS
from proxy.emulator.errors import names, oauth_error

BASE = {
    "upstream": {"url": "https://api.example.com"},
    "oauth": {"issuer": "https://dev-123456.okta.com/oauth2/default", "client_id": "0oa1example"},
}
VARIABLES = {"OKTA_CLIENT_ID": "0oa1example", "OKTA_CLIENT_SECRET": "example-secret"}
WRONG_ON_PURPOSE = {"OKTA_PROXY_PORT", "OKTA_PROXY_OAUTH_CLIENT_ID"}
"""Variables that pages name as none of ours."""
NOT_OURS = {"apiVersion", "groups", "initContainers", "livenessProbe", "readinessProbe", "scrape_configs", "services"}
"""Keys at the top of YAML that is another program's."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@each_page
def test_links_lead_somewhere(page: Path):
    """Each relative link is a file of the repository, and its anchor a heading of that file."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
            assert anchor in map(slug, headings), target


def invocations(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each `okta-proxy` that a shell line runs; one without any is a name, no command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # an apostrophe: inline code that is no command
        return
    for position, word in enumerate(words):
        before = words[position - 1] if position else ";"
        begins = is_operator(before) or before in {"nohup", "exec"} or "=" in before
        if not begins or word.rpartition("/")[2] != "okta-proxy":
            continue
        arguments = list(takewhile(lambda other: not is_operator(other), words[position + 1 :]))
        arguments = [argument for argument in arguments if argument != "..."]
        if arguments:
            yield arguments


def is_operator(word: str) -> bool:
    """Tell whether *word* ends a command: a pipe, a redirection, `&`, a parenthesis."""
    return set(word) <= set("();<>|&")


def command_lines(page: Path) -> Iterator[str]:
    """Yield what may be a command line: the lines of shell blocks and sessions, lists in YAML, inline code."""
    for block in blocks(page, "sh", "console", "shell", "bash"):
        lines = block.text.replace("\\\n", " ").splitlines()
        yield from (line.removeprefix("$ ") for line in lines if block.language != "console" or line.startswith("$ "))
    for block in blocks(page, "yaml"):
        for found in re.findall(r"(?:command|test): \[(?:CMD, )?(okta-proxy[^\]]*)\]", block.text):
            yield found.replace(",", " ")
    for code in inline_code(page):
        # What stands in brackets may be left out.
        yield re.sub(r"\[[^\]]*\]", "", code)


@each_page
def test_command_lines_are_understood(page: Path):
    """Each `okta-proxy ...` of a page is accepted by the real argument parser."""
    for line in command_lines(page):
        for arguments in invocations(line):
            try:
                _parser().parse_args(arguments)
            except SystemExit as end:
                assert end.code == 0, f"okta-proxy {' '.join(arguments)}"  # noqa: PT017  # argparse leaves that way


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Return the commands of the real parser."""
    for action in _parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError


def test_the_command_table_is_complete():
    """The README's table has a row for each command, and each of its flags stands there."""
    rows = dict(re.findall(r"^\| `okta-proxy (\w+)` \| (.*) \|$", README.read_text(), re.MULTILINE))
    commands = subcommands()
    assert list(rows) == list(commands)
    for name, parser in commands.items():
        flags = [action.option_strings[0] for action in parser._actions if action.dest != "help"]
        assert [flag for flag in flags if f"`{flag}" not in rows[name]] == [], name


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return *base* with the values of *over*, section by section."""
    return base | {name: base.get(name, {}) | section for name, section in over.items()}


@pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page, "yaml")], ids=lambda block: block.where
)
def test_configurations_load(block: Block, tmp_path: Path):
    """Each configuration can be loaded, with what it leaves out added; other YAML can be read."""
    documents = list(yaml.safe_load_all(block.text))
    for document in documents:
        if document is None:  # a comment alone
            continue
        if not set(document) <= set(SECTIONS):
            assert set(document) & NOT_OURS, f"{sorted(document)} is neither ours nor known to be another's"
            continue
        whole = merged(BASE, document)
        for section in whole.values():
            for name in {name for name in section if name.endswith("_file")}:
                # Such a file is on the reader's machine, not here.
                (tmp_path / name).touch(0o600)
                key = name == "private_key_file"
                (tmp_path / name).write_bytes(pem(make("P-256")) if key else b"-----BEGIN CERTIFICATE-----\n")
                section[name] = str(tmp_path / name)
        if not set(whole["oauth"]) & {"client_secret_file", "client_secret_command", "private_key_file"}:
            whole["oauth"].setdefault("client_secret", "${OKTA_CLIENT_SECRET}")
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(whole))
        load(str(path), VARIABLES)


def test_the_first_configuration_is_whole_and_short(tmp_path: Path):
    """The README's configuration loads as it stands there, and is no more than ten lines."""
    text = blocks(README, "yaml")[0].text
    assert len(text.splitlines()) <= 10
    path = tmp_path / "config.yaml"
    path.write_text(text)
    settings = load(str(path), VARIABLES).settings
    assert str(settings.upstream.url) == "https://api.example.com"
    assert settings.oauth.scopes == ("api.read",)


@each_page
def test_variables_exist(page: Path):
    """Each OKTA_PROXY_ variable is one that is read, or named as one that is not."""
    named = set(re.findall(r"\bOKTA_PROXY_[A-Z][A-Z0-9_]*", page.read_text()))
    assert named - set(NAMES) - {"OKTA_PROXY_CONFIG"} - WRONG_ON_PURPOSE == set()


@each_page
def test_keys_exist(page: Path):
    """Each `section.key` is a key of the configuration."""
    pattern = rf"({'|'.join(SECTIONS)})\.[a-z_]+"
    named = {match[0] for code in inline_code(page) if (match := re.fullmatch(rf"({pattern})(: .*)?", code))}
    named = {name.partition(":")[0] for name in named if not name.endswith(".py")}
    assert named - set(KEYS) == set()


def codes(base: type[errors.ProxyError]) -> set[str]:
    """Return the codes of *base* and of all errors below it."""
    return {base.code}.union(*map(codes, base.__subclasses__()))


@each_page
def test_answers_exist(page: Path):
    """A status with a code behind it, as in 502 `token_refused`, is an answer that there is."""
    # The admin listener has errors of its own.
    assert admin_server.NotReadyError.code
    known = codes(errors.ProxyError)
    for status, code in re.findall(r"\b([45]\d\d) `([a-z_]+)`", prose(page)):
        assert code in known, code
        statuses = {
            error.status
            for error in vars(errors).values()
            if isinstance(error, type) and issubclass(error, errors.ProxyError) and error.code == code
        }
        assert not statuses or int(status) in statuses, (status, code)


@each_page
def test_admin_paths_exist(page: Path):
    """Each `POST /path` is a path of the admin listener that takes it, and each probe is one."""
    for code in inline_code(page):
        match = re.fullmatch(r"(GET|POST) (/[a-z]*)", code)
        if match:
            assert match[1] in ROUTES.get(match[2], ()), code
    for line in command_lines(page):
        for path in re.findall(r"http://localhost:8081(/[a-z]+)", line):
            assert path in ROUTES, line


@each_page
def test_metrics_exist(page: Path):
    """Each metric is one that the admin listener has."""
    source = (ROOT / "proxy/admin/metrics.py").read_text()
    known = set(re.findall(r'"(okta_proxy_\w+)"', source))
    known |= {name + suffix for name in known for suffix in ("_info", "_count", "_sum", "_bucket")}
    assert set(re.findall(r"\bokta_proxy_[a-z_]+[a-z]", page.read_text())) - known == set()


def test_oktas_texts_are_oktas():
    """Each refusal in docs/okta.md's table has the words that Okta has for that error."""
    rows = re.findall(r"^\| `([a-z_]+)`: (.+?) \|", (ROOT / "docs/okta.md").read_text(), re.MULTILINE)
    assert len(rows) >= 8
    known = [oauth_error(name) for name in names()]
    for error, text in rows:
        pieces = [piece.strip() for piece in text.split("...") if piece.strip()]
        described = [found.description for found in known if found.error == error]
        assert any(all(piece in description for piece in pieces) for description in described), (error, text)
