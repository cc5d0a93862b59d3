"""What tenants, operators and resolvers sign about disputes, and hand in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from domain.disputes.deciding import cacs_digest
from domain.disputes.events import MAX_AFFECTED, NamedEntry, Subject
from domain.disputes.statements import (
    AnswerSaid,
    DecideSaid,
    DocumentSaid,
    EntrySaid,
    OpenSaid,
    Said,
    WithdrawSaid,
    affected_digest,
)
from domain.hashing import sha256_hex
from domain.tenants.state import Tenant
from infrastructure.client.acts import governed
from infrastructure.commands import disputes
from infrastructure.commands.involved import every
from infrastructure.commands.referring import outcomes, readable, standing
from infrastructure.commands.voices import load_dispute
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Answer, Ledger

Wallets = Sequence[Wallet]
Decision = Literal["upheld", "overturned"]


class Speaker:
    """Who speaks before a scope's resolvers, with wallets: a tenant, an operator (by its name), or a resolver.

    Args:
        ledger: the ledger.
        scope: whose resolvers decide.
        wallets: who sign.
        tenant: for whom its admins speak.
        operator: for whom its key speaks.
    """

    def __init__(
        self, ledger: Ledger, scope: Tenant, wallets: Wallets, *, tenant: Tenant | None = None, operator: str = ""
    ) -> None:
        self.ledger = ledger
        self.scope = scope
        self.wallets = wallets
        self.asker = tenant or scope
        self.role: Literal["tenant", "operator", "resolver"] = "resolver"
        self.party, self._iss = scope.origin, scope.did
        if tenant is not None:
            self.role, self.party, self._iss = "tenant", tenant.origin, tenant.did
        elif operator:
            self.role, self.party, self._iss = "operator", operator, wallets[0].did(Purpose.GOVERNANCE)

    def sign(self, said: Said) -> tuple[str, ...]:
        """Return a statement signed by every wallet."""
        return governed(self.ledger, self.wallets, self._iss, self.scope.origin, said.claims())


def open_dispute(by: Speaker, subject: Subject, grounds: str, *, dispute_id: str | None = None) -> str:
    """Open a dispute about all that is involved; return its id."""
    ledger = by.ledger
    found = every(ledger, by.asker, subject, most=MAX_AFFECTED)
    named = dispute_id or str(ledger.ids.uuid(ledger.clock.now_ms()))
    said = OpenSaid(
        dispute=named, role=by.role, party=by.party, subject=subject, grounds=grounds,
        affected=affected_digest(tuple(one.affected() for one in found)),
    )  # fmt: skip
    return str(disputes.open_dispute(ledger, by.scope, by.sign(said)).answer["dispute"])


def answer(by: Speaker, dispute_id: str, text: str) -> Answer:
    """Answer a dispute."""
    said = AnswerSaid(dispute=dispute_id, role=by.role, party=by.party, text=text)
    return disputes.answer_dispute(by.ledger, by.scope, by.sign(said))


def attach(by: Speaker, dispute_id: str, title: str, document: bytes) -> Answer:
    """Attach a document."""
    said = DocumentSaid(dispute=dispute_id, role=by.role, party=by.party, title=title, digest=sha256_hex(document))
    return disputes.attach_evidence(by.ledger, by.scope, by.sign(said), document)


def attach_entry(by: Speaker, dispute_id: str, title: str, entry: NamedEntry) -> Answer:
    """Attach an entry of a log."""
    said = EntrySaid(dispute=dispute_id, role=by.role, party=by.party, title=title, entry=entry)
    return disputes.attach_evidence(by.ledger, by.scope, by.sign(said))


def decide(
    by: Speaker,
    dispute_id: str,
    decision: Decision,
    reason: str,
    *,
    cacs: Sequence[str] | None = None,
) -> Answer:
    """Decide a dispute as it is now. What is overturned names all its CACs that stand, unless some are named."""
    made = decision_of(by.ledger, by.scope, dispute_id, decision, reason, cacs=cacs)
    return disputes.decide_dispute(by.ledger, by.scope, by.sign(made.said), made.cacs)


@dataclass(frozen=True, slots=True)
class Decided:
    """What resolvers say to decide, the CACs whose digest that names (None: none), and those that stand."""

    said: DecideSaid
    cacs: tuple[str, ...] | None = None
    standing: tuple[str, ...] = ()


def decision_of(
    ledger: Ledger,
    scope: Tenant,
    dispute_id: str,
    decision: Decision,
    reason: str,
    *,
    cacs: Sequence[str] | None = None,
) -> Decided:
    """Return what the scope's resolvers say to decide a dispute as it is now. Of its CACs all that stand, or `cacs`."""
    dispute = load_dispute(ledger, scope, dispute_id)
    told: dict[str, Any] = {
        "dispute": dispute_id, "role": "resolver", "party": scope.origin, "decision": decision, "reason": reason,
        "events": dispute.version + 1,
    }  # fmt: skip
    if decision == "upheld":
        return Decided(DecideSaid(**told))
    stands = standing(outcomes(ledger, readable(ledger, dispute.opened.affected))).cacs
    named = stands if cacs is None else tuple(cacs)
    said = DecideSaid(**told, cacs_digest=cacs_digest(named), standing_digest=cacs_digest(stands))
    return Decided(said, named, stands)


def withdraw(by: Speaker, dispute_id: str, reason: str) -> Answer:
    """Take a dispute back."""
    said = WithdrawSaid(dispute=dispute_id, role=by.role, party=by.party, reason=reason)
    return disputes.withdraw_dispute(by.ledger, by.scope, by.sign(said))
