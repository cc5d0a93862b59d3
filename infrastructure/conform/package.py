"""The cell audit package: what a cell's auditor takes along, written round by round and checked offline.

Files: `cell.json`, written last; `anchors/checkpoint` and `anchors/log.vkey`; `rounds.jsonl`, a line for each round of
that checkpoint: {"entry", "round", "trace": null | {"after", "padding", "position"}}; and for each round with a trace
`traces/<round>.jsonl`, a line for each entry in order: {"entry_salt", "kind", "leaf", "order_salt", "position",
"returned", "view"}. All JCS, bytes in hex, texts as they are.

Invariants:
- The entries of all rounds give the root of the anchor log's checkpoint; each round's lines give line 5 of its entry.
  So nothing in the package needs to be believed but the keys that sign the checkpoint.
- Of a round's lines memory holds one, and 32 bytes of each while its root is found; a round has MAX_LINES at most. They
  are read twice, and must be the same both times.
- The package holds no key, but it does hold what the scheduler knows of everybody: it is made 0700.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from domain.canonical import canonical, parse_canonical
from domain.errors import ConflictError, LedgerError, MalformedError, UnavailableError, VerificationError
from domain.transparency.anchor_evidence import SignedCheckpoint
from domain.transparency.anchors import AnchorEntry
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import HASH_BYTES, leaf_hash
from domain.transparency.note import MAX_NOTE_BYTES
from domain.transparency.traces import Kind
from infrastructure.audit.anchored import Expected
from infrastructure.audit.bundle_openings import ANCHOR_CHECKPOINT, ANCHOR_KEYS, read_anchor_keys
from infrastructure.audit.witnessed import Judge
from infrastructure.keys.private_files import make_private_directory
from infrastructure.tlog.files import open_file, read_file
from infrastructure.tlog.verdict import naming
from infrastructure.tracing.lines import Line, TracedRound

CELL = "cell.json"
ROUNDS = "rounds.jsonl"
FORMAT: Final = "ledger-cell-audit/v1"

MAX_LINES: Final = 1 << 23
"""Lines of a round's trace: at 10,000 decisions a second what comes in 14 minutes."""

_MAX_LINE_BYTES = 1 << 18
_MAX_FILE_BYTES = 1 << 40
_MAX_CELL_BYTES = 4096
_LETTERS = {Kind.INPUT: "input", Kind.DECISION: "decision", Kind.CLOSING: "closing"}
_KINDS = {letters: kind for kind, letters in _LETTERS.items()}


def trace_path(round_index: int) -> str:
    """Return the path of a round's trace within a package."""
    return f"traces/{round_index}.jsonl"


def write_package(
    out: Path,
    rounds: Iterable[TracedRound],
    *,
    anchors: str,
    checkpoint: bytes,
    keys: bytes,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write a package; return how many entries it has.

    Args:
        out: a directory that is missing or empty.
        rounds: those of the checkpoint, from the first.
        anchors: the anchor log's origin.
        checkpoint: its cosigned note.
        keys: its verifier keys, as `log.vkey` has them.
        progress: called with the number of rounds done.

    Raises:
        ConflictError: when `out` holds something.
        UnavailableError: when the disk refuses.
    """
    count = written = 0
    try:
        if out.exists() and any(out.iterdir()):
            raise ConflictError(f"{out} holds something already: name a directory that is missing or empty")
        for folder in (out, out / "anchors", out / "traces"):
            make_private_directory(folder)
        (out / ANCHOR_CHECKPOINT).write_bytes(checkpoint)
        (out / ANCHOR_KEYS).write_bytes(keys)
        with (out / ROUNDS).open("wb") as index:
            for one in rounds:
                index.write(canonical(_head(one)) + b"\n")
                if one.traced:
                    with (out / trace_path(one.index)).open("wb") as file:
                        for line in one.lines:
                            file.write(canonical(_members(line)) + b"\n")
                            written += line.kind is not Kind.CLOSING
                count += 1
                if progress is not None:
                    progress(count)
        (out / CELL).write_bytes(canonical({"anchors": anchors, "format": FORMAT, "rounds": count}))
    except OSError as error:
        raise UnavailableError(f"cannot write {out}: {error.strerror or error}") from None
    return written


class Package:
    """A package as somebody else wrote it.

    Args:
        path: its directory.
        expected: what the auditor knows from outside, and demands.

    Raises:
        VerificationError: when it is no whole package, or its checkpoint is not signed as it must be.
    """

    def __init__(self, path: Path, expected: Expected) -> None:
        self._path = path
        with naming(CELL):
            about = parse_canonical(read_file(path, CELL, _MAX_CELL_BYTES))
            if not isinstance(about, dict) or about.get("format") != FORMAT or type(about.get("anchors")) is not str:
                raise MalformedError(f"not a package of the form {FORMAT}")
        self.anchors: str = about["anchors"]
        with naming(ANCHOR_CHECKPOINT):
            signed = SignedCheckpoint.parse(read_file(path, ANCHOR_CHECKPOINT, MAX_NOTE_BYTES))
        outside = expected.log_keys(self.anchors)
        self.authentic = bool(outside)
        self.judge = Judge(outside or read_anchor_keys(path, self.anchors), expected.policy, self.anchors)
        with naming(ANCHOR_CHECKPOINT):
            self.checkpoint = signed.verify(self.anchors, self.judge)
        if not self.judge.keys:
            raise VerificationError(f"{ANCHOR_KEYS}: the anchor log's keys are missing, and none are given")
        self._require_tree()

    def rounds(self) -> Iterator[TracedRound]:
        """Yield the package's rounds, in order.

        Raises:
            VerificationError: naming the file and what is wrong with it.
        """
        after = 0
        for index, head in enumerate(_lines(self._path, ROUNDS)):
            with naming(f"{ROUNDS} line {index + 1}"):
                entry, trace = _entry(head, index), head.get("trace")
                if trace is None:
                    yield TracedRound(entry, after, after, b"", ())
                    continue
                begin, end = _number(trace, "after"), _number(trace, "position")
                seed = _hash(trace, "padding")
            yield TracedRound(entry, begin, end, seed, _TraceFile(self._path, trace_path(index)))
            after = end

    def _require_tree(self) -> None:
        """Hold the rounds' entries against the checkpoint's root."""
        tree = Frontier.empty()
        for index, head in enumerate(_lines(self._path, ROUNDS)):
            with naming(f"{ROUNDS} line {index + 1}"):
                tree = tree.append(leaf_hash(_entry(head, index).to_bytes()))
        if (tree.size, tree.root()) != (self.checkpoint.size, self.checkpoint.root):
            raise VerificationError(f"{ROUNDS}: its entries don't give the root of the anchor log's checkpoint")


class _TraceFile:
    """The lines of a round's trace, read from their file each time that they are gone through.

    Raises while it is gone through:
        VerificationError: naming the file and what is wrong with it, or that it is another one than before.
    """

    def __init__(self, root: Path, path: str) -> None:
        self._root = root
        self._path = path
        self._digest: bytes | None = None

    def __iter__(self) -> Iterator[Line]:
        seen = sha256()
        for number, members in enumerate(_lines(self._root, self._path, seen.update), 1):
            with naming(f"{self._path} line {number}"):
                if number > MAX_LINES:
                    raise MalformedError(f"a round has {MAX_LINES} lines at most")
                line = _line(members)
            yield line
        if self._digest not in (None, seen.digest()):
            raise VerificationError(f"{self._path}: it was changed while it was read")
        self._digest = seen.digest()


def _head(one: TracedRound) -> dict[str, Any]:
    trace = {"after": one.after, "position": one.position, "padding": one.padding_seed.hex()} if one.traced else None
    return {"round": one.index, "entry": one.entry.to_bytes().decode(), "trace": trace}


def _members(line: Line) -> dict[str, Any]:
    closes = line.kind is Kind.CLOSING
    return {
        "entry_salt": line.entry_salt.hex(),
        "kind": _LETTERS[line.kind],
        "leaf": line.leaf_hash.hex(),
        "order_salt": line.order_salt.hex(),
        "position": line.position,
        "returned": line.returned,
        "view": line.view.hex() if closes else line.view.decode(),
    }


def _line(members: dict[str, Any]) -> Line:
    letters, returned, view = members.get("kind"), members.get("returned"), members.get("view")
    kind = _KINDS.get(letters) if type(letters) is str else None
    if kind is None or type(returned) is not bool or type(view) is not str:
        raise MalformedError("not a traced entry")
    data = _hash(members, "view") if kind is Kind.CLOSING else view.encode()
    salts = _hash(members, "order_salt"), _hash(members, "entry_salt")
    return Line(_number(members, "position"), returned, *salts, kind, _hash(members, "leaf"), data)


def _entry(head: dict[str, Any], index: int) -> AnchorEntry:
    text = head.get("entry")
    if type(text) is not str or head.get("round") != index:
        raise MalformedError(f"not the line of round {index}")
    entry = AnchorEntry.parse(text.encode())
    if entry.round_index != index:
        raise MalformedError(f"the entry of round {entry.round_index}, not of round {index}")
    return entry


def _number(members: Any, name: str) -> int:
    value = members.get(name) if isinstance(members, dict) else None
    if type(value) is not int or value < 0:
        raise MalformedError(f"{name} is no number")
    return value


def _hash(members: Any, name: str) -> bytes:
    try:
        data = bytes.fromhex(members[name])
    except (KeyError, TypeError, ValueError):
        data = b""
    if len(data) != HASH_BYTES or data.hex() != members[name]:
        raise MalformedError(f"{name} is not {HASH_BYTES} bytes in hex")
    return data


def _lines(root: Path, path: str, told: Callable[[bytes], object] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of lines, each of which must be canonical; `told` gets the lines as they are."""
    with os.fdopen(open_file(root, path, _MAX_FILE_BYTES), "rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE_BYTES + 1):
            number += 1
            if told is not None:
                told(line)
            with naming(f"{path} line {number}"):
                if not line.endswith(b"\n"):
                    raise MalformedError("it does not end, or is too long")
                try:
                    members = parse_canonical(line[:-1])
                except LedgerError as error:
                    raise MalformedError(str(error)) from None
                if not isinstance(members, dict):
                    raise MalformedError("not an object")
            yield members
