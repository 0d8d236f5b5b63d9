"""Where the client secret is read, and how a change of it is noticed."""

import contextlib
import os
import resource

import pytest
from clocks import oauth_settings

from proxy.config import Assertion, OAuth, Secret
from proxy.tokens.credentials import (
    LARGEST_SECRET_FILE,
    CredentialError,
    SecretFileError,
    as_credentials,
    fingerprint,
    read_secret,
    read_secrets,
)


def from_file(path):
    """Return settings with a secret file."""
    return oauth_settings(client_secret=None, client_secret_file=str(path))


def test_a_secret_in_the_settings_is_given():
    """Without a file the configured value is the secret, and there is nothing that could change."""
    settings = oauth_settings(client_secret=Secret("hush"))
    assert read_secret(settings) == "hush"
    assert fingerprint(settings) is None


def test_no_secret_is_an_empty_one():
    """A client without a secret authenticates with its id alone."""
    assert read_secret(oauth_settings(client_secret=None)) == ""


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hush", "hush"),
        (b"hush\n", "hush"),
        (b"hush\r\n\r\n\n", "hush"),
        (b"\n\nhush\n", "hush"),
        (b" blanks stay \n", " blanks stay "),
        ("sch\u00f6n\n".encode(), "sch\u00f6n"),
        (b"x" * LARGEST_SECRET_FILE, "x" * LARGEST_SECRET_FILE),
    ],
)
def test_a_secret_file_is_read_without_the_newlines_at_its_end(tmp_path, content, secret):
    """What an editor or `echo` appends is no part of a secret; everything else is."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read_secret(from_file(path)) == secret


@pytest.mark.parametrize(
    ("content", "secrets"),
    [
        (b"new\nold\n", ("new", "old")),
        (b"new\r\nold\r\n\r\n", ("new", "old")),
        (b"one\n\n two \nthree", ("one", " two ", "three")),
        (b"same\nsame\n", ("same",)),
    ],
)
def test_each_line_of_a_secret_file_is_a_secret(tmp_path, content, secrets):
    """Okta accepts two at a time; the first line is the one to begin with, and no secret is tried twice."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read_secrets(from_file(path)) == secrets
    assert read_secret(from_file(path)) == secrets[0]


def test_a_secret_file_is_read_anew_each_time(tmp_path):
    """A rotation needs no restart."""
    path = tmp_path / "secret"
    settings = from_file(path)
    for secret in ("one", "two"):
        path.write_text(secret)
        assert read_secret(settings) == secret


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\r\n\n", "is empty"),
        (b"hush\xff\xfe", "not UTF-8"),
        (b"hush-hush" * LARGEST_SECRET_FILE, "larger than 64 KiB"),
    ],
)
def test_a_file_without_a_secret_is_named(tmp_path, content, named):
    """The error names the key and what is wrong, and holds nothing of the file."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(SecretFileError, match=named) as raised:
        read_secret(from_file(path))
    assert "oauth.client_secret_file" in str(raised.value)
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """Missing, a directory, a link that leads nowhere: the system's reason and no path."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path, reason in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "link", "No such"),
    ):
        with pytest.raises(SecretFileError, match=reason) as raised:
            read_secret(from_file(path))
        assert str(tmp_path) not in str(raised.value)


def test_a_change_of_the_file_is_noticed(tmp_path):
    """Written in place, replaced, removed, there again: each has another fingerprint, and rest has the same."""
    path = tmp_path / "secret"
    settings = from_file(path)
    seen = [fingerprint(settings)]
    path.write_text("one")
    os.utime(path, ns=(1, 1))
    seen.append(fingerprint(settings))
    os.utime(path, ns=(2, 2))
    seen.append(fingerprint(settings))
    other = tmp_path / "other"
    other.write_text("two")
    os.utime(other, ns=(2, 2))
    other.replace(path)
    seen.append(fingerprint(settings))
    assert fingerprint(settings) == seen[-1]
    path.unlink()
    assert fingerprint(settings) == seen[0]
    assert len(set(seen)) == 4


def test_a_swapped_link_is_noticed(tmp_path):
    """Kubernetes changes a mounted Secret by turning a link to another directory."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(name)
    link = tmp_path / "data"
    link.symlink_to("first")
    settings = from_file(link / "secret")
    before = fingerprint(settings)
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").replace(link)
    assert fingerprint(settings) != before
    assert read_secret(settings) == "second"


def test_want_of_descriptors_passes(tmp_path):
    """A file that cannot be opened because too many are is no refusal: it is tried again."""
    file = tmp_path / "secret"
    file.write_text("s")
    settings = OAuth(client_id="c", client_secret_file=str(file))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(file.open())
        with pytest.raises(SecretFileError) as raised:
            read_secret(settings)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in taken:
            one.close()
    assert raised.value.passes


def test_credentials_know_their_place_and_print_no_secret():
    """What operators see is a number; without a secret the client has its id alone."""
    found = as_credentials(("hush-1", "hush-2"), oauth_settings())
    assert [credential.id for credential in found] == ["1", "2"]
    assert "hush" not in repr(found)
    assert [credential.secret for credential in as_credentials((), oauth_settings())] == [""]


def test_a_secret_that_is_too_short_to_sign_is_refused():
    """32 characters, as Okta counts; a file may have got a shorter one since the start."""
    settings = oauth_settings(auth_method="client_secret_jwt")
    (long,) = as_credentials(("x" * 32,), settings)
    assert long.algorithm == "HS256"
    with pytest.raises(CredentialError, match="shorter than 32 characters") as raised:
        as_credentials(("x" * 32, "y" * 31), settings)
    assert not raised.value.passes
    assert "yyy" not in str(raised.value)


@pytest.mark.parametrize("name", ["private_key_file", "private_key_passphrase_file", "certificate_file"])
def test_a_change_of_each_file_is_noticed(tmp_path, name):
    """Keys are watched as secrets are."""
    path = tmp_path / name
    path.write_text("one")
    keys = {"assertion": Assertion(certificate_file=str(path))} if name == "certificate_file" else {name: str(path)}
    settings = oauth_settings(client_secret=None, **keys)
    before = fingerprint(settings)
    os.utime(path, ns=(1, 1))
    assert fingerprint(settings) != before
    path.unlink()
    assert fingerprint(settings) == ((0, 0, 0),)
