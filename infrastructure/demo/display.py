"""How a demo is shown: a small port, lines for pipes and a living table for terminals."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from domain.time import rfc3339
from infrastructure.demo.board import Board


class Display(Protocol):
    """Is told what happens."""

    def act(self, title: str) -> None:
        """Begin a part of the demo."""
        ...

    def say(self, line: str) -> None:
        """Tell something worth reading."""
        ...

    def moved(self, board: Board, at_ms: int) -> None:
        """Show how things stand at an instant."""
        ...


class PlainDisplay:
    """Lines, one after the other.

    Args:
        words: where they go.
    """

    def __init__(self, words: TextIO) -> None:
        self._words = words
        self._shown = 0
        self._next = _STEP

    def act(self, title: str) -> None:
        """Print the title."""
        self._print(f"== {title}")

    def say(self, line: str) -> None:
        """Print the line."""
        self._print(f"   {line}")

    def moved(self, board: Board, at_ms: int) -> None:
        """Print what is new, and a count now and then."""
        for line in board.lines[self._shown :]:
            self._print(f"   {line}")
        self._shown = len(board.lines)
        if board.counts["executed"] >= self._next:
            self._next = board.counts["executed"] + _STEP
            waiting = sum(standing.waiting for standing in board.tenants.values())
            self._print(
                f"   {rfc3339(at_ms)}  {board.counts['executed']} executed, {board.counts['cacs']} CACs,"
                f" {len(board.living)} running, {waiting} waiting, {board.denied.total()} denied"
            )

    def _print(self, line: str) -> None:
        print(line, file=self._words, flush=True)


_STEP = 50
"""Executions between two lines of counts."""


@contextmanager
def display_for(words: TextIO) -> Iterator[Display]:
    """Yield a living table where `words` is a terminal, and lines otherwise."""
    if not words.isatty():
        yield PlainDisplay(words)
        return
    from infrastructure.demo.live import living_table  # noqa: PLC0415 - rich is slow to import; only who looks pays

    with living_table(words) as display:
        yield display
