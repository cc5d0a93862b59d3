"""The anchor log's keys and name."""

from domain.identifiers import ANCHOR_LOG
from infrastructure.commands.loading import load_genesis
from infrastructure.keys.keyring import LogKind
from infrastructure.ledger import Ledger
from infrastructure.tlog.signing import LogSigner


def anchor_log_origin(ledger: Ledger) -> str:
    """Return the origin of the anchor log that covers this cell.

    Raises:
        RefusedError: before genesis.
    """
    return f"{load_genesis(ledger).host}/anchors"


def anchor_signer(ledger: Ledger) -> LogSigner:
    """Return the anchor log's signer; its keys are drawn at the first call.

    Raises:
        RefusedError: before genesis.
    """
    origin = anchor_log_origin(ledger)
    keys = ledger.keyring.create(ANCHOR_LOG, LogKind.ANCHORS)
    return LogSigner(origin, keys.ed25519_key(), keys.mldsa44_key())
