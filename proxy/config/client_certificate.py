"""
The client certificate and its key: read into a TLS context, with words for what can be wrong with their files.

The same code looks at them at the start and reads them for connections later. No message holds a byte of a file.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

CERT_KEY = "upstream.client_cert_file"
KEY_KEY = "upstream.client_key_file"
_LIMIT = 4 * 1024 * 1024


class ClientCertificateError(Exception):
    """The pair cannot be used. The text continues `key: `, and `key` is the one to look at."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a password."""


def load_client_certificate(context: "ssl.SSLContext", cert_file: str, key_file: str | None) -> None:
    """Make *context* show the certificate in *cert_file*; without a *key_file* its key stands there too."""
    import ssl  # noqa: PLC0415  # a configuration without certificates does without

    key_key = CERT_KEY if key_file is None else KEY_KEY
    certificates = _read(CERT_KEY, cert_file)
    keys = certificates if key_file is None else _read(KEY_KEY, key_file)
    if b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise ClientCertificateError(CERT_KEY, "names a file that has no certificate in PEM form")
    if b"PRIVATE KEY-----" not in keys:
        elsewhere = f"; if it stands in another file, name that in {KEY_KEY}" if key_file is None else ""
        raise ClientCertificateError(key_key, f"names a file that has no private key in PEM form{elsewhere}")
    try:
        # Without a password of its own OpenSSL would ask for one on the terminal, and wait.
        context.load_cert_chain(cert_file, key_file, password=_refuse)
    except _EncryptedKeyError:
        remedy = "decrypt it (openssl pkey), and guard the file instead"
        raise ClientCertificateError(key_key, f"names a file whose private key is encrypted: {remedy}") from None
    except ssl.SSLError as error:
        raise ClientCertificateError(key_key, _unusable(error.reason, is_one_file=key_file is None)) from None
    except OSError as error:
        raise ClientCertificateError(CERT_KEY, f"names a file that cannot be read: {error.strerror}") from None


def _unusable(reason: str | None, *, is_one_file: bool) -> str:
    if reason == "KEY_VALUES_MISMATCH":
        whose = "its certificate" if is_one_file else f"the certificate in {CERT_KEY}"
        return f"names a file whose private key does not belong to {whose}"
    said = f" (OpenSSL: {reason})" if reason else ""
    if is_one_file:
        return f"names a file that cannot be used: it is damaged, or of an unknown kind{said}"
    return f"cannot be used together with {CERT_KEY}: one of the two is damaged, or of an unknown kind{said}"


def _read(key: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # pathlib is slow to import
            return file.read(_LIMIT)
    except OSError as error:
        raise ClientCertificateError(key, f"names a file that cannot be read: {error.strerror}") from None


def _refuse() -> str:
    raise _EncryptedKeyError
