"""Who may live beside whom, as bitsets: the same as `feasible` says of residents, without asking it for each node.

A workload leaves marks where it lives (what it is, and what it will not have beside it) and keeps away from nodes with
marks of others. What names DAOs (`authorised`) is a guard: a set of DAOs outside of which nobody is let in.

Invariants:
- Symmetric: newcomer against residents and residents against newcomer. A property test holds it equal to `feasible`.
- Marks and guards of a node are those of who lives there now, counted.
"""

from dataclasses import dataclass

from domain.policies.facts import WorkloadFacts
from domain.policies.kinds import DomainBesideTrigger, NoColocation, Policy
from domain.scheduling.eligibility import bits

Mark = tuple[str, str]
Guard = frozenset[str]


@dataclass(frozen=True, slots=True)
class Manners:
    """What a workload is to its neighbours under a policy.

    Attributes:
        marks: what it leaves on its node.
        avoids: marks that it can't be beside.
        guard: the DAOs that it lets in beside it, its own among them; None: it asks nobody's name.
    """

    dao: str
    marks: tuple[Mark, ...]
    avoids: tuple[Mark, ...]
    guard: Guard | None


def manners(policy: Policy, facts: WorkloadFacts) -> Manners:
    """Return what a workload is to its neighbours."""
    here = [("domain", facts.domain), *(("tag", tag) for tag in facts.tags)]
    if facts.trigger is not None:
        here.append(("trigger", facts.trigger))
    never = [("tag", tag) for tag in facts.forbid_tags]
    guard: Guard | None = None
    for rule in policy.rules:
        if isinstance(rule, NoColocation):
            never += [("tag", tag) for tag in rule.tags] + [("domain", domain) for domain in rule.domains]
            if rule.authorised is not None:
                named = frozenset((facts.dao, *rule.authorised))
                guard = named if guard is None else guard & named
        elif isinstance(rule, DomainBesideTrigger):
            never += [("trigger", rule.trigger)] if facts.domain == rule.domain else []
            never += [("domain", rule.domain)] if facts.trigger == rule.trigger else []
    # What is not wanted here leaves a mark for those who come; what is here is a mark that others may avoid.
    marks = dict.fromkeys([*here, *((f"no {kind}", name) for kind, name in never)])
    avoids = dict.fromkeys([*((f"no {kind}", name) for kind, name in here), *never])
    return Manners(facts.dao, tuple(marks), tuple(avoids), guard)


class Presence:
    """Who lives where, as bitsets of nodes by mark, and for each node the DAOs and guards that are there."""

    def __init__(self) -> None:
        self.occupied = 0
        self.guarded = 0
        self.daos: dict[int, dict[str, int]] = {}
        self.guards: dict[int, dict[Guard, int]] = {}
        self._at: dict[Mark, int] = {}
        self._here: dict[int, dict[Mark, int]] = {}
        self._by_dao: dict[str, int] = {}
        self._open_to: dict[str, int] = {}

    def settle(self, at: int, who: Manners) -> None:
        """Let somebody live on a node."""
        bit = 1 << at
        self.occupied |= bit
        here = self._here.setdefault(at, {})
        for mark in who.marks:
            count = here[mark] = here.get(mark, 0) + 1
            if count == 1:
                self._at[mark] = self._at.get(mark, 0) | bit
        daos = self.daos.setdefault(at, {})
        daos[who.dao] = daos.get(who.dao, 0) + 1
        self._by_dao[who.dao] = self._by_dao.get(who.dao, 0) | bit
        if who.guard is not None:
            guards = self.guards.setdefault(at, {})
            guards[who.guard] = guards.get(who.guard, 0) + 1
            self.guarded |= bit
            for dao in sorted(who.guard):
                self._open_to[dao] = self._open_to.get(dao, 0) | bit

    def leave(self, at: int, who: Manners) -> None:
        """Let somebody go who lived there."""
        bit = 1 << at
        here = self._here[at]
        for mark in who.marks:
            here[mark] -= 1
            if not here[mark]:
                del here[mark]
                self._clear(self._at, mark, bit)
        daos = self.daos[at]
        daos[who.dao] -= 1
        if not daos[who.dao]:
            del daos[who.dao]
            self._clear(self._by_dao, who.dao, bit)
        if not daos:
            del self.daos[at]
            self.occupied &= ~bit
        if who.guard is not None:
            self._unguard(at, who.guard)

    def barred(self, avoids: tuple[Mark, ...]) -> int:
        """Return the nodes with marks that somebody can't be beside."""
        mask = 0
        at = self._at
        for mark in avoids:
            if mark in at:
                mask |= at[mark]
        return mask

    def bars(self, avoids: tuple[Mark, ...], at: int) -> bool:
        """Tell whether a node has a mark that somebody can't be beside."""
        here = self._here.get(at)
        return here is not None and not here.keys().isdisjoint(avoids)

    def knows(self, who: Manners, nodes: int) -> bool:
        """Tell whether at some of these nodes somebody's name may count: to be let in, or to be asked for names."""
        return who.guard is not None or bool(nodes & self.guarded & self._open_to.get(who.dao, 0))

    def closed_to(self, who: Manners, nodes: int) -> int:
        """Return those of some nodes where somebody's name, or that of who lives there, keeps the newcomer out."""
        closed = 0
        doubt = nodes & self.guarded
        if doubt:
            mine = doubt & self._open_to.get(who.dao, 0)
            closed |= doubt & ~mine
            for at in bits(mine):
                if not all(who.dao in guard for guard in self.guards[at]):
                    closed |= 1 << at
        if who.guard is not None:
            doubt = nodes & self.occupied
            mine = 0
            for dao in who.guard:  # a union: order is of no account
                mine |= self._by_dao.get(dao, 0)
            closed |= doubt & ~mine
            for at in bits(doubt & mine):
                if not self.daos[at].keys() <= who.guard:
                    closed |= 1 << at
        return closed

    def let_in(self, at: int) -> list[str]:
        """Return the DAOs that all guards of a guarded node let in, by name."""
        return sorted(frozenset.intersection(*self.guards[at]))

    def _unguard(self, at: int, guard: Guard) -> None:
        guards = self.guards[at]
        guards[guard] -= 1
        if guards[guard]:
            return
        del guards[guard]
        if not guards:
            del self.guards[at]
            self.guarded &= ~(1 << at)
        for dao in sorted(guard):
            if not any(dao in other for other in guards):
                self._clear(self._open_to, dao, 1 << at)

    @staticmethod
    def _clear(masks: dict[str, int] | dict[Mark, int], key: str | Mark, bit: int) -> None:
        rest = masks[key] & ~bit  # type: ignore[index]  # each map with keys of its own kind
        if rest:
            masks[key] = rest  # type: ignore[index]
        else:
            del masks[key]  # type: ignore[arg-type]
