"""Verifies a statement of usage offline, against a bundle of its log.

Invariants:
- The bundle is verified first, by the auditor's own code; a statement that is not of its log, or of another tree, is
  refused.
- Each line is held against the entry that it names. That none is missing follows from the entries of the period alone,
  so it is told only where all of them could be opened.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.cacs.events import UsageMetered
from domain.errors import LedgerError, VerificationError
from domain.message import event_from_json
from domain.tenants.events import TenantRegistered
from domain.usage.statements import Line, UsageStatement, line_of
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.key_index import build_index
from infrastructure.audit.opening import Item, Opened
from infrastructure.audit.reading import Source, read_chunks
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import REFUSED, Verification
from infrastructure.workers import Workers

LINES = "every line: its entry, by leaf index and leaf hash, says these amounts"
WHOLE = "the period: no other entry of the log meters anything in it"
TREE = "the tree that the statement names is the log's own"
_HIDDEN = "that no line is missing: {} entries could not be opened with the keys that came along"
_GRACE_MS = 60_000
"""So near to its end a line may belong after the period, where entries before it are sealed."""
_TENANT = "whose log it is: its own stream was not disclosed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a statement. `whole` tells whether it is shown that no line is missing."""

    ok: bool
    trust: str
    whole: bool = False
    error: str | None = None
    checked: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return its members as a command prints them."""
        return {
            "ok": self.ok, "trust": self.trust, "whole": self.whole, "first_error": self.error,
            "checked": list(self.checked), "not_checked": list(self.not_checked),
            "fingerprints": list(self.fingerprints),
        }  # fmt: skip


def verify_statement(said: UsageStatement, directory: Path, verify: Callable[[], Verification]) -> Verdict:
    """Hold a statement against a bundle.

    Args:
        said: the statement.
        directory: the bundle.
        verify: verifies the bundle.
    """
    try:
        return _held(said, directory, verify())
    except LedgerError as error:
        return Verdict(ok=False, trust=REFUSED, error=str(error)[:1000])


def _held(said: UsageStatement, directory: Path, bundle: Verification) -> Verdict:
    if not bundle.ok or bundle.size is None:
        raise VerificationError(bundle.first_error or "the bundle does not verify")
    if bundle.origin != said.origin:
        raise VerificationError("the bundle is of another log than the statement's")
    if said.size > bundle.size:
        raise VerificationError(f"the statement is of size {said.size}, and the bundle ends at {bundle.size}")
    if TileTree(directory, bundle.size).checkpoint(said.origin, said.size).root.hex() != said.root:
        raise VerificationError(f"the log had another root at size {said.size} than the statement names")
    found = _read(said, directory, bundle.size)
    _compare(said, found)
    left = list(bundle.not_checked)
    if found.sealed:
        left.append(_HIDDEN.format(found.sealed))
    if found.tenant is None:
        left.append(_TENANT)
    elif found.tenant != said.tenant:
        raise VerificationError("the log is another tenant's than the statement names")
    whole = found.sealed == 0
    checked = (TREE, *((LINES,) if said.lines else ()), *((WHOLE,) if whole else ()), *bundle.checked)
    return Verdict(
        ok=True, trust=bundle.trust, whole=whole, checked=checked, not_checked=tuple(left),
        fingerprints=bundle.fingerprints,
    )  # fmt: skip


@dataclass
class _Found:
    """What a bundle has of a statement's tree: lines in order, sealed entries, and whose log it is."""

    lines: list[Line]
    sealed: int = 0
    tenant: str | None = None


def _read(said: UsageStatement, directory: Path, size: int) -> _Found:
    found, newest_ms = _Found([]), 0
    for index, item in _items(directory, size, said.origin):
        if index >= said.size:
            break
        if not isinstance(item, Opened):
            found.sealed += 1
        elif item.topic == UsageMetered.TOPIC:
            newest_ms = max(newest_ms, item.at_ms)
            event = event_from_json(item.topic, item.event)
            if isinstance(event, UsageMetered):
                found.lines.append(line_of(event, leaf_index=index, leaf_hash=item.leaf_hash, at_ms=newest_ms))
        elif index == 0:
            registered = event_from_json(item.topic, item.event)
            if isinstance(registered, TenantRegistered):
                found.tenant = f"{registered.dao}/{registered.jurisdiction}"
    return found


def _items(directory: Path, size: int, origin: str) -> Iterator[tuple[int, Item]]:
    if not (directory / KEYS).is_file():
        yield from ((index, 0) for index in range(size))
        return
    with tempfile.TemporaryDirectory(prefix="usage-") as folder, Workers(1) as workers:
        source = Source(directory, size, origin, Path(folder) / "keys.index")
        build_index(directory, source.index)
        index = 0
        for chunk in read_chunks(source, 0, workers, dict):
            if chunk.error is not None:
                raise VerificationError(chunk.error)
            for item in chunk.items:
                yield index, item
                index += 1


def _compare(said: UsageStatement, found: _Found) -> None:
    """Hold the lines against the entries. Where some are sealed a line's instant may be later than can be told."""
    known = {line.leaf_index: line for line in found.lines}
    for line in said.lines:
        there = known.get(line.leaf_index)
        if there is None and not found.sealed:
            raise VerificationError(f"entry {line.leaf_index} meters nothing")
        if there is None:
            raise VerificationError(f"entry {line.leaf_index} could not be opened: the line can't be held against it")
        same = there if not found.sealed else there.model_copy(update={"at_ms": max(there.at_ms, line.at_ms)})
        if line != same:
            raise VerificationError(f"entry {line.leaf_index} does not say what the line says")
    told = {line.leaf_index for line in said.lines}
    until_ms = said.to_ms - (_GRACE_MS if found.sealed else 0)
    for line in found.lines:
        if line.leaf_index not in told and said.from_ms <= line.at_ms < until_ms:
            raise VerificationError(f"entry {line.leaf_index} meters something in the period, and has no line")
