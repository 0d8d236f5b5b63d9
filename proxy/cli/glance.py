"""What a person at a terminal sees first: where it listens, where it forwards, whether the token is there."""

import asyncio
import sys

from proxy import __version__
from proxy.admin.overview import Overview
from proxy.app import App

PATIENCE = 2.0
"""Seconds to wait for the first token before showing that it is not there yet."""


async def show(app: App, *, title: str, hint: str) -> None:
    """Wait a moment for the first token, then print the lines to standard output."""
    await app.tokens.first_result(PATIENCE)
    print("\n".join(lines(app.overview(), app.admin_url, title=title, hint=hint)), flush=True)


def lines(overview: Overview, admin_url: str, *, title: str, hint: str) -> list[str]:
    """Return the lines of the first screen."""
    rows = [
        ("listening on", overview.listen + on_all(overview.listen)),
        ("forwarding to", overview.upstream),
        ("token", token_text(overview)),
        ("admin page", admin_url or "off (admin.enabled)"),
    ]
    return [
        "",
        f"okta-proxy {__version__}{title}",
        "",
        *(f"  {name:<14} {value}" for name, value in rows),
        "",
        f"  Try:  {hint}",
        "  Stop: Ctrl-C",
        "",
    ]


def token_text(overview: Overview) -> str:
    """Return the token's state in a few words."""
    token = overview.token
    if token.usable and token.expires_at is not None:
        return f"ready, for {span(token.expires_at - overview.now)}"
    if token.error is None:
        return "waiting for the token endpoint"
    wait = "" if token.next_try_at is None else f" Next try in {span(token.next_try_at - overview.now)}."
    return f"none. {token.error}{wait}"


def span(seconds: float) -> str:
    """Return a duration as a person says it."""
    if seconds < 120:
        return f"{max(0, round(seconds))} s"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"


def on_all(url: str) -> str:
    """Return what to say behind an address that stands for all of a machine's."""
    return " (all addresses)" if "//0.0.0.0:" in url or "//[::]:" in url else ""


def is_wanted() -> bool:
    """Tell whether there is a person at a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def in_background(app: App, *, title: str, hint: str) -> "asyncio.Task[None]":
    """Show it while the proxy serves already. The caller cancels the task when the proxy ends."""
    return asyncio.create_task(show(app, title=title, hint=hint), name="glance")
