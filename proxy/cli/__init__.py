"""
The front door: one module a command.

Nothing heavy is imported before it is known which command runs: `health` and `wait` are probes, run each few seconds.
"""

import argparse
import gc
import os
import sys
from typing import Any

from proxy import __version__

FAILED = 1
USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 fine, 1 runtime failure, 2 configuration or usage, 3 a no."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.call(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output left. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        code = _explain(error)
        if code is None:
            raise
        return code


def _explain(error: Exception) -> int | None:
    """Print what a person can do about *error* and return the exit code, None if it is a bug."""
    from proxy.errors import ConfigError, StartError  # noqa: PLC0415

    if isinstance(error, ConfigError):
        print("okta-proxy: the configuration cannot be used:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return USAGE
    if isinstance(error, StartError):
        print(f"okta-proxy: {error}", file=sys.stderr)
        return FAILED
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="okta-proxy",
        description="A local reverse proxy that keeps an Okta access token fresh and adds it to every request.",
        epilog="Start with `okta-proxy demo`: no account and no network needed.",
    )
    parser.add_argument("--version", action="version", version=f"okta-proxy {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = _command(commands, "run", "run the proxy; Ctrl-C or SIGTERM drains and exits", _run)
    _configuration(run)
    run.add_argument("--port", type=_port, help="listen on this port (listen.port; 0 picks a free one)")
    run.add_argument("--upstream", metavar="URL", help="forward to this API (upstream.url)")
    run.add_argument("--log-level", choices=["debug", "info", "warning", "error"], help="log.level")

    demo = _command(commands, "demo", "the proxy with an Okta emulator and an echo API inside: no account", _demo)
    demo.add_argument(
        "--port", type=_port, help="listen on this port (without it: 8080, or a free one if that is taken)"
    )
    demo.add_argument(
        "--token-life", type=_life, default=3600.0, metavar="DURATION", help="how long its tokens live, from 2s; 1h"
    )
    demo.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")

    check = _command(commands, "check", "the doctor: tries each step and names the remedy", _check)
    _configuration(check)
    check.add_argument("--offline", action="store_true", help="only look at the configuration")
    check.add_argument("--json", action="store_true", help="print one JSON document, for scripts")

    token = _command(commands, "token", "get a token and print it", _token)
    _configuration(token)
    shape = token.add_mutually_exclusive_group()
    shape.add_argument("--claims", action="store_true", help="print its decoded claims instead")
    shape.add_argument(
        "--header", action="store_true", help="print its header line: curl -H @<(okta-proxy token --header) ..."
    )

    wait = _command(commands, "wait", "wait until a running proxy has a token", _wait)
    wait.add_argument("--timeout", type=_seconds, default=30.0, metavar="DURATION", help="30s by default")
    wait.add_argument("--url", help="the admin listener, http://localhost:8081 by default")

    health = _command(commands, "health", "ask a running proxy whether it serves: exit 0 or 1", _health)
    health.add_argument("--url", help="the admin listener, http://localhost:8081 by default")

    _command(commands, "schema", "print the configuration's JSON Schema, for editors", _schema)
    return parser


def _command(commands: Any, name: str, text: str, call: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    command.set_defaults(call=call)
    return command


def _configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="configuration file; else $OKTA_PROXY_CONFIG, ./config.yaml, /etc/okta-proxy/config.yaml",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    """Read `30s`, `2m`, `500ms` or plain seconds; the configuration's own reader would import too much for a probe."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)):
        if text.endswith(unit) and (number := text.removesuffix(unit)).replace(".", "", 1).isdecimal():
            return float(number) * factor
    raise argparse.ArgumentTypeError("must be a duration such as 30s, 2m or 500ms")


def _life(text: str) -> float:
    life = _seconds(text)
    if life < 2:
        raise argparse.ArgumentTypeError("must be at least 2s: a token's last second is never used")
    return life


def _run(options: argparse.Namespace) -> int:
    gc.disable()  # until `settle_heap`: what a start makes stays
    from proxy.cli import run  # noqa: PLC0415

    flags = {"listen.port": options.port, "upstream.url": options.upstream, "log.level": options.log_level}
    return run.run(options.config, os.environ, flags={key: value for key, value in flags.items() if value is not None})


def _demo(options: argparse.Namespace) -> int:
    gc.disable()  # until `settle_heap`: what a start makes stays
    from proxy.cli import demo  # noqa: PLC0415

    return demo.run(port=options.port, token_life=options.token_life, log_level=options.log_level)


def _check(options: argparse.Namespace) -> int:
    from proxy.cli import check  # noqa: PLC0415

    return check.run(options.config, os.environ, offline=options.offline, flags={}, as_json=options.json)


def _token(options: argparse.Namespace) -> int:
    from proxy.cli import token  # noqa: PLC0415

    shape: token.Shape = "claims" if options.claims else "header" if options.header else "token"
    return token.run(options.config, os.environ, shape=shape)


def _wait(options: argparse.Namespace) -> int:
    from proxy.cli import wait  # noqa: PLC0415

    return wait.run(options.url, options.timeout, os.environ)


def _health(options: argparse.Namespace) -> int:
    from proxy.cli import health  # noqa: PLC0415

    return health.run(options.url, os.environ)


def _schema(_: argparse.Namespace) -> int:
    from proxy.cli import schema  # noqa: PLC0415

    return schema.run()
