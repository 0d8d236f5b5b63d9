"""
The token endpoint of the DPoP scenario, as a process of its own: `python -m benchmarks.emulator PORT`.

nginx gives every client the same token, which is bound to no key; this one binds it to the key of the proof.
"""

import asyncio
import sys

from benchmarks.configurations import CLIENT_ID, CLIENT_SECRET, LIFETIME, SCOPE
from proxy.emulator import AuthorizationServer


async def serve(port: int) -> None:
    """Give tokens until the process is ended."""
    async with AuthorizationServer(
        client_id=CLIENT_ID, client_secret=CLIENT_SECRET, scopes=(SCOPE,), lifetime=LIFETIME, port=port
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
