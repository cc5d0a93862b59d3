"""An offer as it came from the ledger, read strictly and bounded. Nothing of it is believed here."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.canonical import canonical
from domain.errors import MalformedError
from domain.identifiers import Digest
from domain.nodes.events import NodeEnrolled
from infrastructure.audit.opening import Opened

MOST_ENTRIES = 16_384
MOST_INPUTS = 16
_MOST_FILES = 16
_Bytes = Annotated[str, Field(max_length=2_097_152)]


class _Members(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class OfferedEntry(_Members):
    """One entry of the tenant's log, opened."""

    leaf: Annotated[int, Field(ge=0, le=2**53 - 1)]
    leaf_hash: Digest
    stream: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    version: Annotated[int, Field(ge=0, le=2**53 - 1)]
    at_ms: Annotated[int, Field(ge=0, le=2**53 - 1)]
    topic: Annotated[str, Field(max_length=80)]
    event: dict[str, Any]

    def opened(self) -> Opened:
        """Return it as an auditor takes it."""
        event = canonical(self.event)
        stream, leaf_hash = UUID(self.stream), bytes.fromhex(self.leaf_hash)
        return Opened(stream, 0, self.version, self.at_ms, self.topic, event, leaf_hash)


class _Offer(_Members):
    execution: Annotated[str, Field(pattern=r"^exec-0x[0-9a-f]{32}$")]
    origin: Annotated[str, Field(max_length=255)]
    entries: Annotated[tuple[OfferedEntry, ...], Field(max_length=MOST_ENTRIES)]
    node: dict[str, Any]
    evidence: Annotated[tuple[_Bytes, ...], Field(max_length=_MOST_FILES)]
    inputs: Annotated[tuple[_Bytes, ...], Field(max_length=MOST_INPUTS)]


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer: entries in the order in which they came, the node, a platform's evidence and files, sealed inputs."""

    execution: str
    origin: str
    entries: tuple[OfferedEntry, ...]
    node: NodeEnrolled
    evidence: tuple[bytes, ...]
    inputs: tuple[bytes, ...]

    def payload(self, digest: str) -> bytes | None:
        """Return the file of a SHA-256 (hex) that came along, or None."""
        return next((one for one in self.evidence if sha256(one).hexdigest() == digest), None)


def read_offer(members: Mapping[str, Any]) -> Offered:
    """Read an offer.

    Raises:
        MalformedError: when it is not of its form.
    """
    try:
        offer = _Offer.model_validate_json(json.dumps(dict(members)))
        node = NodeEnrolled.model_validate_json(canonical(offer.node))
        evidence, inputs = (
            tuple(base64.b64decode(one, validate=True) for one in found) for found in (offer.evidence, offer.inputs)
        )
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        raise MalformedError(f"the ledger's offer is not of its form ({type(error).__name__})") from None
    return Offered(offer.execution, offer.origin, offer.entries, node, evidence, inputs)
