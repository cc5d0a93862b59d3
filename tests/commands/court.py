"""A scope with resolvers and operators' keys, for the tests of disputes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.disputes.events import AboutCac
from domain.executions.events import ExecutionReserved
from domain.policies.kinds import Policy
from domain.statements import GOVERNANCE
from domain.tenants.state import Tenant
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts, governance
from infrastructure.client.disputes import Speaker
from infrastructure.commands.involved import every
from infrastructure.commands.loading import load_root, load_tenant
from infrastructure.keys.wallet import Purpose, Wallet
from tests.commands.cell import CLASS, FAMILIES, Cell, Member


@dataclass(frozen=True, eq=False)
class Court:
    """A scope of a cell with its admin, two resolvers, and a key of each operator."""

    cell: Cell
    log_id: UUID
    admin: Wallet
    judges: list[Wallet]
    operators: dict[str, Wallet]

    @property
    def scope(self) -> Tenant:
        """Return the scope as it is now."""
        return load_tenant(self.cell.ledger, self.log_id)

    def bench(self, *judges: Wallet) -> Speaker:
        """Return resolvers as they speak."""
        return Speaker(self.cell.ledger, self.scope, judges or self.judges[:1])

    def tenant(self, member: Member, *, before: "Court | None" = None) -> Speaker:
        """Return a tenant as it speaks, here or before another scope."""
        signing = member.admins[: member.tenant.threshold]
        return Speaker(self.cell.ledger, (before or self).scope, signing, tenant=member.tenant)

    def operator(self, name: str) -> Speaker:
        """Return an operator as it speaks."""
        return Speaker(self.cell.ledger, self.scope, [self.operators[name]], operator=name)

    def operator_of(self, cac: str) -> str:
        """Return who runs the node that a CAC comes from."""
        return every(self.cell.ledger, self.scope, about(cac), most=1)[0].operator

    def enrol(self, role: str, wallet: Wallet) -> Wallet:
        """Enrol a governance key in the scope."""
        enrolled = acts.principal(wallet, Purpose.GOVERNANCE, role, GOVERNANCE)
        acts.enrol(self.cell.ledger, self.scope, [self.admin], enrolled, wallet)
        return wallet

    def adopt(self, policy: object) -> None:
        """Put a policy of the scope in force."""
        acts.adopt_policy(self.cell.ledger, self.scope, [self.admin], Policy.model_validate_json(json.dumps(policy)))

    def below(self, name: str) -> "Court":
        """Register a scope below, with resolvers of its own."""
        admin = self.cell.wallet(f"{name}-admin")
        scope = governance.register_scope(
            self.cell.ledger, name=name, kind="jurisdiction", admins=[admin], threshold=1, parent=self.scope,
            parent_admins=[self.admin],
        )  # fmt: skip
        return _court(self.cell, UUID(scope.log_id), admin)

    def join(self, dao: str = "Inland") -> Member:
        """Register a tenant below this scope."""
        wallet = self.cell.wallet(f"{dao}-admin")
        tenant = acts.register_tenant(
            self.cell.ledger, dao=dao, jurisdiction="DEU", admins=[wallet], root_admins=[self.admin],
            families=FAMILIES, resource_classes=(CLASS,), memory_bytes=1 << 24, scope=self.scope,
        )  # fmt: skip
        return Member(self.cell, UUID(tenant.log_id), [wallet])


def court(cell: Cell) -> Court:
    """Appoint resolvers of the root, and enrol the operators of the cell's nodes."""
    return _court(cell, UUID(load_root(cell.ledger).log_id), cell.root)


def _court(cell: Cell, log_id: UUID, admin: Wallet) -> Court:
    made = Court(cell, log_id, admin, [], {})
    made.judges.extend(made.enrol("resolver", cell.wallet(f"judge-{n}")) for n in (1, 2))
    made.operators.update({name: made.enrol("operator", cell.wallet(name)) for name in ("OpA", "OpB", "OpC")})
    return made


def executed(cell: Cell, member: Member) -> tuple[str, str]:
    """Let something run to its CAC; return execution and CAC."""
    (execution,) = cell.place(member)
    cell.run(execution)
    reserved = next(e for e in cell.events(member, ExecutionReserved) if e.execution_id == execution)
    return execution, reserved.cac_id


def about(cac_id: str) -> AboutCac:
    """Return a CAC as a subject."""
    return AboutCac(kind="cac", cac_id=cac_id)


def verified(cell: Cell, log_id: str | UUID, out: Path) -> Any:
    """Verify a log from a bundle with all keys."""
    export_bundle(cell.ledger, UUID(str(log_id)), out, with_keys="all")
    found = verify_bundle(out)
    assert found.ok, found.first_error
    return found
