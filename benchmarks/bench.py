"""What every scenario is given: the programs, the cores, how long and how often to measure; and a place to do it in."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peers
from benchmarks.servers import Servers, on_core
from benchmarks.tools import ROOT, Cores, Tools


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure: *rounds* of *seconds* each."""

    tools: Tools
    cores: Cores
    rounds: int
    seconds: int
    tree: Path = ROOT
    """The checkout whose proxy is measured."""

    @contextlib.contextmanager
    def peers(self) -> Iterator[Peers]:
        """Give an upstream, and the means to start contenders; at the end they are gone, with their files."""
        with (
            tempfile.TemporaryDirectory(prefix="okta-proxy-bench-") as folder,
            on_core(self.cores.load),
            Servers(Path(folder)) as servers,
        ):
            yield Peers(self.tools, self.cores, servers, self.tree)


def tell(text: str) -> None:
    """Say what is going on, where it does not get into the report."""
    print(text, file=sys.stderr, flush=True)
