"""What the client authenticated with, in words: which secret or key, by which name, for which audience. Pure."""

from collections.abc import Sequence

from proxy.cli.doctor.report import Verdict, passed, warned
from proxy.config import Assertion, OAuth, okta_token_url
from proxy.tokens import assertion
from proxy.tokens.credentials import Credential, CredentialError
from proxy.tokens.endpoint import Fetched

STEP = "credential"


def read_keys(settings: OAuth) -> tuple[Credential, ...]:
    """Return the private keys as the proxy reads them, none where there are none or they cannot be read."""
    if settings.method != "private_key_jwt":
        return ()
    # cryptography is large, and only needed where there is a key.
    from proxy.tokens.keys import KeySource  # noqa: PLC0415

    try:
        return KeySource(settings).read()
    except CredentialError:
        return ()


def judge(fetched: Fetched, settings: OAuth, keys: Sequence[Credential]) -> list[Verdict]:
    """Return the verdicts on what a token was given for: nothing to say of the only secret."""
    taken = spoken(fetched.credential, settings, keys)
    if fetched.refused:
        others = " and ".join(spoken(refused, settings, keys) for refused in fetched.refused)
        return [
            warned(
                STEP,
                f"refused as invalid_client: {others}; taken after it: {taken}",
                "In a rotation that passes: it is not registered yet, or not any more. Else take it out.",
            )
        ]
    if settings.method == "private_key_jwt":
        return [passed(STEP, f"{taken} is registered: the token endpoint took what it signed")]
    return []


def sent(fetched: Fetched, settings: OAuth, keys: Sequence[Credential]) -> list[str]:
    """Return lines that say what was sent and refused."""
    lines = []
    if settings.method.endswith("_jwt"):
        audience = audience_of(settings)
        lines.append(
            f"Sent: an assertion by {spoken(fetched.credential, settings, keys)}"
            + (f", for the audience {audience}" if audience else "")
        )
    elif fetched.refused:
        lines.append(f"Sent: {spoken(fetched.credential, settings, keys)}")
    lines += [f"Refused before it: {spoken(refused, settings, keys)}" for refused in fetched.refused]
    return lines


def spoken(name: str, settings: OAuth, keys: Sequence[Credential]) -> str:
    """Return the credential with this id in words; nothing of the secret or the key itself is in them."""
    if settings.method != "private_key_jwt":
        if settings.client_secret_file is not None:
            return f"secret {name} of oauth.client_secret_file"
        return f"secret {name} of oauth.client_secret_command" if settings.client_secret_command else "the secret"
    found = next((key for key in keys if key.id == name), None)
    if found is None or found.key is None:
        return f"the key {name}"
    if found.key.kid is None:
        named = " and " if found.key.digest is not None else ", and "
        by = "named by its certificate" if found.key.digest is not None else "no oauth.private_key_id is set"
        return f"a key without a kid ({found.algorithm}{named}{by})"
    return f"the key with the kid {found.key.kid} ({found.algorithm})"


def audience_of(settings: OAuth) -> str:
    """Return the `aud` of an assertion, `""` while the token endpoint is not known."""
    url = settings.token_url or okta_token_url(settings.issuer or "") or ""
    return assertion.audience((settings.assertion or Assertion()).audience, url, settings.issuer)
