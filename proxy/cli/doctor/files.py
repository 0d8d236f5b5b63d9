"""The step that reads the files which the configuration names, as the proxy will read them."""

import re
import ssl
import time
from collections.abc import Iterator

from proxy.cli.doctor import certificates, credential, places
from proxy.cli.doctor.report import Fixed, Verdict, failed, passed, warned
from proxy.config import OAuth, Settings
from proxy.config.permissions import exposure
from proxy.forwarding.tls import tls_context
from proxy.tokens.credentials import CredentialError, read_file, read_secrets

STEP = "files"
_DAY = 86400.0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def check(settings: Settings) -> list[Verdict]:
    """Return a verdict for each file that is named, and a warning for a secret that looks like a bad copy."""
    oauth, upstream = settings.oauth, settings.upstream
    verdicts = [
        _authorities(key, path)
        for key, path in (("oauth.ca_file", oauth.ca_file), ("upstream.ca_file", upstream.ca_file))
        if path is not None
    ]
    certificate = oauth.assertion.certificate_file if oauth.assertion is not None else None
    for key, path in (
        ("oauth.assertion: certificate_file", certificate),
        ("upstream.client_cert_file", upstream.client_cert_file),
    ):
        if path is not None:
            verdicts += _certificate(key, path, time.time())
    verdicts += _keys(oauth) if oauth.has_key else _secrets(oauth)
    return verdicts


def _secrets(oauth: OAuth) -> list[Verdict]:
    try:
        secrets = read_secrets(oauth)
    except CredentialError as error:
        return [failed(STEP, str(error), Fixed("Put the client secret there, and nothing else."))]
    verdicts: list[Verdict] = []
    if oauth.client_secret_file is not None:
        several = f"{len(secrets)} secrets" if len(secrets) > 1 else "a secret"
        verdicts.append(passed(STEP, Fixed(f"oauth.client_secret_file holds {several}")))
    is_okta = places.is_oktas(oauth)
    return verdicts + [verdict for secret in secrets for verdict in suspicious(secret, is_okta=is_okta)]


def _keys(oauth: OAuth) -> Iterator[Verdict]:
    """Yield a verdict on the private keys, and one on who may read each file of them."""
    name = "oauth.private_key" if oauth.private_key_file is None else "oauth.private_key_file"
    keys = credential.read_keys(oauth)
    if not keys:
        # It could be read a moment ago, when the configuration was.
        yield failed(STEP, f"{name} cannot be read any more", "Is it being replaced? Try again.")
        return
    yield passed(STEP, f"{name} holds {' and '.join(credential.spoken(key.id, oauth, keys) for key in keys)}")
    for key, path in key_files(oauth).items():
        if path is None:
            continue
        remedy = exposure(path)
        if remedy is None:
            yield passed(STEP, f"{key}: the other users of this machine cannot read it, or it is mounted")
        else:
            yield warned(STEP, f"{key}: every user of this machine can read it", remedy)


def key_files(oauth: OAuth) -> dict[str, str | None]:
    """Return the files that only we should be able to read, by their keys."""
    return {
        "oauth.private_key_file": oauth.private_key_file,
        "oauth.private_key_passphrase_file": oauth.private_key_passphrase_file,
    }


def _authorities(key: str, path: str) -> Verdict:
    try:
        tls_context(path)
    except (OSError, ssl.SSLError):
        return failed(STEP, f"{key} cannot be used", "It must hold certificates in PEM form, whole ones.")
    return passed(STEP, f"{key} holds certificates")


def _certificate(key: str, path: str, now: float) -> list[Verdict]:
    """Return the verdict on when our own certificate runs out."""
    try:
        found = _CERTIFICATE.search(read_file(path, key).decode(errors="replace"))
        certificate = certificates.read(ssl.PEM_cert_to_DER_cert(found[0])) if found else None
    except (CredentialError, ValueError):
        certificate = None
    if certificate is None:
        return [failed(STEP, f"{key} cannot be used", "It must hold a certificate in PEM form, a whole one.")]
    return [lasting(key, certificate, now)]


def lasting(key: str, certificate: certificates.Certificate, now: float) -> Verdict:
    """Return the verdict on how long *certificate* is still good; *now* is in wall-clock seconds."""
    days = (certificate.not_after - now) / _DAY
    renew = "Have it renewed, and registered where it is looked at."
    if now < certificate.not_before:
        return failed(STEP, f"{key} holds a certificate that is not valid yet", "Or is this machine's clock wrong?")
    if days <= 0:
        return failed(STEP, f"{key} holds a certificate that has expired, {certificates.spoken(-days)} ago", renew)
    text = f"{key} holds a certificate that is valid for {certificates.spoken(days)} more"
    return warned(STEP, text, renew) if days < certificates.SOON else passed(STEP, text)


def suspicious(secret: str, *, is_okta: bool = True) -> list[Verdict]:
    """Return a warning for a secret that is probably not what the console shows, without showing any of it."""
    whose = "Okta's secrets never have" if is_okta else "secrets hardly ever have"
    if secret != secret.strip():
        what = "begins or ends with a blank"
    elif not (secret.isascii() and secret.isprintable()):
        what = f"has characters that {whose}"
    else:
        return []
    again = "Copy it again, with Okta's own copy button." if is_okta else "Copy it again."
    return [warned(STEP, Fixed(f"the client secret {what}"), Fixed(again))]
