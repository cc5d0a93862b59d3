"""A CAC that a server gives, held against the log: what the entry says, where it lies, and under which tree.

Invariants:
- The sealed entry is opened here with the key of the CAC's stream, and issued this very document.
- That entry lies in a tree that the log signed (where its keys are known; else it is consistent with itself), and that
  contains the tree that was seen before.
- The enclave's key was certified by the attestation key in the tenant's registration, which its admins accepted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from domain.cacs.claims import CacRefusedError
from domain.canonical import same_json
from domain.errors import LedgerError, MalformedError, VerificationError
from domain.transparency.tlog_proof import TlogProof
from infrastructure.audit.opening import CONTENT_ERRORS
from infrastructure.cacs.alone import check_alone
from infrastructure.cacs.verify import present, verify_cac
from infrastructure.exchange.steps import Talk


@dataclass(frozen=True, slots=True)
class Source:
    """Where what proves a CAC comes from.

    Attributes:
        read: gives the bytes at a path.
        prove: gives the proof that a leaf lies in the log's tree, once it was verified and held to what was seen.
        origin: of the log.
        attestation_key: of the tenant, from its registration (32 bytes).
    """

    read: Callable[[str], Talk[bytes]]
    prove: Callable[[int, bytes], Talk[TlogProof]]
    origin: str
    attestation_key: bytes


def issued(name: str, path: str, row: Mapping[str, Any], source: Source) -> Talk[TlogProof]:
    """Verify what a server gave for a CAC; return the proof that the log holds the entry which issued it.

    Args:
        name: the CAC's id.
        path: of the CAC at the server.
        row: what the server said of it.
        source: where its proof comes from.

    Raises:
        VerificationError: when it does not stand, by itself or in the log.
    """
    alone = verify_cac(json.dumps(row.get("document")).encode())
    if not alone.ok or alone.claims is None:
        raise VerificationError(f"the CAC that the server gave does not verify: {alone.error}")
    if alone.claims.cac_id != name:
        raise VerificationError("the server gave another CAC than was asked for")
    try:
        presented = present((yield from source.read(f"{path}/statement")), at_ms=None)
        claims = check_alone(presented, tenant_key=source.attestation_key, at_ms=None).claims
    except CacRefusedError as error:
        raise VerificationError(f"the server's statement of the CAC does not verify: {error.text}") from None
    except LedgerError as error:
        if isinstance(error, MalformedError | VerificationError):
            raise VerificationError(f"the server's statement of the CAC does not verify: {error}") from None
        raise
    except CONTENT_ERRORS:
        raise VerificationError("the server's statement of the CAC is not of its form") from None
    receipt = presented.receipt
    if receipt is None or receipt.origin != source.origin or claims.cac_id != name:
        raise VerificationError("the server's statement is of another CAC or log")
    if not same_json(presented.document, row["document"]):
        raise VerificationError("the log issued another document under this id than the server gave")
    return (yield from source.prove(receipt.inclusion.index, receipt.leaf_hash))
