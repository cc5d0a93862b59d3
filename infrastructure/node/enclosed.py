"""What goes with a report beside the signed statement."""

import base64
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Enclosed:
    """The bytes that a report names by their digests.

    With a completed one the output sealed to the tenant's key, and the CAC's bytes; with platform evidence the evidence
    (raw or hex) and its endorsements (contents of files).
    """

    output: bytes | None = None
    cac: bytes | None = None
    evidence: bytes | None = None
    endorsements: tuple[bytes, ...] = ()

    def members(self) -> dict[str, Any]:
        """Return it as it is sent beside the statement: base64, without what there is none of."""
        single = {"output": self.output, "cac": self.cac, "evidence": self.evidence}
        members: dict[str, Any] = {name: _base64(value) for name, value in single.items() if value is not None}
        if self.endorsements:
            members["endorsements"] = [_base64(one) for one in self.endorsements]
        return members


NOTHING = Enclosed()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
