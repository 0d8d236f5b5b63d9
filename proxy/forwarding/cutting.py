"""Ends a connection so that nobody takes the end for a good one: with a reset."""

import asyncio
import contextlib
import socket
import struct
import sys

FLUSH = 5.0
"""Seconds for the bytes before a cut to reach the client."""


def reset(transport: asyncio.Transport) -> None:
    """Close with a RST, whatever is still on its way."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def flushed(transport: asyncio.Transport) -> None:
    """Return when what was written has reached the other side, or after `FLUSH`: a RST would overtake it."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FLUSH):
            transport.set_write_buffer_limits(0)
            # The kernel tells nobody when its own queue is empty.
            while not transport.is_closing() and (transport.get_write_buffer_size() or _unsent(sock)):  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # the kernel's queue has no event


def _unsent(sock: socket.socket | None) -> int:
    """Return how many bytes the kernel has not delivered yet, 0 where it does not tell."""
    if sock is None or sys.platform != "linux":
        return 0
    # Neither module exists on Windows.
    import fcntl  # noqa: PLC0415
    import termios  # noqa: PLC0415

    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0
