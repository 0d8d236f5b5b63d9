"""What the commands print to standard output, with one line instead of a traceback where that fails."""

import contextlib
import os
from typing import TextIO

from proxy.errors import StartError


def write(text: str, stream: TextIO) -> None:
    """
    Write *text* and a line's end to *stream*, at once.

    Raises `StartError` if there is no room or no device for it, and `BrokenPipeError` if the reader has left.
    """
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python flushes again at exit, and would complain of what is left in the buffer.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise StartError(f"the output cannot be written: {error.strerror}") from None
