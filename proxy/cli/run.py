"""`okta-proxy run`: the proxy itself."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping

import structlog

from proxy import logs
from proxy.app import App
from proxy.cli import glance
from proxy.cli.loop import keep_standard_files, on_signals, raise_file_limit, run_until_done, settle_heap
from proxy.config import Settings, find, has_environment_keys, load
from proxy.errors import ConfigError

NOTHING_CONFIGURED = (
    "there is no configuration: no -c, no $OKTA_PROXY_CONFIG, no ./config.yaml, no /etc/okta-proxy/config.yaml and no "
    "OKTA_PROXY_<SECTION>__<KEY> in the environment. To see it work first: okta-proxy demo. To start: copy "
    "config.example.yaml to config.yaml, or set OKTA_PROXY_UPSTREAM__URL, OKTA_PROXY_OAUTH__ISSUER, "
    "OKTA_PROXY_OAUTH__CLIENT_ID and OKTA_PROXY_OAUTH__CLIENT_SECRET_FILE."
)


def run(config: str | None, environ: Mapping[str, str], *, flags: Mapping[str, object]) -> int:
    """Run the proxy until a signal or `/quitquitquit` ends it. Raises `ConfigError` and `StartError`."""
    path = find(config, environ)
    if path is None and not has_environment_keys(environ):
        raise ConfigError([NOTHING_CONFIGURED])
    loaded = load(path, environ, flags=flags)
    keep_standard_files()
    raise_file_limit()
    writer = logs.configure(loaded.settings.log.level, loaded.settings.log.format, sys.stdout)
    try:
        log = structlog.get_logger("config")
        for warning in loaded.warnings:
            log.warning("configuration", note=warning)
        run_until_done(lambda: _serve(loaded.settings, environ, writer))
    finally:
        writer.close()
    return 0


async def _serve(settings: Settings, environ: Mapping[str, str], writer: logs.Writer) -> None:
    async with App(settings, environ=environ) as app:
        await serve(app, writer, title="", hint=f"curl {app.url}/", show=glance.is_wanted())


async def serve(app: App, writer: logs.Writer, *, title: str, hint: str, show: bool) -> None:
    """Run *app* until it is asked to end, with the first screen if there is somebody to see it."""
    on_signals(app.stop, writer)
    settle_heap()
    screen = glance.in_background(app, title=title, hint=hint) if show else None
    try:
        await app.run()
    finally:
        if screen is not None:
            screen.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await screen
