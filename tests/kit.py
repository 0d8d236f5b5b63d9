"""
What the tests share: a running proxy, its settings, and token sources of their own.

`running` starts the whole proxy; `proxied` puts it in front of a `RawUpstream`. Raw sockets are in `raw`, event loops
in `loops`; both can be had from here.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
from loops import LOOPS, NamesLoop, every_loop, run_on, settled, with_names
from raw import (
    GET,
    LAST_CHUNK,
    OK,
    PATIENCE,
    Ending,
    Message,
    RawConnection,
    RawUpstream,
    Script,
    always,
    answering,
    ask,
    chunked,
    closing,
    fetch,
    get,
    post,
    raw_client,
)

from proxy.app import App
from proxy.config import Listen, OAuth, Secret, Settings, Upstream, Url
from proxy.tokens.source import Token

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "GET",
    "LAST_CHUNK",
    "LOOPS",
    "OK",
    "PATIENCE",
    "AwaitedTokens",
    "Ending",
    "FixedTokens",
    "Message",
    "NamesLoop",
    "RawConnection",
    "RawUpstream",
    "Script",
    "always",
    "answering",
    "ask",
    "chunked",
    "closing",
    "every_loop",
    "fetch",
    "get",
    "make_token",
    "post",
    "proxied",
    "raw_client",
    "run_on",
    "running",
    "settings",
    "settled",
    "url",
    "with_names",
]

CLIENT_ID = "0oa1client"
CLIENT_SECRET = "the-client-secret-4711"


def url(text: str) -> Url:
    """Return *text* as the settings have it."""
    parts = urlsplit(text)
    default = 443 if parts.scheme == "https" else 80
    return Url(scheme=parts.scheme, host=parts.hostname or "", port=parts.port or default, path=parts.path)


def settings(upstream: str, token_url: str = "http://127.0.0.1:1/token", **overrides: dict[str, Any]) -> Settings:
    """
    Return settings for *upstream* with free ports; *overrides* are keys by section.

    `settings(url, limits={"body_size": 10}, upstream_={"rewrite": False})`; a trailing underscore is for `upstream`.
    """
    base = Settings(
        listen=Listen(port=0),
        upstream=Upstream(url=url(upstream)),
        oauth=OAuth(
            token_url=token_url, client_id=CLIENT_ID, client_secret=Secret(CLIENT_SECRET), scopes=("api.read",)
        ),
    )
    changed = {
        section.rstrip("_"): msgspec.structs.replace(getattr(base, section.rstrip("_")), **keys)
        for section, keys in overrides.items()
    }
    return msgspec.structs.replace(base, **changed)


class FixedTokens:
    """A `TokenSource` whose token is there from the start; `suspect` switches to `successors`, one after the other."""

    def __init__(self, value: str = "token-1", *successors: str, lifetime: float = 3600) -> None:
        self.current: Token | None = make_token(value, lifetime)
        self.values = [value]
        self._successors = list(successors)
        self.suspected: list[str] = []
        self.error: Exception | None = None
        """Raised by `token()` while `current` is None."""

    def usable(self) -> Token | None:
        return self.current

    async def token(self) -> Token:
        if self.current is None:
            assert self.error is not None
            raise self.error
        return self.current

    def suspect(self, token: Token) -> None:
        self.suspected.append(token.value)
        if token is self.current and self._successors:
            self.current = make_token(self._successors.pop(0))
            self.values.append(self.current.value)

    async def successor(self, token: Token) -> Token | None:
        return self.current if self.current is not token else None


class AwaitedTokens(FixedTokens):
    """A `TokenSource` whose token comes when `arrived` is set."""

    def __init__(self) -> None:
        super().__init__()
        self._later, self.current = self.current, None
        self.asked = asyncio.Event()
        self.arrived = asyncio.Event()

    async def token(self) -> Token:
        self.asked.set()
        await self.arrived.wait()
        self.current = self._later
        return await super().token()


def make_token(value: str, lifetime: float = 3600) -> Token:
    """Return a Bearer token that was fetched just now."""
    return Token(value, "Bearer", sent_boot=time.monotonic(), sent_wall=time.time(), lifetime=lifetime)


@contextlib.asynccontextmanager
async def running(configuration: Settings, tokens: Any = None) -> AsyncIterator[App]:
    """Run the whole proxy; with *tokens* in the place of its own token source and no token request at all."""
    async with App(configuration, environ={}, tokens=tokens) as app:
        yield app


@contextlib.asynccontextmanager
async def proxied(
    script: Script, tokens: Any = None, *, name: str = "127.0.0.1", base: str = "", **overrides: dict[str, Any]
) -> AsyncIterator[tuple[App, RawUpstream]]:
    """
    Run the proxy in front of a `RawUpstream` with *script*; *name* and *base* are those of `upstream.url`.

    An exception that asyncio would only log, ours or the script's, fails the test.
    """
    overrides = {"admin": {"enabled": False}, "log": {"level": "warning"}} | overrides
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    async with RawUpstream(script) as upstream:
        configuration = settings(f"http://{name}:{upstream.port}{base}", **overrides)
        async with running(configuration, tokens or FixedTokens()) as app:
            yield app, upstream
    assert lost == []
