"""The living table: who waits, runs, is denied or held, and who lives on which node."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from domain.time import rfc3339
from infrastructure.demo.board import Board

_COLUMNS = ("submitted", "waiting", "running", "cacs", "denied", "held", "expired")


class LiveDisplay:
    """A table that stays in place while lines scroll above it.

    Args:
        live: where it is drawn.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._console = live.console
        self._shown = 0

    def act(self, title: str) -> None:
        """Print the title."""
        self._console.print(Text(title, style="bold"))

    def say(self, line: str) -> None:
        """Print the line."""
        self._console.print(Text(f"  {line}"))

    def moved(self, board: Board, at_ms: int) -> None:
        """Print what is new and draw the table again."""
        for line in board.lines[self._shown :]:
            self._console.print(Text(f"  {line}", style=_STYLES.get(line.partition(":")[0], "")))
        self._shown = len(board.lines)
        self._live.update(Group(_tenants(board, at_ms), _nodes(board)))


@contextmanager
def living_table(words: TextIO) -> Iterator[LiveDisplay]:
    """Keep a table in place on a terminal meanwhile; it is gone afterwards, the lines above it stay."""
    console = Console(file=words, highlight=False)
    with Live(console=console, refresh_per_second=8, transient=True, redirect_stdout=False) as live:
        yield LiveDisplay(live)


_STYLES = {"denied": "red", "held": "yellow", "re-authorised": "green", "quorum": "cyan", "expired": "magenta"}


def _tenants(board: Board, at_ms: int) -> Table:
    table = Table(title=f"at {rfc3339(at_ms)}", title_justify="left")
    table.add_column("tenant")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for tenant, standing in board.tenants.items():
        table.add_row(tenant, *(str(getattr(standing, name)) for name in _COLUMNS))
    return table


def _nodes(board: Board) -> Table:
    table = Table()
    for title in ("node", "country", "living there now"):
        table.add_column(title)
    for node in board.nodes:
        there = [living.tenant for living in board.living.values() if living.node == node.node]
        free = ["free"] * (node.slots - len(there))
        table.add_row(node.node, node.country, ", ".join([*there, *free]))
    return table
