"""Real observations, freely usable, as the demo's clauses read them. Each file names its source in its own header.

Invariants:
- The numbers are the published ones, as integers; a header line says by what they were multiplied.
- `text` is exactly what the clauses read: one ``label,value`` a line, ASCII, LF, oldest first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from domain.errors import MalformedError, UnknownError

Row = tuple[str, int]
"""Label (year, year and month, or date) and value."""

_DATA: Final = files("infrastructure.demo") / "data"
_HEADER: Final = re.compile(r"# (title|source|licence|unit|scaling|label): (.+)")
_ROW: Final = re.compile(r"([0-9][0-9-]{3,9}),(0|-?[1-9][0-9]{0,11})")
_HEADERS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series of observations, oldest first, with where it comes from."""

    name: str
    title: str
    source: str
    licence: str
    unit: str
    scaling: str
    rows: tuple[Row, ...]


def names() -> tuple[str, ...]:
    """Return the names of all series."""
    return tuple(sorted(entry.name.removesuffix(".csv") for entry in _DATA.iterdir() if entry.name.endswith(".csv")))


def load(name: str) -> Series:
    """Read a series.

    Raises:
        UnknownError: when there is none of that name.
        MalformedError: when its file is not of its form.
    """
    if name not in names():
        raise UnknownError(f"no series {name!a}; there are {', '.join(names())}")
    lines = (_DATA / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    header = {match[1]: match[2] for line in lines[:_HEADERS] if (match := _HEADER.fullmatch(line))}
    if len(header) != _HEADERS:
        raise MalformedError(f"series {name}: its header must name title, source, licence, unit, scaling and label")
    return Series(
        name=name,
        title=header["title"],
        source=header["source"],
        licence=header["licence"],
        unit=header["unit"],
        scaling=header["scaling"],
        rows=tuple(_row(name, line) for line in lines[_HEADERS:]),
    )


def text(rows: Sequence[Row]) -> bytes:
    """Return rows as input 0 of a clause."""
    return "".join(f"{label},{value}\n" for label, value in rows).encode("ascii")


def parameters(*values: int) -> bytes:
    """Return parameters as input 1 of a clause."""
    return "".join(f"{value}\n" for value in values).encode("ascii")


def _row(name: str, line: str) -> Row:
    match = _ROW.fullmatch(line)
    if match is None:
        raise MalformedError(f"series {name}: {line[:40]!a} is not label,value")
    return match[1], int(match[2])
