"""What a log's owner takes along of the anchor log: openings, traces, and the one checkpoint that they rest on.

Invariants:
- The checkpoint is chosen when `bundle_files` is called, the openings are made while they are taken: every round that
  they open was published before the log's head is read for the bundle.
- It is the newest that the configured quorum cosigned; the newest of all where none was.
"""

from collections.abc import Iterator

from domain.errors import VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening
from infrastructure.anchors.cosigned import Cosigned, WitnessRecords
from infrastructure.anchors.keys import anchor_log_origin, anchor_signer
from infrastructure.anchors.openings import MOST_ROUNDS, RoundRange, open_slot
from infrastructure.anchors.places import anchor_tiles
from infrastructure.anchors.rounds import Rounds
from infrastructure.audit.bundle_openings import ANCHOR_CHECKPOINT, ANCHOR_KEYS, opening_path
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log
from infrastructure.tlog.layout import print_keys
from infrastructure.tracing.lines import Source
from infrastructure.tracing.own import own_file


def cosigned_checkpoint(ledger: Ledger) -> Cosigned | None:
    """Return the anchor log's checkpoint that proofs of this moment rest on; None before the first round."""
    return WitnessRecords(ledger.datastore).newest()


def openings(
    ledger: Ledger, log: Log, cosigned: Cosigned, wanted: RoundRange | None = None
) -> Iterator[AnchoredOpening]:
    """Yield the openings of a log's slot, in the order of their rounds. For its owner and auditors alone.

    Args:
        ledger: the cell, opened with its data directory.
        log: whose.
        cosigned: what they rest on.
        wanted: which rounds; the newest where none are named.

    Raises:
        MalformedError: when the checkpoint does not hold all of the rounds.
        VerificationError: when the published anchor log is not the checkpoint's, or a round can't be opened.
    """
    checkpoint = cosigned.checkpoint
    origin = anchor_log_origin(ledger)
    directory = anchor_tiles(ledger, origin)
    tree = directory.tree(checkpoint.size)
    if tree.checkpoint(origin) != checkpoint:
        raise VerificationError(f"the tiles in {directory.path} don't give the root of the cosigned checkpoint")
    secret = ledger.keyring.platform_secrets().anchor
    rounds = Rounds(ledger.datastore)
    yield from open_slot(rounds, secret, log.slot, note=cosigned.note, node=tree.node, wanted=wanted)


def bundle_files(ledger: Ledger, log: Log, wanted: RoundRange | None = None) -> Iterator[tuple[str, bytes]]:
    """Return what goes into a log's bundle, as (path, bytes), made while it is taken. Raises as `openings` does."""
    cosigned = cosigned_checkpoint(ledger)
    if cosigned is None:
        return iter(())
    return _files(ledger, log, cosigned, wanted)


def newest_files(ledger: Ledger, log: Log) -> Iterator[tuple[str, bytes]]:
    """Return the same of the newest round alone: of when the log grew before it says nothing. Raises as `openings`."""
    cosigned = cosigned_checkpoint(ledger)
    if cosigned is None or not cosigned.checkpoint.size:
        return iter(())
    newest = cosigned.checkpoint.size - 1
    return _files(ledger, log, cosigned, RoundRange(newest, newest))


def _files(ledger: Ledger, log: Log, cosigned: Cosigned, wanted: RoundRange | None) -> Iterator[tuple[str, bytes]]:
    yield ANCHOR_CHECKPOINT, cosigned.note.to_bytes()
    yield ANCHOR_KEYS, print_keys(anchor_signer(ledger).verifier_keys())
    for opening in openings(ledger, log, cosigned, wanted):
        yield opening_path(opening.round_index), opening.to_bytes()
    yield from _traces(ledger, log, cosigned.checkpoint.size, wanted)


def _traces(ledger: Ledger, log: Log, size: int, wanted: RoundRange | None) -> Iterator[tuple[str, bytes]]:
    """Yield where the log's entries stand in the traces of the rounds in which there are any."""
    chosen = wanted or RoundRange(max(0, size - MOST_ROUNDS), max(0, size - 1))
    rounds, source = Rounds(ledger.datastore), Source(ledger)
    for span in rounds.spans(chosen.first, min(chosen.last + 1, size)):
        if any(row.log_id == log.log_id for row in source.rows(span)):
            (stored,) = rounds.read(span.round_index, span.round_index + 1)
            yield own_file(source.round(stored.parsed, span), log.slot)
