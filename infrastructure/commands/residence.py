"""What a gate asks of the scheduler: who lives on a node now."""

from typing import Protocol

from domain.policies.facts import Resident


class Residence(Protocol):
    """Knows who lives where. `Scheduling` does, and so does whoever keeps one for several threads."""

    def residents(self, node: str, *, without: str = "") -> tuple[Resident, ...]:
        """Return who lives on a node now, in the order of their ids, but for one execution."""
        ...
