"""What a server remembers of its requests: a bounded list of records, and a way to wait for the next one."""

import asyncio
from typing import TypeVar

Record = TypeVar("Record")


class Journal(list[Record]):
    """
    The last *keep* records, oldest first. A record is put in when its request arrives.

    `total` counts all that ever arrived.
    """

    def __init__(self, keep: int) -> None:
        super().__init__()
        self.keep = keep
        self.total = 0
        self._arrival = asyncio.Event()

    def arrive(self, record: Record) -> None:
        """Put *record* in and wake whoever waits."""
        self.append(record)
        if len(self) > self.keep:
            del self[0]
        self.total += 1
        self._arrival.set()
        self._arrival = asyncio.Event()

    def replace(self, old: Record, new: Record) -> None:
        """Put *new* where *old* is; nothing happens if *old* has been dropped since."""
        for index in range(len(self) - 1, -1, -1):
            if self[index] is old:
                self[index] = new
                return

    async def reached(self, total: int) -> None:
        """Wait until *total* requests have arrived in all."""
        while self.total < total:
            await self._arrival.wait()
