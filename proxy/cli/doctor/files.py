"""The step that reads the files which the configuration names, as the proxy will read them."""

import ssl

from proxy.cli.doctor.report import Fixed, Verdict, failed, passed, warned
from proxy.config import Settings
from proxy.forwarding.pool import tls_context
from proxy.tokens.credentials import SecretFileError, read_secret

STEP = "files"


def check(settings: Settings) -> list[Verdict]:
    """Return a verdict for each file that is named, and a warning for a secret that looks like a bad copy."""
    verdicts = []
    for key, path in (("oauth.ca_file", settings.oauth.ca_file), ("upstream.ca_file", settings.upstream.ca_file)):
        if path is not None:
            verdicts.append(_authorities(key, path))
    try:
        secret = read_secret(settings.oauth)
    except SecretFileError as error:
        return [*verdicts, failed(STEP, str(error), Fixed("Put the client secret there, and nothing else."))]
    if settings.oauth.client_secret_file is not None:
        verdicts.append(passed(STEP, Fixed("oauth.client_secret_file holds a secret")))
    return [*verdicts, *suspicious(secret)]


def _authorities(key: str, path: str) -> Verdict:
    try:
        tls_context(path)
    except (OSError, ssl.SSLError):
        return failed(STEP, f"{key} cannot be used", "It must hold certificates in PEM form, whole ones.")
    return passed(STEP, f"{key} holds certificates")


def suspicious(secret: str) -> list[Verdict]:
    """Return a warning for a secret that is probably not what Okta's console shows, without showing any of it."""
    if secret != secret.strip():
        what = "begins or ends with a blank"
    elif not (secret.isascii() and secret.isprintable()):
        what = "has characters that Okta's secrets never have"
    else:
        return []
    return [warned(STEP, Fixed(f"the client secret {what}"), Fixed("Copy it again, with Okta's own copy button."))]
