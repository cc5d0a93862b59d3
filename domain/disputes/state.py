"""A dispute as its own stream tells it."""

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Literal

from domain.disputes.events import (
    DisputeAnswered,
    DisputeEvidenceAttached,
    DisputeOpened,
    DisputeOverturned,
    DisputeUpheld,
    DisputeWithdrawn,
    Party,
)
from domain.errors import RefusedError
from domain.message import Event

Status = Literal["open", "upheld", "overturned", "withdrawn"]
Who = tuple[str, str]
"""Role and name."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """Where a dispute stands: who answered, by whom each piece of evidence is (`shown`), and its last version.

    `voices` are the raw public keys (hex) that have spoken in it for tenants.
    """

    opened: DisputeOpened
    status: Status = "open"
    version: int = 0
    answered: frozenset[Who] = frozenset()
    shown: tuple[Who, ...] = ()
    voices: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Return the dispute's id."""
        return self.opened.dispute_id

    def undecided(self, now_ms: int) -> bool:
        """Tell whether it may still be decided."""
        return self.status == "open" and now_ms < self.opened.decide_by_ms

    @property
    def evidence(self) -> int:
        """Return how many pieces of evidence there are."""
        return len(self.shown)

    @property
    def cacs(self) -> tuple[str, ...]:
        """Return the CACs that it is about."""
        return tuple(one.cac_id for one in self.opened.affected if one.cac_id is not None)

    @property
    def concerned(self) -> frozenset[Who]:
        """Return who is to be heard: every affected tenant and every operator, but for who opened it."""
        host = scope_host(self.opened)
        tenants = {("tenant", f"{host}/t/{one.slot}") for one in self.opened.affected}
        operators = {("operator", one.operator) for one in self.opened.affected}
        return frozenset(tenants | operators) - {who(self.opened.party)}

    @property
    def heard(self) -> bool:
        """Tell whether everybody concerned has answered."""
        return self.concerned <= self.answered


def who(party: Party) -> Who:
    """Return whom a party is."""
    return party.role, party.name


def scope_host(opened: DisputeOpened) -> str:
    """Return the host of the logs concerned. Whoever opens a dispute but an operator is named by an origin."""
    return opened.party.name.rpartition("/t/")[0]


@singledispatch
def evolve(event: Event, dispute: Dispute | None) -> Dispute:  # noqa: ARG001 - the default ignores the event
    """Return the dispute after one more event of its stream."""
    known = _known(dispute)
    return replace(known, version=known.version + 1)


@evolve.register
def _(event: DisputeOpened, dispute: Dispute | None) -> Dispute:
    if dispute is not None:
        raise RefusedError("a dispute is opened once")
    return Dispute(event, voices=frozenset(event.party.keys))


@evolve.register
def _(event: DisputeAnswered, dispute: Dispute | None) -> Dispute:
    known = _known(dispute)
    answered = known.answered | {who(event.party)}
    return replace(known, answered=answered, voices=known.voices | {*event.party.keys}, version=known.version + 1)


@evolve.register
def _(event: DisputeEvidenceAttached, dispute: Dispute | None) -> Dispute:
    known = _known(dispute)
    shown = (*known.shown, who(event.party))
    return replace(known, shown=shown, voices=known.voices | {*event.party.keys}, version=known.version + 1)


@evolve.register
def _(event: DisputeUpheld, dispute: Dispute | None) -> Dispute:  # noqa: ARG001 - it says only that
    return _ended(dispute, "upheld")


@evolve.register
def _(event: DisputeOverturned, dispute: Dispute | None) -> Dispute:  # noqa: ARG001 - as above
    return _ended(dispute, "overturned")


@evolve.register
def _(event: DisputeWithdrawn, dispute: Dispute | None) -> Dispute:  # noqa: ARG001 - as above
    return _ended(dispute, "withdrawn")


def _ended(dispute: Dispute | None, status: Status) -> Dispute:
    known = _known(dispute)
    return replace(known, status=status, version=known.version + 1)


def _known(dispute: Dispute | None) -> Dispute:
    if dispute is None:
        raise RefusedError("a dispute's stream begins with its opening")
    return dispute
