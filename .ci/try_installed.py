"""
Tries an installed `okta-proxy` as the container image runs it, and ends with 1 at the first thing that is wrong.

    python3 .ci/try_installed.py /path/to/venv/bin/okta-proxy

As root it runs as user 10001, who owns nothing; HOME is unset and the working directory is /. Standard library only.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading

USER = 10001


def options() -> dict[str, object]:
    """Return how the command is started: another user, no home, nothing in the environment, nowhere to write."""
    start: dict[str, object] = {"cwd": "/", "env": {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}}
    if os.getuid() == 0:
        start |= {"user": USER, "group": USER, "extra_groups": []}
    return start


def output(*command: str) -> str:
    """Run *command* and return what it prints; its failure is ours."""
    print("$", shlex.join(command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=30, **options())
    return done.stdout


def demo(okta_proxy: str) -> None:
    """Start the demo, run the curl line that it prints, and stop it: it must end with 0."""
    print("$", okta_proxy, "demo", flush=True)
    process = subprocess.Popen(
        [okta_proxy, "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options()
    )
    # Whatever happens, nothing waits for ever.
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        screen = ""
        while "curl " not in screen:
            line = process.stdout.readline()
            if not line:
                sys.exit("The demo ended without a curl line to try.")
            print(" ", line, end="", flush=True)
            screen += line
        admin = re.search(r"admin page +(http://localhost:\d+)", screen)[1]
        output(okta_proxy, "wait", "--timeout", "10s", "--url", admin)
        output(okta_proxy, "health", "--url", admin)
        curl = re.search(r"curl http://localhost:\d+\S*", screen)[0]
        answer = output(*curl.split(), "--silent", "--show-error", "--fail")
        print(" ", answer)
        if json.loads(answer)["token"]["sub"] != "0oademo":
            sys.exit("The request reached the API without the demo's token.")
        process.send_signal(signal.SIGTERM)
        for line in process.stdout:
            print(" ", line, end="", flush=True)
        if code := process.wait():
            sys.exit(f"The demo ended with {code} instead of 0.")
    finally:
        killer.cancel()
        process.kill()


def main() -> None:
    """Try all that does not need an account."""
    okta_proxy = sys.argv[1]
    print(output(okta_proxy, "--version"))
    if json.loads(output(okta_proxy, "schema"))["type"] != "object":
        sys.exit("The schema describes no object.")
    demo(okta_proxy)


main()
