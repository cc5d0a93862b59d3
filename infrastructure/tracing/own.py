"""What a tenant takes along of the traces: of each of its entries `q`, its salt, and the path to the trace root.

Files of a bundle: `traces/<round>.jsonl`, a line for each of the log's entries in that round, in leaf order: {"index",
"kind", "leaf", "order", "path", "salt", "size"}, JCS, bytes in hex.

Invariants:
- A line tells of this tenant's entry alone: values of the tree beside it are hashes under keys that the tenant hasn't.
- The places of a round are sorted by hash: neither index nor path tells how many entries others had, beyond the size.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from domain.canonical import canonical, parse_canonical
from domain.errors import LedgerError, MalformedError, VerificationError
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.traces import Kind, TraceTree, order_value, trace_value
from infrastructure.tlog.files import MAX_NAMES, exists, read_file, shown
from infrastructure.tlog.verdict import naming
from infrastructure.tracing.lines import TracedRound

TRACES = "traces"
_NAME = re.compile(r"(0|[1-9][0-9]{0,17})\.jsonl", re.ASCII)
_MAX_BYTES = 1 << 30


class OwnEntry(NamedTuple):
    """Where an entry of the tenant's stands in a round's trace."""

    leaf: int
    kind: Kind
    order: bytes
    salt: bytes
    at: int
    size: int
    path: tuple[bytes, ...]


def own_path(round_index: int) -> str:
    """Return the path of a round's lines within a bundle."""
    return f"{TRACES}/{round_index}.jsonl"


def own_file(one: TracedRound, slot: int) -> tuple[str, bytes]:
    """Return the file of a slot's log in a round, as (path, bytes)."""
    return own_path(one.index), b"".join(canonical(_members(own)) + b"\n" for own in _own(one, slot))


def read_own(directory: Path) -> Iterator[tuple[int, list[OwnEntry]]]:
    """Yield a bundle's lines, round by round.

    Raises:
        VerificationError: naming the file and what is wrong with it.
    """
    if not exists(directory, TRACES):
        return
    found = [_NAME.fullmatch(entry.name) for entry in islice((directory / TRACES).iterdir(), MAX_NAMES + 1)]
    if len(found) > MAX_NAMES or None in found:
        raise VerificationError(f"{shown(TRACES)}: holds what is no round's trace")
    for index in sorted(int(one.group(1)) for one in found if one is not None):
        path = own_path(index)
        with naming(path):
            yield index, [_entry(line) for line in read_file(directory, path, _MAX_BYTES).splitlines()]


def _own(one: TracedRound, slot: int) -> Iterator[OwnEntry]:
    orders = [order_value(line.order_salt, one.index, place) for place, line in enumerate(one.lines)]
    values = [
        trace_value(line.entry_salt, line.kind, line.leaf_hash, line.view_digest, order)
        for line, order in zip(one.lines, orders, strict=True)
    ]
    tree = TraceTree(values, one.padding_seed)
    for line, order, value in zip(one.lines, orders, values, strict=True):
        if line.kind is Kind.CLOSING:
            continue
        view = parse_canonical(line.view)
        if view["slot"] == slot:
            index, path = tree.place(value)
            yield OwnEntry(view["leaf"], line.kind, order, line.entry_salt, index, tree.size, path)


def _members(own: OwnEntry) -> dict[str, Any]:
    return {
        "leaf": own.leaf,
        "kind": own.kind.name.lower(),
        "order": own.order.hex(),
        "salt": own.salt.hex(),
        "index": own.at,
        "size": own.size,
        "path": [node.hex() for node in own.path],
    }


def _entry(line: bytes) -> OwnEntry:
    try:
        members = parse_canonical(line)
        kind = Kind[members["kind"].upper()]
        numbers = [members[name] for name in ("leaf", "index", "size")]
        order, salt, *path = (bytes.fromhex(text) for text in (members["order"], members["salt"], *members["path"]))
    except (LedgerError, LookupError, TypeError, ValueError, AttributeError):
        raise MalformedError("a line that is no entry of a trace") from None
    if any(type(number) is not int or number < 0 for number in numbers) or any(
        len(one) != HASH_BYTES for one in (order, salt, *path)
    ):
        raise MalformedError("a line that is no entry of a trace")
    leaf, index, size = numbers
    return OwnEntry(leaf, kind, order, salt, index, size, tuple(path))
