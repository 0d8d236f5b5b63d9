"""
What the client authenticates with, where it is read, and how a change of it is noticed.

There may be several at a time: lines of a secret file, keys of a JWK set. `proxy.tokens.rotation` says which is tried.
"""

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.config import LEAST_SECRET, OAuth

if TYPE_CHECKING:
    from proxy.config.signing_key import SigningKey

FILE = "oauth.client_secret_file"
COMMAND = "oauth.client_secret_command"
LARGEST_SECRET_FILE = 64 * 1024

_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN, getattr(errno, "ESTALE", errno.EIO)}

Fingerprint = tuple[tuple[int, int, int], ...]


class CredentialError(Exception):
    """
    There is nothing to authenticate with. The message names the key of the configuration and quotes nothing.

    `remedy` says what to do; `passes` that it may pass without anybody doing it.
    """

    def __init__(self, message: str, remedy: str, *, passes: bool = False) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.passes = passes


class SecretFileError(CredentialError):
    """The secret file gives no secret."""


@dataclass(frozen=True, slots=True)
class Credential:
    """
    One thing to authenticate with: a secret, or a key and the algorithm that it signs with.

    `id` is what operators see of it: the `kid` of a key, else its place in its source, from `1`.
    """

    id: str
    secret: str = field(default="", repr=False)
    key: "SigningKey | None" = None
    algorithm: str = ""


def read_secrets(settings: OAuth) -> tuple[str, ...]:
    """
    Return the client secrets: the lines of their file, read anew each time, so that a rotation just works.

    Without a file it is the configured one; without that there is none. Raises `CredentialError`.
    """
    path = settings.client_secret_file
    if path is None:
        return (settings.client_secret.reveal(),) if settings.client_secret is not None else ()
    return secrets_in(read_file(path, FILE), FILE)


def read_secret(settings: OAuth) -> str:
    """Return the first client secret, `""` if there is none. Raises `CredentialError`."""
    return next(iter(read_secrets(settings)), "")


def secrets_in(content: bytes, name: str) -> tuple[str, ...]:
    """
    Return the secrets that a file or a command gave, one a line; *name* is the key of the configuration.

    Line breaks are not part of a secret (Envoy strips them too), blanks are. Raises `CredentialError`.
    """
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    try:
        secrets = tuple(dict.fromkeys(line.decode() for line in lines if line))
    except UnicodeDecodeError:
        raise _useless(name, "is not UTF-8 text") from None
    if not secrets:
        raise _useless(name, "is empty")
    return secrets


def as_credentials(secrets: tuple[str, ...], settings: OAuth) -> tuple[Credential, ...]:
    """Return *secrets* as what to authenticate with; without any, the client's id alone. Raises `CredentialError`."""
    algorithm = ""
    if settings.method == "client_secret_jwt":
        algorithm = (settings.assertion and settings.assertion.algorithm) or "HS256"
        if any(len(secret) < LEAST_SECRET for secret in secrets):
            raise CredentialError(
                f"A client secret is shorter than {LEAST_SECRET} characters, too short for client_secret_jwt",
                "Set another oauth.auth_method, or a longer secret.",
            )
    given = secrets or ("",)
    return tuple(Credential(str(place), secret, algorithm=algorithm) for place, secret in enumerate(given, 1))


def read_file(path: str, name: str) -> bytes:
    """Return the content of the file that the key *name* names. Raises `CredentialError`."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path is a plain string in the settings
            content = file.read(LARGEST_SECRET_FILE + 1)
    except OSError as error:
        passes = error.errno in _PASSING
        raise _useless(name, f"cannot be read: {os.strerror(error.errno or errno.EIO)}", passes=passes) from None
    if len(content) > LARGEST_SECRET_FILE:
        raise _useless(name, "is larger than 64 KiB")
    return content


def _useless(name: str, what: str, *, passes: bool = False) -> CredentialError:
    """Return the error that the file or command of the key *name* gives nothing."""
    if passes:
        remedy = "It is tried again; see to the limits of this machine."
    elif name == COMMAND:
        remedy = "It must print the client secret."
    else:
        content = "the client secret" if name == FILE else "what it is for"
        remedy = f"Put {content} there; it is read again when it changes."
    kind = SecretFileError if name == FILE else CredentialError
    return kind(f"{name} {what}", remedy, passes=passes)


def fingerprint(settings: OAuth) -> Fingerprint | None:
    """
    Return something that differs when a file with credentials was changed or replaced, None without such files.

    Follows symbolic links: Kubernetes swaps a link when a mounted Secret changes.
    """
    certificate = settings.assertion.certificate_file if settings.assertion is not None else None
    paths = (
        settings.client_secret_file,
        settings.private_key_file,
        settings.private_key_passphrase_file,
        certificate,
    )
    found = tuple(_state(path) for path in paths if path is not None)
    return found or None


def _state(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
