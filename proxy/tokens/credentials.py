"""Where the client secret is read, and how a change of it is noticed."""

import errno
import os

from proxy.config import OAuth

LARGEST_SECRET_FILE = 64 * 1024


_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN, getattr(errno, "ESTALE", errno.EIO)}


class SecretFileError(Exception):
    """
    The secret file gives no secret; the message names the key and holds nothing of the file.

    `passes`: the machine's want of something, which needs nobody to mend the file.
    """

    def __init__(self, message: str, *, passes: bool = False) -> None:
        super().__init__(message)
        self.passes = passes


def read_secret(settings: OAuth) -> str:
    """
    Return the client secret, from its file if there is one: read anew each time, so that a rotation just works.

    Trailing newlines are not part of a secret (Envoy strips them too). Raises `SecretFileError`.
    """
    path = settings.client_secret_file
    if path is None:
        return settings.client_secret.reveal() if settings.client_secret is not None else ""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path is a plain string in the settings
            content = file.read(LARGEST_SECRET_FILE + 1)
    except OSError as error:
        reason = f"oauth.client_secret_file cannot be read: {os.strerror(error.errno or errno.EIO)}"
        raise SecretFileError(reason, passes=error.errno in _PASSING) from None
    secret = content.rstrip(b"\r\n")
    if not secret:
        raise SecretFileError("oauth.client_secret_file is empty")
    if len(content) > LARGEST_SECRET_FILE:
        raise SecretFileError("oauth.client_secret_file is larger than 64 KiB")
    try:
        return secret.decode()
    except UnicodeDecodeError:
        raise SecretFileError("oauth.client_secret_file is not UTF-8 text") from None


def fingerprint(settings: OAuth) -> tuple[int, int, int] | None:
    """
    Return something that differs when the secret file was changed or replaced, None without a file.

    Follows symbolic links: Kubernetes swaps a link when a mounted Secret changes.
    """
    if settings.client_secret_file is None:
        return None
    try:
        status = os.stat(settings.client_secret_file)  # noqa: PTH116 - as above
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
