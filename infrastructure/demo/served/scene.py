"""The story in real time: every act of it is signed by its person's client and handed to the service over HTTP.

Tenants that keep their inputs themselves make their executions wait, and hold their places, until their releaser runs:
so what the story shows of full places holds however fast the machine is.
"""

import heapq
import itertools
import random
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from domain.bounds import Bounds
from domain.canonical import canonical
from domain.clauses.decisions import registration_claims
from domain.errors import UnavailableError
from domain.hashing import sha256_hex
from domain.identifiers import execution_id
from domain.jurisdictions import parse_jurisdiction
from domain.policies.facts import NodeFacts
from domain.policies.kinds import Evidence, Policy, Rule
from domain.quotas.events import Quota
from domain.statements import ENDORSEMENT, GOVERNANCE
from domain.tenants.decisions import enrolment_claims
from domain.tenants.events import PrincipalEnrolled, ReaderEnrolled
from domain.time import DAY_MS, MINUTE_MS, SECOND_MS
from infrastructure.client import acts
from infrastructure.client.remote import Remote
from infrastructure.clock import SystemClock
from infrastructure.credentials.executor import ExecutorSubject, issue_executor
from infrastructure.demo.board import Board
from infrastructure.demo.cast import (
    JUDGES,
    MEMBERS,
    NILE,
    NODES,
    PROGRAMS,
    RELIEF,
    RESOLVER,
    ROOT,
    Member,
    classes,
    families,
)
from infrastructure.demo.display import Display
from infrastructure.demo.founding import governed
from infrastructure.demo.questions import Question, Questions
from infrastructure.demo.scene import AS_USUAL, Ask, Pace, Row, asked
from infrastructure.demo.served.founding import CUSTODIANS, Founded
from infrastructure.demo.served.listening import Listener
from infrastructure.demo.served.people import PLATFORM, SCOPE, People
from infrastructure.demo.served.processes import Processes
from infrastructure.ids import SystemIds
from infrastructure.keys.wallet import Purpose, Wallet

REAL: Final = Pace(gap_ms=0, look_ms=0, token_ms=5 * SECOND_MS, crowd=6)
"""The two nodes have four places: two of the crowd go to the reserve."""
_WAIT_S: Final = 90.0
_LOOK_S: Final = 0.1
FIRST: Final = tuple(one for one in NODES if one.node in {"cairo-1", "frankfurt-1"})
THIRD: Final = next(one for one in NODES if one.node == "nairobi-1")
AUDITOR: Final = "auditor"


@dataclass
class ServedScene:
    """The service at work, and its people."""

    founded: Founded
    people: People
    processes: Processes
    display: Display
    chance: random.Random
    pace: Pace = REAL
    board: Board = field(default_factory=Board)
    listeners: dict[str, Listener] = field(default_factory=dict)
    _planned: list[tuple[int, int, Callable[[], object]]] = field(default_factory=list)
    _open: dict[str, dict[str, int]] = field(default_factory=dict)
    _releasing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make what follows from the rest."""
        self.questions = Questions(self.chance)
        self._order = itertools.count()
        self._ids, self._clock = SystemIds(), SystemClock()
        for member in MEMBERS:
            believed = self.founded.believed[member.name]
            self.board.know(UUID(believed.log_id), member.name)
            self.listeners[member.name] = Listener(self.remote(member), believed, self.board)

    def now_ms(self) -> int:
        """Return the instant."""
        return self._clock.now_ms()

    def wallet(self, name: str) -> Wallet:
        """Return a person's wallet."""
        return self.founded.wallets[name]

    def admin(self, member: Member) -> Wallet:
        """Return the wallet of a tenant's admin."""
        return self.founded.admin(member)

    def remote(self, member: Member) -> Remote:
        """Return the client of a tenant's admin."""
        return self.people.remote(member.name, self.admin(member))

    def root(self) -> tuple[Remote, list[Wallet]]:
        """Return the client of the root scope's admin, and who signs for it."""
        wallet = self.wallet(ROOT)
        return self.people.remote(SCOPE, wallet), [wallet]

    def operator(self) -> Remote:
        """Return the client of the platform's operator."""
        return self.people.remote(PLATFORM, self.wallet(ROOT))

    def rules(self, member: Member) -> tuple[Rule, ...]:
        """Return a tenant's lasting policy; the roots of the machines are this run's own."""
        if not member.verified_hardware:
            return member.rules
        roots = next(iter(self.founded.machines.values())).vendor_roots
        return (*member.rules, Evidence(kind="evidence", classes=("vendor",), roots=roots))

    def begin(self) -> None:
        """Start two nodes; while they come, let people govern."""
        self._start(*FIRST)
        self._govern()
        self._await(*FIRST)

    def _govern(self) -> None:
        """Register clauses, adopt policies, enrol judges, resolver, and one auditor of everything."""
        for program in PROGRAMS:
            owner, metadata, module = governed(program)
            claims = registration_claims(metadata, sha256_hex(module))
            self.remote(owner).act(
                "/v1/clauses", claims, [self.admin(owner)], metadata=metadata.model_dump(mode="json"),
                module=_base64(module),
            )  # fmt: skip
        for member in MEMBERS:
            self.adopt(member, self.rules(member))
        for name in JUDGES:
            self._enrol(self.remote(NILE), [self.admin(NILE)], self._principal(name, "reauthoriser"))
        root, admins = self.root()
        self._enrol(root, admins, self._principal(RESOLVER, "resolver"))
        for client, signatories in [*((self.remote(one), [self.admin(one)]) for one in MEMBERS), (root, admins)]:
            self._enrol(client, signatories, self._auditor())

    def adopt(self, member: Member, rules: Sequence[Rule]) -> None:
        """Put a policy of these rules in force."""
        policy = Policy(rules=tuple(rules))
        claims = {"act": "adopt_policy", "policy_digest": policy.digest()}
        self.remote(member).act("/v1/policies", claims, [self.admin(member)], policy=policy.model_dump(mode="json"))

    def submit(self, member: Member, question: Question, ask: Ask = AS_USUAL) -> str:
        """Ask a question now; return the workload's id."""
        written = self.remote(member).submit(*asked(question, ask))
        workload: str = written.members["workload"]
        self._open.setdefault(member.name, {})[workload] = 1
        return workload

    def plan(self, at_ms: int, act: Callable[[], object]) -> None:
        """Have something happen at an instant. What is planned first happens first."""
        heapq.heappush(self._planned, (at_ms, next(self._order), act))

    def play(self) -> None:
        """Go on until nothing is planned, running, or waiting for an instant.

        Raises:
            UnavailableError: when that takes too long, or a process has ended.
        """
        while self._planned:
            at_ms, _, act = heapq.heappop(self._planned)
            time.sleep(max(0, at_ms - self.now_ms()) / SECOND_MS)
            act()
        self._until(self._rest, "the work to come to rest")

    def why(self, member: Member, workload: str) -> Row:
        """Return what became of a workload, once something was decided about it."""
        found: dict[str, Row] = {}

        def decided() -> bool:
            found["row"] = self.remote(member).why(workload)
            return _decided(found["row"])

        self._until(decided, f"a decision about {workload}")
        return found["row"]

    def grant_quota(self, to: Member | None, slots: Quota | None) -> None:
        """Let the root scope grant slots."""
        given = None if slots is None else slots.model_dump()
        named = SCOPE if to is None else to.name
        claims = {"act": "grant_quota", "to": named, "slots": given, "memory_bytes": None, "weight": 1}
        root, admins = self.root()
        root.act("/v1/quotas", claims, admins)

    def grant_tokens(self, to: Member, *, tokens: int, period_ms: int, burst: int, until_ms: int) -> None:
        """Let the root scope grant bandwidth."""
        claims = {
            "act": "grant_tokens", "to": to.name, "tokens": tokens, "period_ms": period_ms, "burst": burst,
            "from_ms": self.now_ms(), "until_ms": until_ms,
        }  # fmt: skip
        root, admins = self.root()
        root.act("/v1/bandwidths", claims, admins)

    def renew(self, member: Member) -> None:
        """Let the root scope grant a new TEEExecutorVC."""
        now_ms = self.now_ms()
        subject = ExecutorSubject(
            id=self.admin(member).did(Purpose.GOVERNANCE), dao=member.dao,
            jurisdiction=parse_jurisdiction(member.jurisdiction), clause_families=tuple(families(member)),
            resource_classes=tuple(classes(member)), maximum_memory_bytes=256 * 1_048_576,
        )  # fmt: skip
        credential = issue_executor(
            subject, self.wallet(ROOT).key(Purpose.CREDENTIAL), valid_from_ms=now_ms, valid_until_ms=now_ms + DAY_MS,
            created_ms=now_ms,
        )  # fmt: skip
        claims = {"act": "endorse", "tenant": member.name, "credential_digest": sha256_hex(canonical(credential))}
        root, admins = self.root()
        root.act("/v1/credentials", claims, admins, typ=ENDORSEMENT, credential=credential)

    def authorize(self, member: Member, workload: str, names: Sequence[str], bounds: Bounds) -> None:
        """Let people sign that a workload's first fault may run again. The first of them hands it in."""
        execution = execution_id(self.founded.believed[member.name].origin, workload, 1, 0)
        claims = {"act": "authorize_retry", "execution": execution, "bounds": bounds.model_dump()}
        signatories = [self.wallet(name) for name in names]
        self.people.remote(member.name, signatories[0]).act("/v1/retries", claims, signatories)
        self._open[member.name][workload] = 2

    def release(self, member: Member) -> None:
        """Start a tenant's own releaser."""
        if member in CUSTODIANS and member.name not in self._releasing:
            self._releasing.add(member.name)
            wallet = self.founded.path(f"{member.dao}-admin")
            issuer = self.wallet(ROOT).did(Purpose.CREDENTIAL)
            self.processes.releaser(member.name, wallet, issuer)
            self.display.say(f"{member.name} starts its releaser: until now nobody could open its inputs")

    def stand(self, *nodes: NodeFacts) -> None:
        """Start nodes, and wait until they are enrolled."""
        self._start(*nodes)
        self._await(*nodes)

    def _start(self, *nodes: NodeFacts) -> None:
        for facts in nodes:
            self.processes.node(facts, self.founded.path(facts.node), *self.founded.node_files(facts))

    def _await(self, *nodes: NodeFacts) -> None:
        names = {facts.node for facts in nodes}
        operator = self.operator()

        def there() -> bool:
            return names <= {row["node"] for row in operator.get("/v1/nodes")["nodes"]}

        self._until(there, f"{', '.join(sorted(names))} to enrol")
        self.board.nodes.extend(nodes)
        for facts in nodes:
            self.display.say(f"{facts.node} ({facts.operator}, {facts.country}, {facts.slots} slots) takes work")

    def stand_reserve(self) -> None:
        """Let the reserve stand; its operator's offer stands since the founding."""
        self.stand(RELIEF)

    def drain_reserve(self) -> None:
        """Let the reserve take nothing more."""
        claims = {"act": "drain_node", "node": RELIEF.node, "reason": "the crowd is gone"}
        root, admins = self.root()
        root.act("/v1/nodes/drains", claims, admins)

    def muster(self) -> None:
        """Let a third node stand."""
        self.stand(THIRD)

    def open_dispute(self, member: Member, cac: str, grounds: str) -> str:
        """Let a tenant dispute its own result before the root scope; return the dispute's id."""
        named, subject = str(self._ids.uuid(self.now_ms())), {"kind": "cac", "cac_id": cac}
        claims = {"act": "open_dispute", "dispute": named, "subject": subject, "grounds": grounds}
        self.remote(member).act_in_dispute("/v1/disputes", claims, [self.admin(member)])
        return named

    def answer_dispute(self, dispute: str, operator: str, text: str) -> None:
        """Let the operator of a node answer, with a key that the root scope enrols for it."""
        root, admins = self.root()
        self._enrol(root, admins, self._principal(operator, "operator"))
        keeper = self.wallet(operator)
        claims, path = {"act": "answer_dispute", "dispute": dispute, "text": text}, f"/v1/disputes/{dispute}/answers"
        self.people.remote(SCOPE, keeper).act_in_dispute(path, claims, [keeper], operator=True)

    def decide_dispute(self, dispute: str, decision: Literal["upheld", "overturned"], reason: str) -> None:
        """Let the root scope's resolver decide."""
        resolver = self.wallet(RESOLVER)
        claims = {"act": "decide_dispute", "dispute": dispute, "decision": decision, "reason": reason}
        path = f"/v1/disputes/{dispute}/decisions"
        self.people.remote(SCOPE, resolver).act_in_dispute(path, claims, [resolver])
        self.hear()

    def hear(self) -> None:
        """Take in what the service tells of every tenant's log."""
        for listener in self.listeners.values():
            listener.hear()
        self.display.moved(self.board, self.now_ms())

    def _rest(self) -> bool:
        for name, workloads in self._open.items():
            if workloads:
                listener = self.listeners[name]
                listener.hear()
                for ended in [one for one, attempt in workloads.items() if listener.at_rest(one, attempt)]:
                    del workloads[ended]
        self.display.moved(self.board, self.now_ms())
        return not any(self._open.values())

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        until_s = time.monotonic() + _WAIT_S
        while not holds():
            self.processes.require_running()
            if time.monotonic() > until_s:
                words = f"the processes' words lie in {self.processes.logs}"
                raise UnavailableError(f"waited {_WAIT_S:.0f} s for {what}; {words}")
            time.sleep(_LOOK_S)

    def _enrol(
        self, client: Remote, signatories: Sequence[Wallet], enrolled: PrincipalEnrolled | ReaderEnrolled
    ) -> None:
        client.act("/v1/principals", enrolment_claims(enrolled), signatories)

    def _principal(self, name: str, role: str) -> PrincipalEnrolled:
        return acts.principal(self.wallet(name), Purpose.GOVERNANCE, role, GOVERNANCE)

    def _auditor(self) -> ReaderEnrolled:
        wallet = self.wallet(AUDITOR)
        return ReaderEnrolled(
            kid=wallet.thumbprint(Purpose.REPORT), public_key=wallet.public(Purpose.REPORT).hex(), person=wallet.name,
            role="auditor", statement_type="ledger-assertion+jwt", jurisdictions=(), from_ms=self.now_ms() - MINUTE_MS,
            until_ms=None, statements=(),
        )  # fmt: skip


def _decided(row: Row) -> bool:
    waiting = row.get("waiting")
    return row["status"] not in {"submitted", "queued"} and (waiting is None or waiting.get("reason") != "undecided")


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
