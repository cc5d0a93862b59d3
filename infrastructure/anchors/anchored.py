"""Tells whether a log's last checkpoint is anchored: in a round that the witnesses' quorum has cosigned."""

from uuid import UUID

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.tlog_policy import NO_QUORUM, TlogPolicy
from infrastructure.anchors.cosigned import WitnessRecords
from infrastructure.anchors.rounds import Rounds
from infrastructure.erasure import Anchored
from infrastructure.ledger import Ledger


def anchored_by(ledger: Ledger, witnesses: TlogPolicy) -> Anchored | None:
    """Return what tells it for this cell; None where it keeps no anchor log.

    Args:
        ledger: the cell.
        witnesses: those that are configured. Where they have a quorum, only what met it counts.
    """
    rounds, records = Rounds(ledger.datastore), WitnessRecords(ledger.datastore)
    if rounds.newest() is None:
        return None

    def anchored(log_id: UUID, size: int) -> int | None:
        committed, cosigned = rounds.newest_text(ledger.log(log_id).slot), records.newest()
        if committed is None or cosigned is None or not (cosigned.quorum or witnesses.quorum == NO_QUORUM):
            return None
        index, text = committed
        counts = index < cosigned.checkpoint.size and Checkpoint.parse(text).size >= size
        return index if counts else None

    return anchored
