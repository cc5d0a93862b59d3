"""A cell's auditor: takes a package along, or checks the live cell."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from domain.errors import RefusedError, VerificationError
from infrastructure.anchors.exporting import cosigned_checkpoint
from infrastructure.anchors.keys import anchor_log_origin, anchor_signer
from infrastructure.anchors.rounds import Rounds
from infrastructure.audit.anchored import Expected
from infrastructure.conform.checking import Report, check_rounds
from infrastructure.conform.package import Package, write_package
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.tlog.layout import print_keys
from infrastructure.tracing.lines import Source, TracedRound

Progress = Callable[[int], None]
"""Is called with the number of rounds done."""


def traced_rounds(ledger: Ledger, end: int) -> Iterator[TracedRound]:
    """Yield the rounds before `end`, in order, from the first.

    Raises:
        VerificationError: when a view is missing or damaged, or what a round covers is not there.
    """
    rounds, source = Rounds(ledger.datastore), Source(ledger)
    spans = {span.round_index: span for span in rounds.spans(0, end)}
    after = 0
    for stored in rounds.read(0, end):
        span = spans.get(stored.index)
        if span is None:
            yield TracedRound(stored.parsed, after, after, b"", ())
        else:
            yield source.round(stored.parsed, span)
            after = span.trace.position


def export_cell(ledger: Ledger, out: Path, progress: Progress | None = None) -> tuple[int, int]:
    """Write a cell audit package of all rounds that are published; return how many rounds and entries it has.

    Raises:
        RefusedError: before the first round.
        ConflictError: when `out` holds something.
    """
    cosigned = cosigned_checkpoint(ledger)
    if cosigned is None:
        raise RefusedError("there is no round yet: run `enclave-ledger anchor run --once` first")
    size = cosigned.checkpoint.size
    entries = write_package(
        out,
        traced_rounds(ledger, size),
        anchors=anchor_log_origin(ledger),
        checkpoint=cosigned.note.to_bytes(),
        keys=print_keys(anchor_signer(ledger).verifier_keys()),
        progress=progress,
    )
    return size, entries


def conform_live(
    ledger: Ledger, *, first: int = 0, last: int | None = None, progress: Progress | None = None
) -> tuple[Report, int]:
    """Check the live cell's rounds up to `last`; return what was found, and how many feed rows are in no round yet.

    Raises:
        RefusedError: when there is no such round.
        VerificationError: naming what differs first.
    """
    rounds = Rounds(ledger.datastore)
    size = rounds.frontier().size
    end = size if last is None else last + 1
    if not 0 <= first < end <= size:
        raise RefusedError(f"there are {size} rounds: none asked for is among them")
    report = check_rounds(traced_rounds(ledger, end), engine_digest(), first=first, progress=progress)
    return report, Feed(ledger.datastore).last_position() - rounds.traced()


def conform_package(
    path: Path, expected: Expected, *, first: int = 0, last: int | None = None, progress: Progress | None = None
) -> tuple[Report, Package]:
    """Check a package offline, with no tenant's key.

    Raises:
        VerificationError: naming what differs first.
    """
    package = Package(path, expected)
    size = package.checkpoint.size
    end = size if last is None else last + 1
    if not 0 <= first < end <= size:
        raise VerificationError(f"the package holds {size} rounds: none asked for is among them")
    return check_rounds(islice(package.rounds(), end), engine_digest(), first=first, progress=progress), package
