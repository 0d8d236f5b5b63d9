"""`okta-proxy token`: gets a token and prints it, its header line or its claims."""

import asyncio
import base64
import json
import sys
from collections.abc import Mapping
from typing import Literal

from proxy.cli.output import write
from proxy.config import Settings, find, has_environment_keys, load
from proxy.errors import ConfigError
from proxy.forwarding.admission import token_value
from proxy.tokens.answer import read_answer
from proxy.tokens.clock import SystemClock
from proxy.tokens.endpoint import TokenEndpoint
from proxy.tokens.failure import Failure
from proxy.tokens.source import Token

Shape = Literal["token", "header", "claims"]
NO_TOKEN = 3


def run(config: str | None, environ: Mapping[str, str], *, shape: Shape) -> int:
    """
    Print a fresh token in the wanted *shape* to standard output; 3 if there is none.

    Raises `ConfigError`, and `StartError` if the token cannot be written.
    """
    path = find(config, environ)
    if path is None and not has_environment_keys(environ):
        from proxy.cli.run import NOTHING_CONFIGURED  # noqa: PLC0415  # it imports the whole proxy

        raise ConfigError([NOTHING_CONFIGURED])
    settings = load(path, environ).settings
    result = asyncio.run(fetch(settings, environ))
    if isinstance(result, Failure):
        print(f"okta-proxy: {result.detail}", file=sys.stderr)
        return NO_TOKEN
    text = render(result, settings, shape)
    if text is None:
        print("okta-proxy: the token is opaque (no JWT): it has no claims to show", file=sys.stderr)
        return NO_TOKEN
    write(text, sys.stdout)
    if result.prover is not None and shape != "claims":
        # The key was made for this request, and is gone with this process.
        print(
            "okta-proxy: this token is bound to a key (DPoP) that no other program has: no API takes it",
            file=sys.stderr,
        )
    return 0


async def fetch(settings: Settings, environ: Mapping[str, str]) -> Token | Failure:
    """Ask the token endpoint once."""
    fetched = await TokenEndpoint(settings.oauth, SystemClock(), environ).fetch()
    return fetched if isinstance(fetched, Failure) else read_answer(fetched.answer, fetched.secret)


def render(token: Token, settings: Settings, shape: Shape) -> str | None:
    """Return what to print, None if an opaque token's claims are asked for."""
    if shape == "token":
        return token.value
    if shape == "header":
        return f"{settings.inject.header}: {token_value(token, settings.inject.scheme)}"
    claims = decode(token.value)
    return None if claims is None else json.dumps(claims, indent=2)


def decode(value: str) -> dict[str, object] | None:
    """Return the claims of a JWT without verifying it (that is the API's job), None for what is no JWT."""
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None
