"""
`okta-proxy check`: the doctor. Every step from the configuration to the upstream is tried once and judged.

The output holds no secret, no token and no password, so that it can be pasted into a ticket.
"""

import asyncio
import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from proxy.cli.doctor import files
from proxy.cli.doctor.document import JsonReport
from proxy.cli.doctor.examination import STEPS, Examination
from proxy.cli.doctor.report import Report, Verdict, failed, passed, secret_values, skipped, warned
from proxy.config import Settings, credentials, find, has_environment_keys, load, okta_token_url
from proxy.errors import ConfigError
from proxy.logs.rendering import is_terminal, wants_colours
from proxy.tokens.credentials import CredentialError, read_file, read_secrets

_SHORTEST_PIECE = 24
"""Characters of a key's base64 that tell something; words of its file are shorter."""
INTERRUPTED = 130
"""128 and SIGINT's number, as shells have it."""


def run(
    config: str | None,
    environ: Mapping[str, str],
    *,
    offline: bool,
    flags: Mapping[str, object],
    as_json: bool = False,
) -> int:
    """
    Check the configuration and, unless *offline*, what it points at; print a line for each step to standard output.

    *config* is what `-c` names, *flags* are full keys to values; *as_json* prints one document at the end instead.
    Returns 0 when nothing failed (warnings are none), 3 when a step did, 2 when the configuration cannot be used, 130
    when Ctrl-C ended it (then there is no document).
    """
    if as_json:
        report: Report = JsonReport(sys.stdout)
    else:
        report = Report(sys.stdout, colours=is_terminal(sys.stdout) and wants_colours(environ))
    try:
        code = _run(config, environ, flags, report, offline=offline)
        report.end(code)
    except KeyboardInterrupt:
        print("okta-proxy check: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _run(
    config: str | None, environ: Mapping[str, str], flags: Mapping[str, object], report: Report, *, offline: bool
) -> int:
    settings = _configuration(config, environ, flags, report)
    if settings is None:
        return 2
    report.hide(*secrets_of(settings))
    report.add(*files.check(settings))
    if offline:
        report.add(skipped(", ".join(STEPS), "--offline"))
    else:
        asyncio.run(Examination(settings, environ, report).run())
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
    # Who may read the files of keys is a step of its own.
    elsewhere = set(credentials.warnings(files.key_files(settings.oauth)))
    warnings = [warning for warning in loaded.warnings if warning not in elsewhere]
    report.add(found(path, settings), *(warned("config", warning) for warning in warnings))
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


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield all that the configuration and its files hold of secrets, but for a command's: that is known later."""
    oauth, upstream = settings.oauth, settings.upstream
    # Without one there is nothing to hide, and the next step says so.
    with contextlib.suppress(CredentialError):
        yield from read_secrets(oauth)
    yield from secret_values([*oauth.extra_params.items(), *upstream.headers.items()])
    for address in (oauth.proxy, upstream.proxy):
        if address is not None:
            userinfo = address.rpartition("@")[0].partition("://")[2]
            password = userinfo.partition(":")[2]
            yield from (userinfo, password, unquote(password))
    yield from _of_keys(settings)


def _of_keys(settings: Settings) -> Iterator[str]:
    """Yield the long pieces of the private keys as they are written, and the passphrase."""
    oauth = settings.oauth
    texts = [oauth.private_key.reveal()] if oauth.private_key is not None else []
    for name, path in files.key_files(oauth).items():
        with contextlib.suppress(CredentialError):
            texts += [read_file(path, name).decode(errors="replace")] if path is not None else []
    for text in texts:
        yield from (piece for piece in re.split(r"[\s\"\\]+", text) if len(piece) > _SHORTEST_PIECE)
    if oauth.private_key_passphrase_file is not None:
        yield texts[-1].strip("\r\n")
