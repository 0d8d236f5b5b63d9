"""`okta-proxy wait`: asks `/readyz` until it says yes, for scripts and for containers that start after the proxy."""

import sys
import time
from collections.abc import Mapping

from proxy.cli import health

PAUSE = 0.2
"""Seconds between two questions."""

LEAST = 1.0
"""Seconds that an answer may take, however little is left: a proxy at a tenth of a core needs its turn."""


def run(url: str | None, timeout_seconds: float, environ: Mapping[str, str]) -> int:
    """
    Ask `/readyz` until it answers 200 and return 0, or 3 if it has not within *timeout_seconds*.

    It is asked at least once, and the last answer may come a second late. A no is one line on standard error, with
    the last answer's reason. An address that cannot be told is a mistake that waiting does not mend: 2.
    """
    deadline = time.monotonic() + timeout_seconds
    try:
        host, port = health.address(url, environ)
    except health.ProbeError as error:
        print(f"okta-proxy wait: {error}", file=sys.stderr)
        return 2
    while True:
        left = deadline - time.monotonic()
        try:
            health.ask(host, port, "/readyz", min(health.TIMEOUT, max(left, LEAST)))
        except health.ProbeError as error:
            if deadline - time.monotonic() <= PAUSE:
                print(f"okta-proxy wait: not ready after {timeout_seconds:g} s: {error}", file=sys.stderr)
                return 3
        else:
            return 0
        time.sleep(PAUSE)  # between two questions; there is no loop in this process, and nobody tells
