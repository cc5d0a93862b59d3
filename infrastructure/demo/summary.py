"""What a demo came to, in a page, with what to try next."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from infrastructure.demo.board import Board
from infrastructure.demo.cast import LEVELS, MEMBERS, NODES
from infrastructure.demo.proof import Proof

PROGRAM: Final = ".venv/bin/enclave-ledger"


def summary(
    board: Board, proofs: Sequence[Proof], folder: Path, *, events: int, seconds: float, kept_apart: int
) -> tuple[str, ...]:
    """Return the lines.

    Args:
        board: the counts.
        proofs: what the outsider found.
        folder: the run's directory.
        events: entries of all logs.
        seconds: how long it took.
        kept_apart: who waited beside a free place.
    """
    return (
        *_counts(board, events, seconds, kept_apart),
        *denials(board),
        *proved(proofs, "the live state"),
        "All logs stand in one anchor log, which a witness (here a thread of this program) cosigned round by round.",
        *_next(proofs[0], folder, board.last_denied, board.last_cac),
    )


def _counts(board: Board, events: int, seconds: float, kept_apart: int) -> Iterator[str]:
    counts = board.counts
    countries = {node.country for node in NODES}
    yield ""
    yield f"{len(MEMBERS)} tenants, {len(NODES)} nodes in {len(countries)} countries, {events} events, {seconds:.1f} s"
    yield (
        f"{counts['submitted']} submitted, {counts['executed']} executed,"
        f" {counts['cacs']} CACs ({tally(board.outcomes)})"
    )
    yield (
        f"{counts['quorums']} quorums of independent enclaves reached; {counts['deferred']} waits for a place, of which"
        f" {kept_apart} beside a free one, kept apart from who lived there; {counts['expired']} expired"
    )
    yield f"{counts['faulted']} faults ({tally(board.faults)}), {counts['reauthorised']} re-authorised and run again"
    waits = (
        f"{name} {board.waited_ms[name] / board.placed[name] / 1000:.1f} s" for name in LEVELS if board.placed[name]
    )
    yield f"mean wait by level, highest first (virtual time): {', '.join(waits)}"


def denials(board: Board) -> Iterator[str]:
    """Say what was denied, by rule, with an example of each."""
    yield ""
    yield f"Denied: {board.denied.total()}"
    for rule, count in sorted(board.denied.items()):
        yield f"  {rule} ({count}): {board.examples[rule]}"


def proved(proofs: Sequence[Proof], equal_to: str) -> Iterator[str]:
    """Say what was found of each log, and that its replay equals something."""
    yield ""
    yield f"Logs: size, root, verified with keys from outside, one history for everybody, replay equals {equal_to}"
    for proof in proofs:
        found = (
            "verified" if proof.verified else "NOT VERIFIED",
            proof.history,
            "equal" if proof.replayed else "NOT EQUAL",
        )
        error = f" ({proof.error})" if proof.error else ""
        yield f"  {proof.name:<16} {proof.size:>5}  {proof.root}  {', '.join(found)}{error}"


def _next(proof: Proof, folder: Path, denied: str, cac: str) -> Iterator[str]:
    run, bundle = shlex.quote(str(folder)), shlex.quote(str(proof.path))
    yield ""
    yield "Try next:"
    yield f"  {PROGRAM} audit verify {bundle} --policy {shlex.quote(str(proof.policy))}"
    yield f"  {PROGRAM} audit replay {bundle}"
    yield f"  {PROGRAM} why {denied} --data-dir {run}"
    yield f"  {PROGRAM} cac show {cac} --data-dir {run}"
    yield f"  {PROGRAM} cac list --tenant {proof.name} --data-dir {run}"


def tally(counts: dict[str, int]) -> str:
    """Return counts by name, in words."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
