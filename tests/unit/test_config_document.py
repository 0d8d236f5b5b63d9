"""The file: YAML, its keys and what is said of their mistakes."""

from pathlib import Path

import pytest

from proxy.config.document import Bare, parse, parse_map
from proxy.config.loading import FILE_LIMIT, load
from proxy.errors import ConfigError


def problem(text: str) -> str:
    """Return the one problem for which *text* is no document at all."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "config.yaml")
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "null", "~", "log:\n  # nothing\n", "log: {}"])
def test_a_file_may_set_nothing(text: str) -> None:
    """Empty files and empty sections, as a file full of comments has them, are no mistake."""
    assert parse(text, "config.yaml") == ({}, [])


@pytest.mark.parametrize(
    ("written", "raw"),
    [
        ("text", "text"),
        ("'12'", "12"),
        ('"a\\nb"', "a\nb"),
        ("12345", "12345"),
        ("-7", "-7"),
        ("0oa1b2c3", "0oa1b2c3"),
        ("!!str 1.5", "1.5"),
        ('""', ""),
        ("[a, 'b', 3]", ["a", "b", "3"]),
        ("[a, null, ~]", ["a", None, None]),
        ("{a: b, c: 1, d: }", {"a": "b", "c": "1", "d": None}),
    ],
)
def test_values_stay_the_text_they_are(written: str, raw: object) -> None:
    """Nothing is made of a value before its key is known; an empty one is None."""
    entries, problems = parse(f"oauth:\n  client_id: {written}\n", "config.yaml")
    assert problems == []
    assert entries["oauth.client_id"] == (raw, "config.yaml line 2")
    assert not isinstance(entries["oauth.client_id"].raw, Bare)


@pytest.mark.parametrize(
    "written", ["true", "off", "1.10", "0123", "0x1f", "1_000", "12:30:45", "2026-01-01", ".inf", "=", "<<"]
)
def test_what_yaml_would_change_is_marked(written: str) -> None:
    """A value that YAML reads as something other than its text keeps the text, and is known for it."""
    entries, problems = parse(f"oauth: {{client_id: {written}}}", "config.yaml")
    assert problems == []
    assert entries["oauth.client_id"].raw == written
    assert isinstance(entries["oauth.client_id"].raw, Bare)


@pytest.mark.parametrize("written", ["null", "~", "", "Null"])
def test_null_is_not_set(written: str) -> None:
    """A key without a value is as if it did not stand there."""
    assert parse(f"oauth:\n  client_id: {written}\n", "config.yaml") == ({}, [])


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("oauth: a: b", 1, "colon"),
        ("oauth:\n\tclient_id: x", 2, "tab"),
        ("oauth:\n  client_id: 'x\n\n", 2, "quote is not closed"),
        ("oauth:\n  scopes: [x\n\n", 2, "bracket"),
        ("oauth:\n  client_secret: *s3cret", 2, "*"),
        ("oauth:\n  client_secret: &s3cret&", 2, "&"),
        ("oauth:\n  client_secret: !<s3cret", 2, "!"),
        ("oauth:\n  client_secret: @s3cret", 2, "@"),
        ("oauth:\n  client_secret: %s3cret", 2, "%"),
        ('oauth:\n  client_secret: "\\s3cret"', 2, "backslash"),
        ('oauth:\n  client_secret: "\\xs3cret"', 2, "backslash"),
        ("oauth:\n  client_id: x\n  client_secret:s3cret\n", 4, "blank behind it"),
        ("oauth: {}\n---\noauth: {}", 2, "---"),
        ("oauth:\n  client_id: x\n client_secret: s3cret", 3, "indentation"),
        ("oauth:\n  - x\n  s3cret: y", 3, "indentation"),
        ("oauth: \x01s3cret", 1, "control character"),
        ("a: b\nc: d\ne: \x02", 3, "control character"),
    ],
)
def test_a_syntax_error_names_its_line_and_quotes_nothing(text: str, line: int, hint: str) -> None:
    """The line is named and what is probably wrong, in one line that holds nothing of the file."""
    message = problem(text)
    assert message.startswith(f"config.yaml line {line}: ")
    assert hint in message
    assert "s3cret" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- oauth", "must be a mapping"),
        ("s3cret", "must be a mapping"),
        ("[" * 1000, "nested too deeply"),
        ('oauth: "\\Uffffffff"', "no character"),
    ],
)
def test_what_is_no_configuration_at_all_is_named(text: str, message: str) -> None:
    """Neither a list, nor endless nesting, nor an impossible escape gets through PyYAML as an exception of its own."""
    assert message in problem(text)
    assert "s3cret" not in problem(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo: 1", "foo: unknown section (c line 1)"),
        ("lisen: {port: 1}", "lisen: unknown section, did you mean listen? (c line 1)"),
        (
            "client_id: x",
            "client_id: unknown section, oauth.client_id is written as client_id: below oauth: (c line 1)",
        ),
        (
            "\noauth.issuer: x",
            "oauth.issuer: unknown section, oauth.issuer is written as issuer: below oauth: (c line 2)",
        ),
        (
            "oauth:\n  client_sceret: x",
            "oauth.client_sceret: unknown key, did you mean oauth.client_secret? (c line 2)",
        ),
        ("oauth: {clientId: x}", "oauth.clientId: unknown key, did you mean oauth.client_id? (c line 1)"),
        ("oauth: {token-url: x}", "oauth.token-url: unknown key, did you mean oauth.token_url? (c line 1)"),
        (
            "log: {ca_file: x}",
            "log.ca_file: unknown key, upstream.ca_file is written as ca_file: below upstream: (c line 1)",
        ),
        ("log: {zzz: x}", "log.zzz: unknown key, known are level, format (c line 1)"),
        ("log: {'a b': x}", "log.?: unknown key, known are level, format (c line 1)"),
        ("oauth: {client_secret:s3cret}", "oauth.?: unknown key, did you mean oauth.client_secret? (c line 1)"),
        ("oauth: s3cret", "oauth: must be a mapping of keys, one a line below it, further to the right (c line 1)"),
        ("oauth: [s3cret]", "oauth: must be a mapping of keys, one a line below it, further to the right (c line 1)"),
        ("? [a]\n: b", "the file: has a key that is a list or a map (c line 1)"),
        ("oauth: {[a]: b}", "oauth: has a key that is a list or a map (c line 1)"),
        ("oauth:\n  issuer: x\n  issuer: y", "oauth.issuer: stands in line 2 already: keep one of them (c line 3)"),
        ("log: {}\nlog: {}", "log: stands in line 1 already: keep one of them (c line 2)"),
        (
            "upstream: {headers: {X: a, X: b}}",
            "upstream.headers.X: stands in line 1 already: keep one of them (c line 1)",
        ),
        (
            "oauth: {scopes: [[s3cret]]}",
            "oauth.scopes: has a list or a map inside a list or a map: write texts there (c line 1)",
        ),
        (
            "oauth: {client_secret: !s3cret x}",
            "oauth.client_secret: has a YAML tag: put a value that begins with ! in quotes (c line 1)",
        ),
        ("on: 1", "on: unknown section (c line 1)"),
        ("1: 1", "1: unknown section (c line 1)"),
    ],
)
def test_a_wrong_key_is_named_with_the_right_one(text: str, expected: str) -> None:
    """The message names the key, the nearest one, or where a key of that name stands, and the line."""
    assert parse(text, "c")[1] == [expected]


def test_an_alias_that_holds_itself_does_no_harm() -> None:
    """Nodes are read three levels deep, so endless structures end."""
    _, problems = parse("oauth: &a {scopes: [*a], extra_params: *a}", "c")
    assert problems != []


@pytest.mark.parametrize("text", ["", "x", "[x]", "a: b: c", "{a: [b]}", "{a: b, a: c}", "{[a]: b}"])
def test_a_map_in_one_text_must_be_one(text: str) -> None:
    """The environment writes maps as YAML; anything else is said to be none."""
    with pytest.raises(ValueError, match="must be a map"):
        parse_map(text)


def test_a_map_in_one_text_may_be_written_in_both_ways() -> None:
    """Flow and block style are the same."""
    assert parse_map("{a: b, c: 1}") == parse_map("a: b\nc: 1") == {"a": "b", "c": "1"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: b\nc: \xff\xfe", "line 2: is not UTF-8"),
        ("oauth: {}".encode("utf-16"), "line 1: is not UTF-8"),
        (b"#" * (FILE_LIMIT + 1), "larger than 256 KiB"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    """Other encodings and huge files have a message, not a traceback."""
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        load(str(path), {})


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Some editors put one at the beginning."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbflog: {level: loud}")
    with pytest.raises(ConfigError) as caught:
        load(str(path), {})
    assert f"log.level: must be one of debug, info, warning, error ({path} line 1)" in caught.value.problems


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\x00b", "a\nb"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """Missing files, folders and impossible names are one line each."""
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load(f"{tmp_path}/{name}", {})
    assert len(str(caught.value).splitlines()) == 1
