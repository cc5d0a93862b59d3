"""The story in one process and virtual time: every act of governance goes to the ledger in the same process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from domain.bounds import Bounds
from domain.identifiers import execution_id
from domain.policies.kinds import Policy, Rule
from domain.quotas.events import Quota
from domain.statements import GOVERNANCE
from domain.time import DAY_MS
from infrastructure.client import acts, disputes, governance, offers
from infrastructure.client.disputes import Speaker
from infrastructure.commands.loading import load_root
from infrastructure.demo.cast import RELIEF, RESOLVER, ROOT, Member, classes, families
from infrastructure.demo.scene import Row
from infrastructure.demo.stage import Stage
from infrastructure.disputes.asking import Asked
from infrastructure.explaining import explain
from infrastructure.keys.wallet import Purpose, Wallet


@dataclass
class LocalScene(Stage):
    """The cell at work, with what the story's people do to it."""

    def root(self) -> list[Wallet]:
        """Return the wallets of the root scope's admins."""
        return [self.wallets[ROOT]]

    def adopt(self, member: Member, rules: Sequence[Rule]) -> None:
        """Put a policy of these rules in force."""
        acts.adopt_policy(self.ledger, self.tenant(member), [self.admin(member)], Policy(rules=tuple(rules)))

    def why(self, member: Member, workload: str) -> Row:  # noqa: ARG002 - asked of the ledger, which knows whose it is
        """Return what became of a workload."""
        return explain(self.ledger, workload)

    def grant_quota(self, to: Member | None, slots: Quota | None) -> None:
        """Let the root scope grant slots."""
        grantee = load_root(self.ledger) if to is None else self.tenant(to)
        governance.grant_quota(self.ledger, self.root(), grantee, slots=slots)

    def grant_tokens(self, to: Member, *, tokens: int, period_ms: int, burst: int, until_ms: int) -> None:
        """Let the root scope grant bandwidth."""
        governance.grant_tokens(
            self.ledger, self.root(), self.tenant(to), tokens=tokens, period_ms=period_ms, burst=burst,
            until_ms=until_ms,
        )  # fmt: skip

    def renew(self, member: Member) -> None:
        """Let the root scope grant a new TEEExecutorVC."""
        acts.renew_credential(
            self.ledger, self.tenant(member), self.root(), families=families(member), resource_classes=classes(member)
        )

    def authorize(self, member: Member, workload: str, names: Sequence[str], bounds: Bounds) -> None:
        """Let people sign that a workload's first fault may run again."""
        execution = execution_id(self.tenant(member).origin, workload, 1, 0)
        acts.authorize_retry(self.ledger, execution, [self.wallet(name) for name in names], bounds=bounds)

    def release(self, member: Member) -> None:
        """Nothing: here the ledger's operator holds what opens inputs, and nobody waits."""

    def stand_reserve(self) -> None:
        """Let the reserve stand, and its operator offer it."""
        self.enrol(RELIEF, self.wallets[ROOT])
        until_ms, keeper = self.now_ms() + DAY_MS, self.wallet(RELIEF.operator)
        offers.stand(
            self.ledger, self.root(), keeper, pool=RELIEF.pool, operator=RELIEF.operator, until_ms=until_ms,
            slots=RELIEF.slots,
        )  # fmt: skip

    def drain_reserve(self) -> None:
        """Let the reserve take nothing more."""
        offers.withdraw(self.ledger, RELIEF.pool, RELIEF.operator, wallet=self.wallet(RELIEF.operator))
        acts.drain_node(self.ledger, self.root(), RELIEF.node, "the crowd is gone")

    def muster(self) -> None:
        """Nothing: all nodes stand from the beginning."""

    def open_dispute(self, member: Member, cac: str, grounds: str) -> str:
        """Let a tenant dispute its own result before the root scope; its resolver is enrolled first."""
        root = load_root(self.ledger)
        resolver = acts.principal(self.wallet(RESOLVER), Purpose.GOVERNANCE, "resolver", GOVERNANCE)
        acts.enrol(self.ledger, root, self.root(), resolver)
        by = Speaker(self.ledger, load_root(self.ledger), [self.admin(member)], tenant=self.tenant(member))
        subject = Asked(cac, None, None, None, None, None, None, None).subject(self.now_ms())
        return disputes.open_dispute(by, subject, grounds)

    def answer_dispute(self, dispute: str, operator: str, text: str) -> None:
        """Let the operator of a node answer, with a key that the root scope enrols for it."""
        keeper = self.wallet(operator)
        named = acts.principal(keeper, Purpose.GOVERNANCE, "operator", GOVERNANCE)
        acts.enrol(self.ledger, load_root(self.ledger), self.root(), named)
        disputes.answer(Speaker(self.ledger, load_root(self.ledger), [keeper], operator=operator), dispute, text)

    def decide_dispute(self, dispute: str, decision: Literal["upheld", "overturned"], reason: str) -> None:
        """Let the root scope's resolver decide."""
        by = Speaker(self.ledger, load_root(self.ledger), [self.wallet(RESOLVER)])
        disputes.decide(by, dispute, decision, reason)
