"""Azure's traces of inference requests (TIMESTAMP,ContextTokens,GeneratedTokens) as a workloads' file of `simulate`.

    python -m scripts.traces TRACE.csv WORKLOADS.jsonl

The trace tells when a request came, to 100 ns, and its sizes. Everything else is made up, and the command says so:
arrival, in whole ms after the first, and sizes are the trace's (runtime: 1 ms for each token read, 25 for each one
written; memory: 1 MiB for each token); DAO, jurisdiction, resource class, tags, attributes, in country, independence
and faults follow from a hash of the line's id, so that every run makes the same file.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from domain.errors import LedgerError, MalformedError
from infrastructure.simulating.inputs import MAX_BYTES, MAX_RUNTIME_MS

COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
DERIVED = ("dao", "jurisdiction", "resource_class", "slots", "tags", "forbid_tags", "requires", "in_country",
           "independent", "fails")  # fmt: skip
"""The fields that follow from a hash of the id."""

READ_MS, WRITTEN_MS, TOKEN_BYTES = 1, 25, 2**20
JURISDICTIONS = ("DEU", "FRA", "KEN", "USA")
CLASSES = ("Disaster::Flood@v1", "Health::Triage@v1", "Finance::Audit@v1", "Planning::Route@v1")


def workloads(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the workloads of a trace.

    Raises:
        MalformedError: for a file that is no such trace, with the line's number.
    """
    try:
        with path.open(encoding="ascii", newline="") as file:
            rows = csv.reader(file)
            if next(rows, None) != COLUMNS:
                raise MalformedError(f"{path}:1: the columns are not {','.join(COLUMNS)}")
            first_ms: int | None = None
            for number, row in enumerate(rows, start=2):
                at_ms, read, written = _row(path, number, row)
                first_ms = at_ms if first_ms is None else first_ms
                if at_ms < first_ms:
                    raise MalformedError(f"{path}:{number}: comes before the first line")
                yield _workload(f"{path.stem}-{number}", at_ms - first_ms, read, written)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MalformedError(f"cannot read {path}: {error}") from None


def main(arguments: Sequence[str]) -> int:
    """Write a trace's workloads; return the exit code."""
    if len(arguments) != 2:  # noqa: PLR2004 - from where, and to where
        print("usage: python -m scripts.traces TRACE.csv WORKLOADS.jsonl", file=sys.stderr)
        return 64
    source, out = map(Path, arguments)
    try:
        lines = [json.dumps(one) + "\n" for one in workloads(source)]
        out.write_text("".join(lines))
    except (LedgerError, OSError) as error:
        print(f"traces: {error}", file=sys.stderr)
        return 1
    print(f"{len(lines)} workloads; not in the trace, but from a hash of the id: {', '.join(DERIVED)}", file=sys.stderr)
    return 0


def _row(path: Path, number: int, row: Sequence[str]) -> tuple[int, int, int]:
    try:
        instant, read, written = row
        at = datetime.strptime(instant[:23], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        return (at - _EPOCH) // _MS, _number(read), _number(written)
    except ValueError:
        raise MalformedError(f"{path}:{number}: not an instant and two numbers") from None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def _workload(id_: str, at_ms: int, read: int, written: int) -> dict[str, Any]:
    chance = sha256(id_.encode()).digest()
    return {
        "id": id_,
        "at_ms": at_ms,
        "dao": f"Dao-{chance[0] % 50}",
        "jurisdiction": JURISDICTIONS[chance[1] % len(JURISDICTIONS)],
        "resource_class": CLASSES[chance[2] % len(CLASSES)],
        "slots": 1 + chance[3] % 2,
        "memory_bytes": min(max(read + written, 1) * TOKEN_BYTES, MAX_BYTES),
        "runtime_ms": min(max(read * READ_MS + written * WRITTEN_MS, 1), MAX_RUNTIME_MS),
        "tags": [["public"], ["personal"], []][chance[4] % 3],
        "forbid_tags": ["public"] if chance[5] % 10 == 0 else [],
        "requires": ["gpu"] if chance[6] % 4 == 0 else [],
        "in_country": chance[7] % 5 == 0,
        "independent": 2 if chance[8] % 20 == 0 else 1,
        "fails": chance[9] % 100 == 0,
    }
