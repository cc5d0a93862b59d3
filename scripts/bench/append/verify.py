"""Looks at what the run left behind: a number counts only if the work was done.

Invariants:
- Every log has exactly the entries that were acknowledged, dense, and hashes to its head, from the entries' own bytes;
  where it held others before the run, from its head of then on.
- A sample is opened and equals what was given, at the place that was acknowledged under a signature;
  the peer's sample is read back too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from domain.errors import VerificationError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.keys import ed25519
from infrastructure.ledger import Ledger
from infrastructure.statements.acknowledgement import Acknowledged
from scripts.bench.append.ours import OurSide, Sample
from scripts.bench.append.stock import StockSide


def verify_ours(side: OurSide, before: Mapping[UUID, Frontier] = MappingProxyType({})) -> None:
    """Check all logs and the sample.

    Args:
        side: our side, after its last turn.
        before: the heads of the logs that held entries before its first.

    Raises:
        VerificationError: at the first thing that is wrong.
    """
    for log_id in side.log_ids:
        _verify_log(side.ledger, log_id, before.get(log_id, Frontier.empty()), side.stored[log_id])
    if side.stored and not side.samples:
        raise VerificationError("the run kept no sample of what it stored")
    for sample in side.samples:
        item, given = sample.item, sample.recorded
        found = side.ledger.at(given.log_id, given.leaf_index)
        if found != given or (found.stream_id, found.version, found.event) != (
            item.stream_id,
            item.version,
            item.event,
        ):
            raise VerificationError(f"leaf {given.leaf_index} of log {given.log_id} does not hold what was given")
        _verify_acknowledgement(side.ledger, sample)


def verify_stock(side: StockSide) -> None:
    """Check the peer's count and sample.

    Raises:
        VerificationError: at the first thing that is wrong.
    """
    if side.count() != side.stored:
        raise VerificationError(f"the stock recorder holds {side.count()} events, not {side.stored}")
    for sample in side.samples:
        if sample not in side.stream(sample.originator_id):
            raise VerificationError("the stock recorder does not hold what was given")


def _verify_acknowledgement(ledger: Ledger, sample: Sample) -> None:
    given = sample.recorded
    public = ed25519.public_bytes(ledger.keyring.get(given.log_id).acknowledgement_key())
    sample.acknowledgement.verify(public, ledger.log(given.log_id).origin)
    if sample.acknowledgement.event != Acknowledged("", given.leaf_hash, given.leaf_index):
        raise VerificationError(f"leaf {given.leaf_index} of log {given.log_id} was not acknowledged as what it is")


def _verify_log(ledger: Ledger, log_id: UUID, before: Frontier, added: int) -> None:
    head = ledger.head(log_id)
    if head.size != before.size + added:
        raise VerificationError(f"log {log_id} holds {head.size} entries, not {before.size + added}")
    hashes = []
    for index, stored in enumerate(ledger.recorder.every_entry(log_id, head.size, first=before.size), before.size):
        digest = leaf_hash(stored.entry)
        if (stored.leaf_index, stored.leaf_hash) != (index, digest):
            raise VerificationError(f"entry {index} of log {log_id} is not in its place, or not what was hashed")
        hashes.append(digest)
    if before.extend(hashes) != head:
        raise VerificationError(f"the entries of log {log_id} don't hash to its head")
