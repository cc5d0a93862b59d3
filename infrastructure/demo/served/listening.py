"""What the service tells each tenant's admin of its log, entry by entry: folded as an auditor does, and counted.

Invariants:
- Each entry once, in leaf order, without a hole: anything else is refused.
- What was told is compared at the end with what the bundle proves (`proof`): a service that tells its tenants one thing
  and exports another is noticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from domain.errors import VerificationError
from domain.message import Recorded, event_from
from infrastructure.audit.replay import Replay, replay
from infrastructure.client.remote import Remote
from infrastructure.demo.board import Board
from infrastructure.demo.served.people import Believed
from projections import audit_trail

_PAGE: Final = 256
AT_REST: Final = frozenset({"done", "denied", "held", "expired", "cancelled", "failed", "rejected"})


@dataclass
class Listener:
    """Follows one log at the service.

    Args:
        remote: whose.
        believed: what is known of it.
        board: counts.
    """

    remote: Remote
    believed: Believed
    board: Board
    told: list[Recorded] = field(default_factory=list)
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def at_rest(self, workload: str, attempt: int) -> bool:
        """Tell whether an attempt of a workload, or a later one, has ended, and left its node."""
        row = self._rows.get(f"workload/{workload}")
        if row is None or row["status"] not in AT_REST:
            return False
        if row["status"] == "held" and row["attempt"] < attempt:  # it was authorised, and is not queued again yet
            return False
        return all(living.workload != workload for living in self.board.living.values())

    def denied(self) -> str:
        """Return a workload that was denied, or where none was its newest one; "" where there is none."""
        rows = [
            (row["status"] == "denied", row["workload"]) for key, row in self._rows.items() if key[:9] == "workload/"
        ]
        return max(rows, default=(False, ""))[1]

    def hear(self) -> None:
        """Take in what is new.

        Raises:
            VerificationError: when it does not follow what was told before.
        """
        while True:
            page = self.remote.get("/v1/audit/history", first=len(self.told), limit=_PAGE)
            for entry in page["entries"]:
                self._take(entry)
            if page["origin"] != self.believed.origin:
                raise VerificationError(f"the service told of {page['origin']}, asked about {self.believed.origin}")
            if len(page["entries"]) < _PAGE:
                return

    def replayed(self, size: int) -> Replay:
        """Return the fold of the first entries that were told."""
        return replay(self.believed.origin, lambda: self.told, len(self.told), size=size)

    def _take(self, entry: Mapping[str, Any]) -> None:
        if entry["leaf_index"] != len(self.told) or entry["sealed"]:
            raise VerificationError(f"the service told entry {entry['leaf_index']} where {len(self.told)} follows")
        recorded = Recorded(
            UUID(self.believed.log_id), entry["leaf_index"], UUID(entry["stream"]), entry["version"], entry["at_ms"],
            event_from(entry["topic"], entry["event"]), bytes.fromhex(entry["leaf_hash"]),
        )  # fmt: skip
        self.told.append(recorded)
        self._rows.update(audit_trail.project(self._rows, recorded))
        self.board.fold(recorded)
