"""What a run prints: a table for people, or one object on one line.

Invariants:
- The object has exactly the members name, machine, results; sizes and the peers' settings lie within machine, as they
  belong to the conditions of the measurement.
- A number is printed as it was judged.
"""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.bench.benchmark import Measured
from scripts.bench.machine import describe_machine
from scripts.bench.metrics import Result


def conditions(measured: Measured, *, quick: bool) -> dict[str, Any]:
    """Return what the numbers rest on: machine, database, sizes, peers' settings."""
    run = {"quick": quick, "sizes": dict(measured.sizes), "peers": dict(measured.peers)}
    return {**describe_machine(), **measured.machine, **run}


def as_json(name: str, measured: Measured, *, quick: bool) -> str:
    """Return the object on one line."""
    results = [result.row() for result in measured.results]
    value = {"name": name, "machine": conditions(measured, quick=quick), "results": results}
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))


def print_table(name: str, measured: Measured, *, quick: bool) -> None:
    """Print the conditions, then one row for each metric."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for key, value in conditions(measured, quick=quick).items():
        for line in _lines(key, value):
            console.print(line)
    table = Table(title=f"{name}{' (quick)' if quick else ''}", title_justify="left")
    for column in ("metric", "ours", "peer", "unit", "ratio", "floor", "aim", "holds"):
        table.add_column(column, justify="right" if column in {"ours", "peer", "ratio", "floor", "aim"} else "left")
    for result in measured.results:
        table.add_row(*_cells(result))
    console.print(table)


def _cells(result: Result) -> list[str]:
    metric = result.metric
    floor = f"{'<= ' if metric.less_is_better and not metric.floor.endswith(' x') else ''}{metric.floor}"
    ratio = "-" if result.ratio is None else f"{result.ratio:.2f} x"
    return [
        metric.id, _number(result.value), _number(result.peer), metric.unit, ratio, floor, metric.aim or "-",
        "yes" if result.holds else "NO",
    ]  # fmt: skip


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"  # noqa: PLR2004 - three digits say enough


def _lines(key: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key} {name}: {text}" for name, text in value.items()]
    return [f"{key}: {value}"]
