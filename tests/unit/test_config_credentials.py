"""Which credentials go together, and what is said of key files at start: all by environment, so no file is needed."""

import json
import os
from pathlib import Path
from typing import get_args

import pytest
from private_keys import PASSPHRASE, jwk, make, pem, public_pem

from proxy.config import Assertion, Loaded, load
from proxy.config.settings import Algorithm
from proxy.errors import ConfigError

GOOD = {
    "OKTA_PROXY_UPSTREAM__URL": "https://api.example.com",
    "OKTA_PROXY_OAUTH__ISSUER": "https://dev-1.okta.com",
    "OKTA_PROXY_OAUTH__CLIENT_ID": "id",
}
EC = pem(make("P-256")).decode()
NEEDS_KEY = "set oauth.private_key_file instead of oauth.client_secret"
NEEDS_SECRET = "leave it out, or set oauth.client_secret instead of oauth.private_key"
ONLY_KEYS = "is for a private key: remove it, or set oauth.private_key_file"
SHORT = "too short for client_secret_jwt: use another auth_method, or a longer secret"


def loaded(**keys: str) -> Loaded:
    """Return the configuration with these keys of `oauth`; another section's has its name in front of it."""
    named = {f"OKTA_PROXY_{name.upper() if '__' in name else 'OAUTH__' + name.upper()}": keys[name] for name in keys}
    return load(None, GOOD | named)


def problems(**keys: str) -> list[str]:
    """Return what is wrong with it, without the places."""
    with pytest.raises(ConfigError) as caught:
        loaded(**keys)
    return [problem.partition(" (OKTA_PROXY_")[0] for problem in caught.value.problems]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return a file with an EC key that nobody else can read."""
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_text(EC)
    return path


@pytest.mark.parametrize(
    ("keys", "method"),
    [
        ({"private_key": EC}, "private_key_jwt"),
        ({"private_key": EC, "auth_method": "private_key_jwt"}, "private_key_jwt"),
        ({"client_secret": "x"}, "client_secret_post"),
        ({"client_secret_command": "cat /run/secret"}, "client_secret_post"),
        ({"client_secret": "x", "auth_method": "client_secret_basic"}, "client_secret_basic"),
        ({"client_secret": "x" * 32, "auth_method": "client_secret_jwt"}, "client_secret_jwt"),
    ],
)
def test_the_credentials_decide_the_method(keys: dict[str, str], method: str) -> None:
    """Unless it is set: a key signs, a secret is sent in the form."""
    result = loaded(**keys)
    assert result.settings.oauth.method == method
    assert result.warnings == []


def test_a_key_file_is_enough(key_file: Path) -> None:
    """With the kid that Okta shows for it."""
    result = loaded(private_key_file=str(key_file), private_key_id="kid-1")
    assert result.settings.oauth.private_key_file == str(key_file)
    assert result.settings.oauth.private_key_id == "kid-1"
    assert result.warnings == []


def test_one_source_of_credentials() -> None:
    """Each further one is named; a wrong one counts too."""
    assert problems(client_secret="x", private_key=EC) == [
        "oauth.client_secret: stands beside oauth.private_key: remove one of the two"
    ]
    assert problems(client_secret="x", client_secret_command="a b", private_key_file="/nowhere") == [
        "oauth.private_key_file: names a file that cannot be read: No such file or directory",
        "oauth.client_secret: stands beside oauth.client_secret_command: remove one of the two",
        "oauth.client_secret: stands beside oauth.private_key_file: remove one of the two",
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"client_secret": "x", "auth_method": "private_key_jwt"},
            [f"oauth.auth_method: private_key_jwt needs a private key: {NEEDS_KEY}"],
        ),
        (
            {"private_key": EC, "auth_method": "client_secret_basic"},
            [f"oauth.auth_method: client_secret_basic needs a client secret: {NEEDS_SECRET}"],
        ),
        (
            {"client_secret": "x", "private_key_id": "k"},
            [f"oauth.private_key_id: {ONLY_KEYS}"],
        ),
        (
            {"client_secret": "x", "assertion": "{typ: JWT}"},
            ["oauth.assertion: is for private_key_jwt and client_secret_jwt: remove it, or set oauth.auth_method"],
        ),
        (
            {"private_key": EC, "assertion": "{algorithm: HS256}"},
            ["oauth.assertion: private_key_jwt cannot sign with HS256: leave algorithm out"],
        ),
        (
            {"client_secret": "x" * 32, "auth_method": "client_secret_jwt", "assertion": "{algorithm: RS256}"},
            ["oauth.assertion: client_secret_jwt cannot sign with RS256: leave algorithm out"],
        ),
        (
            {"client_secret": "x" * 31, "auth_method": "client_secret_jwt"},
            [f"oauth.client_secret: is shorter than 32 characters, {SHORT}"],
        ),
        (
            {"private_key": EC, "issuer": "", "token_url": "https://a.example/t", "assertion": "{audience: issuer}"},
            ["oauth.assertion: audience is issuer, and oauth.issuer is not set: set it, or write the audience itself"],
        ),
        (
            {"private_key": EC, "dpop": "true", "inject__scheme": "Bearer"},
            ["inject.scheme: must be DPoP, or unset, with oauth.dpop: a bound token goes no other way (RFC 9449 7.1)"],
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together(keys: dict[str, str], expected: list[str]) -> None:
    """Each line names the key and the way out."""
    assert problems(**keys) == expected


def test_a_certificate_is_for_a_key(tmp_path: Path) -> None:
    """A secret has none."""
    path = tmp_path / "certificate.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    keys = {"client_secret": "x" * 32, "auth_method": "client_secret_jwt"}
    assert problems(**keys, assertion=f"{{certificate_file: {path}}}") == [
        "oauth.assertion: certificate_file is for a private key: remove it"
    ]
    (problem,) = problems(private_key=EC, assertion=f"{{certificate_file: {path}}}")
    assert problem.startswith("oauth.assertion: certificate_file names a file that has no certificate in PEM form")


def test_dpop_goes_with_every_method() -> None:
    """It binds the token, whoever asked for it and however."""
    for keys in ({"client_secret": "x"}, {"private_key": EC, "inject__scheme": "dpop"}):
        assert loaded(**keys, dpop="true").settings.oauth.dpop


def test_assertions_of_other_servers(tmp_path: Path) -> None:
    """What is written becomes the settings; nothing written is none."""
    result = loaded(
        private_key=pem(make("RSA")).decode(), assertion="{audience: 'https://a.example/', algorithm: PS256}"
    )
    assert result.settings.oauth.assertion == Assertion(audience="https://a.example/", algorithm="PS256")
    assert loaded(private_key=EC, assertion="{}").settings.oauth.assertion is None
    assert problems(
        private_key=EC, assertion="{audience: 'a b', algorithm: RS1, typ: 'a b', aud: x, 'S3cret9Value': y}"
    ) == [
        "oauth.assertion: has no aud: it has audience, algorithm, typ, certificate_file",
        "oauth.assertion: has no ?: it has audience, algorithm, typ, certificate_file",
        f"oauth.assertion: algorithm must be one of {', '.join(get_args(Algorithm))}",
        "oauth.assertion: audience must be token_url, issuer, or the audience itself: ASCII without blanks",
        "oauth.assertion: typ must be a media type without blanks, as in JWT or client-authentication+jwt",
    ]
    missing = tmp_path / "missing.pem"
    assert problems(private_key=EC, assertion=f"{{certificate_file: {missing}}}") == [
        "oauth.assertion: certificate_file names a file that cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("name", ["private_key", "private_key_file"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (public_pem(make("RSA")).decode(), "holds a public key: the private one is needed"),
        (pem(make("P-256"), passphrase=b"x").decode(), "holds an encrypted key: set oauth.private_key_passphrase_file"),
        ("s3cret", "holds no private key"),
        (EC[:60], "holds a key that is damaged"),
    ],
)
def test_what_is_no_key_is_told_at_start(name: str, text: str, said: str, tmp_path: Path) -> None:
    """Under the name of the key that holds it, and in the same run as every other mistake."""
    path = tmp_path / "key"
    path.write_text(text)
    value = str(path) if name.endswith("_file") else text
    found = problems(**{name: value, "upstream__url": "ftp://x"})
    assert found[0] == "upstream.url: must begin with https:// or http://"
    assert found[1].startswith(f"oauth.{name}: {said}")
    assert "s3cret" not in str(found)
    assert len(found) == 2


def test_files_that_cannot_be_used(key_file: Path, tmp_path: Path) -> None:
    """Empty, missing, a passphrase that does not fit: each with its own name."""
    empty, wrong = tmp_path / "empty", tmp_path / "wrong"
    empty.write_text("\n")
    wrong.write_text("wr0ng\n")
    assert problems(private_key_file=str(empty), private_key_passphrase_file=str(tmp_path)) == [
        "oauth.private_key_file: names a file that is empty: put the private key into it",
        "oauth.private_key_passphrase_file: names something that is not a regular file",
    ]
    key_file.write_bytes(pem(make("RSA"), passphrase=PASSPHRASE))
    assert problems(private_key_file=str(key_file), private_key_passphrase_file=str(wrong)) == [
        "oauth.private_key_passphrase_file: holds a passphrase that does not open the private key, if that is whole"
    ]
    wrong.write_bytes(PASSPHRASE + b"\n")
    loaded(private_key_file=str(key_file), private_key_passphrase_file=str(wrong))


def test_the_algorithm_must_be_the_keys() -> None:
    """An EC key cannot sign with RS256; the line says with what it can."""
    (problem,) = problems(private_key=EC, assertion="{algorithm: RS256}")
    assert problem.startswith("oauth.private_key: holds an EC key (P-256), which cannot sign with RS256")
    assert problem.endswith(": it can with ES256")


def test_a_kid_must_be_in_the_set() -> None:
    """A key that is not there cannot be chosen."""
    keys = json.dumps({"keys": [jwk(make("P-256"), kid="a"), jwk(make("RSA"), kid="b")]})
    assert loaded(private_key=keys, private_key_id="b").warnings == []
    assert problems(private_key=keys, private_key_id="c") == [
        "oauth.private_key: holds no key with the kid that oauth.private_key_id names"
    ]


def test_a_short_line_in_the_secret_file(tmp_path: Path) -> None:
    """Each of the secrets must be long enough to sign."""
    path = tmp_path / "secret"
    path.write_text("x" * 32 + "\n" + "y" * 31 + "\n")
    keys = {"client_secret_file": str(path), "auth_method": "client_secret_jwt"}
    assert problems(**keys) == [f"oauth.client_secret_file: holds a secret shorter than 32 characters, {SHORT}"]
    path.write_text("x" * 32 + "\n\n")
    loaded(**keys)


def test_a_reference_may_name_systemds_folder(tmp_path: Path) -> None:
    """`LoadCredential=` puts files into a folder that only a variable names."""
    (tmp_path / "okta").write_text("s3cret\n")
    file = tmp_path / "config.yaml"
    file.write_text("oauth: {client_secret_file: '${CREDENTIALS_DIRECTORY}/okta'}")
    settings = load(str(file), GOOD | {"CREDENTIALS_DIRECTORY": str(tmp_path)}).settings
    assert settings.oauth.client_secret_file == str(tmp_path / "okta")


def test_a_key_that_others_can_read_is_warned_of(key_file: Path, tmp_path: Path) -> None:
    """With the command that mends it; the passphrase's file counts as much."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("x")
    for path in (key_file, passphrase):
        path.chmod(0o644)
    warnings = loaded(private_key_file=str(key_file), private_key_passphrase_file=str(passphrase)).warnings
    assert warnings == [
        f"oauth.private_key_file: every user of this machine can read it: chmod 600 {key_file}",
        f"oauth.private_key_passphrase_file: every user of this machine can read it: chmod 600 {passphrase}",
    ]
    for path in (key_file, passphrase):
        path.chmod(0o640)
    assert loaded(private_key_file=str(key_file), private_key_passphrase_file=str(passphrase)).warnings == []


def test_a_key_in_a_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    """A key in the configuration itself, as a secret there; not if it comes from the environment."""
    file = tmp_path / "config.yaml"
    file.write_text("oauth:\n  private_key: |\n    " + EC.replace("\n", "\n    "))
    os.chmod(file, 0o644)  # noqa: PTH101
    assert load(str(file), GOOD).warnings == [
        f"oauth.private_key: every user of this machine can read it: chmod 600 {file}"
    ]
    file.write_text("oauth: {private_key: '${OKTA_KEY}'}")
    assert load(str(file), GOOD | {"OKTA_KEY": EC}).warnings == []


def test_without_a_key_cryptography_is_not_imported() -> None:
    """`load` with a secret imports neither it nor the modules that use it; see tests/process for the whole command."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    program = f"""if True:
        import sys
        from proxy.config import load
        load(None, {GOOD | {"OKTA_PROXY_OAUTH__CLIENT_SECRET": "x"}!r})
        print([name for name in ("cryptography", "joserfc", "shlex") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
