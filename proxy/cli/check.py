"""
`okta-proxy check`: the doctor. Every step from the configuration to the upstream is tried once and judged.

The output holds no secret, no token and no password, so that it can be pasted into a ticket.
"""

import asyncio
import contextlib
import sys
from collections.abc import Mapping

from proxy.cli.doctor import files
from proxy.cli.doctor.examination import STEPS, Examination
from proxy.cli.doctor.report import Report, Verdict, failed, passed, secret_values, skipped, warned
from proxy.config import Settings, find, has_environment_keys, load, okta_token_url
from proxy.errors import ConfigError
from proxy.logs.rendering import is_terminal, wants_colours
from proxy.tokens.credentials import SecretFileError, read_secret

INTERRUPTED = 130
"""128 and SIGINT's number, as shells have it."""


def run(config: str | None, environ: Mapping[str, str], *, offline: bool, flags: Mapping[str, object]) -> int:
    """
    Check the configuration and, unless *offline*, what it points at; print a line for each step to standard output.

    *config* is what `-c` names, *flags* are full keys to values. Returns 0 when nothing failed (warnings are none),
    3 when a step did, 2 when the configuration cannot be used, 130 when Ctrl-C ended it.
    """
    report = Report(sys.stdout, colours=is_terminal(sys.stdout) and wants_colours(environ))
    try:
        return _run(config, environ, flags, report, offline=offline)
    except KeyboardInterrupt:
        print("okta-proxy check: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(
    config: str | None, environ: Mapping[str, str], flags: Mapping[str, object], report: Report, *, offline: bool
) -> int:
    settings = _configuration(config, environ, flags, report)
    if settings is None:
        report.end()
        return 2
    _hide_secrets(settings, report)
    report.add(*files.check(settings))
    if offline:
        report.add(skipped(", ".join(STEPS), "--offline"))
    else:
        asyncio.run(Examination(settings, environ, report).run())
    report.end()
    return 3 if report.has_failures else 0


def _configuration(
    config: str | None, environ: Mapping[str, str], flags: Mapping[str, object], report: Report
) -> Settings | None:
    """Report on the configuration and return it, None if it cannot be used."""
    try:
        path = find(config, environ)
        if path is None and not has_environment_keys(environ):
            report.add(nowhere())
            return None
        loaded = load(path, environ, flags=flags)
    except ConfigError as error:
        report.add(*(failed("config", problem) for problem in error.problems))
        report.add(skipped(", ".join(STEPS), "the configuration must be right first"))
        return None
    settings = loaded.settings
    report.add(found(path, settings), *(warned("config", warning) for warning in loaded.warnings))
    return settings


def nowhere() -> Verdict:
    """Return the verdict when there is no configuration at all."""
    return failed(
        "config",
        "there is none: no ./config.yaml, no /etc/okta-proxy/config.yaml, no OKTA_PROXY_... variable",
        "Copy config.example.yaml to config.yaml, or name a file with -c; `okta-proxy demo` needs none.",
    )


def found(path: str | None, settings: Settings) -> Verdict:
    """Return the verdict on a configuration that can be used: where it is from, and where everything goes."""
    oauth = settings.oauth
    token_url = oauth.token_url or okta_token_url(oauth.issuer or "")
    source = path if path is not None else "the environment"
    tokens = f"tokens come from {token_url}" if token_url else f"tokens come from the issuer {oauth.issuer}"
    return passed("config", f"{source}: requests go to {settings.upstream.url}, {tokens}")


def _hide_secrets(settings: Settings, report: Report) -> None:
    oauth = settings.oauth
    # Without one there is nothing to hide, and the next step says so.
    with contextlib.suppress(SecretFileError):
        report.hide(read_secret(oauth))
    report.hide(*secret_values([*oauth.extra_params.items(), *settings.upstream.headers.items()]))
    if oauth.proxy is not None:
        credentials = oauth.proxy.rpartition("@")[0].partition("://")[2]
        report.hide(credentials, credentials.partition(":")[2])
