"""From the text that was written to the value that a key has."""

import pytest

from proxy.config.document import Bare, Raw
from proxy.config.keys import KEYS, SECTIONS
from proxy.config.settings import Secret
from proxy.config.values import convert, spell

DURATION = "must be a time with its unit, as in 500ms, 5s, 2m, 1h, or 0 for none, at most 8760h"


@pytest.mark.parametrize(
    ("full", "raw", "value"),
    [
        ("upstream.connect_timeout", "500ms", 0.5),
        ("upstream.connect_timeout", "5s", 5.0),
        ("upstream.connect_timeout", "1.5s", 1.5),
        ("upstream.connect_timeout", "2m", 120.0),
        ("upstream.connect_timeout", "1h", 3600.0),
        ("upstream.connect_timeout", "0", 0.0),
        ("upstream.connect_timeout", "0s", 0.0),
        ("upstream.connect_timeout", "8760h", 31536000.0),
        ("limits.head_size", "64KiB", 65536),
        ("limits.head_size", "1MiB", 1048576),
        ("limits.head_size", "2048", 2048),
        ("limits.head_size", "2048B", 2048),
        ("limits.body_size", "1GiB", 1073741824),
        ("limits.body_size", "0", 0),
        ("listen.port", "0", 0),
        ("listen.port", "65535", 65535),
        ("admin.port", "9", 9),
        ("admin.enabled", "true", True),
        ("admin.enabled", Bare("Yes"), True),
        ("admin.enabled", "1", True),
        ("admin.enabled", Bare("off"), False),
        ("admin.enabled", "FALSE", False),
        ("upstream.via", Bare("off"), "off"),
        ("log.level", "DEBUG", "debug"),
        ("oauth.client_id", "12345", "12345"),
        ("oauth.client_secret", "a: b #é", Secret("a: b #é")),
        ("oauth.scopes", "a", ("a",)),
        ("oauth.scopes", " a, b  c,\nd", ("a", "b", "c", "d")),
        ("oauth.scopes", ["a", None, "", "b", "a"], ("a", "b")),
        ("oauth.scopes", [], ()),
        ("oauth.scopes", "[api.read]", ("api.read",)),
        ("oauth.scopes", ' [a, "b", null, a] ', ("a", "b")),
        ("oauth.scopes", "[]", ()),
        ("guard.allowed_hosts", "[::1]", ("[::1]",)),
        ("guard.allowed_hosts", "[::1] [::2]", ("[::1]", "[::2]")),
        ("oauth.client_secret_command", "op read 'op://a/b c' read", ("op", "read", "op://a/b c", "read")),
        ("oauth.client_secret_command", ["vault", "kv", "kv", "a,b", ""], ("vault", "kv", "kv", "a,b", "")),
        ("oauth.client_secret_command", "[vault, kv, 'a b']", ("vault", "kv", "a b")),
        ("oauth.client_secret_command", [], ()),
        ("oauth.private_key", "-----BEGIN\nab\r\n\tc", Secret("-----BEGIN\nab\r\n\tc")),
        ("oauth.extra_params", {"a": "1", "b": None, "c": ""}, {"a": "1", "c": ""}),
        ("oauth.extra_params", "{a: 1, b: }", {"a": "1"}),
    ],
)
def test_a_text_becomes_its_keys_value(full: str, raw: Raw, value: object) -> None:
    """Units, words and numbers are understood as users write them."""
    converted = convert(KEYS[full], raw)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("full", "raw", "message"),
    [
        ("upstream.connect_timeout", "5", DURATION),
        ("upstream.connect_timeout", "-5s", DURATION),
        ("upstream.connect_timeout", "5 s", DURATION),
        ("upstream.connect_timeout", "1d", DURATION),
        ("upstream.connect_timeout", "1h30m", DURATION),
        ("upstream.connect_timeout", "8761h", DURATION),
        ("upstream.connect_timeout", "\u0665s", DURATION),
        ("upstream.connect_timeout", Bare("1.5"), DURATION),
        ("limits.head_size", "64KB", "must be a size with its unit, as in 64KiB or 1MiB, from 1KiB to 16MiB"),
        ("limits.head_size", "1", "must be a size with its unit, as in 64KiB or 1MiB, from 1KiB to 16MiB"),
        ("limits.head_size", "17MiB", "must be a size with its unit, as in 64KiB or 1MiB, from 1KiB to 16MiB"),
        ("listen.port", "65536", "must be a whole number from 0 to 65535"),
        ("listen.port", "-1", "must be a whole number from 0 to 65535"),
        ("listen.port", "8080x", "must be a whole number from 0 to 65535"),
        ("listen.port", Bare("0x1f"), "must be a whole number from 0 to 65535"),
        ("listen.port", "9" * 5000, "must be a whole number from 0 to 65535"),
        ("limits.requests", "0", "must be a whole number from 1 to 1000000"),
        ("admin.enabled", "maybe", "must be true or false"),
        ("admin.enabled", ["true"], "must be one value, not a list or a map"),
        ("upstream.via", "true", "must be one of auto, on, off"),
        ("log.level", "loud", "must be one of debug, info, warning, error"),
        ("log.level", {"a": "b"}, "must be one value, not a list or a map"),
        ("oauth.client_id", Bare("1.10"), "must be text: put the value in quotes"),
        ("oauth.client_secret", Bare("true"), "must be text: put the value in quotes"),
        ("oauth.client_secret", ["x"], "must be one value, not a list or a map"),
        ("oauth.client_secret", "a\nb", "must not contain a line break or a control character"),
        ("oauth.client_secret", "a\u2028b", "must not contain a line break or a control character"),
        ("oauth.client_secret", "a\udcffb", "is not valid UTF-8"),
        ("upstream.url", Bare("1.5"), "must be text: put the value in quotes"),
        ("upstream.url", "x", "must begin with https:// or http://"),
        ("oauth.scopes", {"a": "b"}, "must be a list, as in [one, two]"),
        ("oauth.client_secret_command", {"op": "read"}, "must be a list, as in [op, read, reference]"),
        (
            "oauth.client_secret_command",
            "op 'read",
            "has a quote that is not closed: write a list, as in [op, read, reference]",
        ),
        ("oauth.client_secret_command", ["", "read"], "must begin with the name of a program"),
        ("oauth.client_secret_command", ["op", None], "entry 2 must be text: put the value in quotes"),
        ("oauth.private_key", "a\x00b", "must not contain a line break or a control character"),
        ("oauth.scopes", "[a, yes]", "entry 2 must be text: put the value in quotes"),
        (
            "oauth.scopes",
            "[a: b]",
            "must be a list of texts: put an entry that holds a colon, a brace or a mark in quotes",
        ),
        ("oauth.scopes", "[@a]", "must be a list, written as YAML or with blanks or commas: [one, two] or one two"),
        ("oauth.scopes", Bare("true"), "entry 1 must be text: put the value in quotes"),
        ("oauth.extra_params", ["a"], "must be a map, as in {name: value}"),
        ("oauth.extra_params", "a", "must be a map, written as YAML: {name: value, name: value}"),
        ("oauth.extra_params", {"a\n": "x"}, "must not contain a line break or a control character"),
    ],
)
def test_a_text_that_spells_no_value_is_refused(full: str, raw: Raw, message: str) -> None:
    """The message says what there must be instead, and does not hold the value."""
    with pytest.raises(ValueError, match=r".") as caught:
        convert(KEYS[full], raw)
    assert caught.value.args == (message,)


def test_each_wrong_entry_has_its_message() -> None:
    """Entries are named by number in a list, by name in a map."""
    with pytest.raises(ValueError, match="entry") as caught:
        convert(KEYS["oauth.scopes"], ["a", Bare("true"), "b\x00"])
    assert caught.value.args == (
        "entry 2 must be text: put the value in quotes",
        "entry 3 must not contain a line break or a control character",
    )
    with pytest.raises(ValueError, match="value of") as caught:
        convert(KEYS["oauth.extra_params"], {"a": Bare("1.10"), "b c": "\n"})
    assert caught.value.args == (
        "the value of a must be text: put the value in quotes",
        "the value of ? must not contain a line break or a control character",
    )


@pytest.mark.parametrize(
    ("full", "value", "text"),
    [
        ("lifecycle.drain", 0.0, "0"),
        ("lifecycle.drain", 0.25, "250ms"),
        ("lifecycle.drain", 60.0, "60s"),
        ("lifecycle.drain", 75.0, "75s"),
        ("lifecycle.drain", 300.0, "5m"),
        ("lifecycle.drain", 3600.0, "1h"),
        ("limits.body_size", 1000, "1000B"),
        ("limits.body_size", 65536, "64KiB"),
        ("limits.body_size", 3 * 1024**3, "3GiB"),
        ("limits.body_size", 0, 0),
        ("oauth.scopes", ("a",), ["a"]),
        ("listen.port", 1, 1),
    ],
)
def test_a_value_is_spelt_as_a_user_would(full: str, value: object, text: object) -> None:
    """The largest unit that fits, as the documentation writes the defaults."""
    assert spell(KEYS[full], value) == text


def test_every_default_is_spelt_so_that_it_is_understood() -> None:
    """Spelling a default and reading it again gives the default."""
    for full, key in KEYS.items():
        if key.default is not None and key.kind not in ("list", "map"):
            assert convert(key, str(spell(key, key.default))) == key.default, full


def test_keys_are_complete() -> None:
    """Each section has its sentence, each key its description."""
    assert list(SECTIONS) == list(dict.fromkeys(key.section for key in KEYS.values()))
    assert all(key.description.endswith(".") for key in KEYS.values())
    assert [full for full, key in KEYS.items() if key.required] == ["upstream.url", "oauth.client_id"]
