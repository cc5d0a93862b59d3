"""What a tenant hands to its auditors: a tlog-policy, and the keys that a policy has no place for (`trust export`).

Invariants:
- A policy names one tenant's log and the anchor log, no other tenant's.
- The file with the slot's key is its owner's alone (0600). Neither file replaces one that is there.
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import ConflictError, UnavailableError
from domain.transparency.anchors import slot_key
from domain.transparency.tlog_policy import PolicyLog, TlogPolicy, parse_policy
from infrastructure.anchors.keys import anchor_signer
from infrastructure.audit.trust import Trust, trust_beside
from infrastructure.keys.private_files import write_private
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log
from infrastructure.publish.logs import log_signer


def trust_policy(ledger: Ledger, witnesses: TlogPolicy, log: Log | None) -> TlogPolicy:
    """Return the policy of an auditor of a log: its keys, the anchor log's, the cell's witnesses and their quorum.

    Args:
        ledger: the ledger.
        witnesses: what the operator configured; the auditor may strike out and add.
        log: whose auditor; None for the anchor log alone.

    Raises:
        MalformedError: when a witness has the key of a log.
    """
    signers = [anchor_signer(ledger)] if log is None else [log_signer(ledger, log.log_id), anchor_signer(ledger)]
    logs = tuple(PolicyLog(key) for signer in signers for key in signer.verifier_keys())
    return TlogPolicy(logs, witnesses.witnesses, witnesses.groups, witnesses.quorum)


def log_trust(ledger: Ledger, log: Log) -> Trust:
    """Return the slot key and the key of acknowledgements of a log."""
    secret = ledger.keyring.platform_secrets().anchor
    acknowledging: Ed25519PrivateKey = ledger.keyring.get(log.log_id).acknowledgement_key()
    return Trust(log.origin, slot_key(secret, log.slot), acknowledging.public_key().public_bytes_raw())


def write_trust(out: Path, policy: TlogPolicy, trust: Trust | None) -> list[Path]:
    """Write the policy, and beside it the file of further keys where there is one; return the paths.

    Raises:
        ConflictError: when a file is there already.
        UnavailableError: when the disk refuses.
    """
    data = policy.to_bytes()
    parse_policy(data)  # what is handed out reads back
    beside = trust_beside(out)
    if os.path.lexists(out) or (trust is not None and os.path.lexists(beside)):
        raise ConflictError(f"{out} or {beside.name} exists already; it is never overwritten")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise UnavailableError(f"cannot write {out}: {error.strerror or error}") from None
    if trust is None:
        return [out]
    write_private(beside, trust.to_bytes(), new=True)
    return [out, beside]
