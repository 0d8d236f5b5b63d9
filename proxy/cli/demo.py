"""`okta-proxy demo`: the same proxy, against an Okta emulator and an echo API inside the process."""

import errno
import secrets
import socket
import sys

from proxy import logs
from proxy.app import App
from proxy.cli.loop import keep_standard_files, raise_file_limit, run_until_done
from proxy.cli.run import serve
from proxy.config import Admin, Listen, Log, OAuth, Secret, Settings, Upstream, parse_url
from proxy.emulator import AuthorizationServer, EchoApi

USUAL_PORT = 8080
CLIENT_ID = "0oademo"
SCOPE = "api.read"


def run(*, port: int | None, token_life: float, log_level: logs.Level) -> int:
    """Run the demo until a signal ends it. Needs no account, no network and no file. Raises `StartError`."""
    keep_standard_files()
    raise_file_limit()
    writer = logs.configure(log_level, "auto", sys.stdout)
    try:
        run_until_done(lambda: _serve(port, token_life, log_level, writer))
    finally:
        writer.close()
    return 0


async def _serve(port: int | None, token_life: float, log_level: logs.Level, writer: logs.Writer) -> None:
    secret = secrets.token_urlsafe(30)
    async with (
        AuthorizationServer(client_id=CLIENT_ID, client_secret=(secret,), scopes=(SCOPE,), lifetime=token_life) as okta,
        EchoApi(okta, required_scope=SCOPE) as api,
        App(_settings(okta, api, secret, _listen_port(port), log_level), environ={}) as app,
    ):
        title = f" demo, with an Okta emulator at {okta.issuer}"
        await serve(app, writer, title=title, hint=f"curl {app.url}/hello", show=True)


def _settings(okta: AuthorizationServer, api: EchoApi, secret: str, port: int, log_level: logs.Level) -> Settings:
    return Settings(
        listen=Listen(port=port),
        upstream=Upstream(url=parse_url(api.base_url)),
        oauth=OAuth(
            issuer=okta.issuer,
            client_id=CLIENT_ID,
            client_secret=Secret(secret),
            scopes=(SCOPE,),
        ),
        # The neighbour of a free port need not be free.
        admin=Admin(port=0 if port == 0 else None),
        log=Log(level=log_level),
    )


def _listen_port(port: int | None) -> int:
    """Return the port that the user chose, else the usual one if it and the admin listener's are free, else 0."""
    if port is not None:
        return port
    return USUAL_PORT if _is_free(USUAL_PORT) and _is_free(USUAL_PORT + 1) else 0


def _is_free(port: int) -> bool:
    """Tell whether nothing listens on *port* on loopback; between this look and the bind it may still be taken."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.create_server((address, port), family=family):
                pass
        except OSError as error:
            if family == socket.AF_INET or error.errno == errno.EADDRINUSE:
                return False
    return True
