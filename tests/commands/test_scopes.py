"""Scopes below the root, and monitors: who accepts and endorses, what lies below what; and that tenants work there."""

from typing import Any
from uuid import UUID

import pytest

from domain.cacs.events import CacIssued
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError, UnknownError
from domain.statements import GOVERNANCE
from domain.tenants.decisions import acceptance_claims
from domain.tenants.events import MonitorAppointed, ScopeRegisteredBelow
from domain.tenants.scopes import scope_claims
from domain.tenants.state import Tenant
from infrastructure.client import acts, governance
from infrastructure.client.signing import admin_key, signed_by
from infrastructure.commands import scopes
from infrastructure.commands.loading import find_log, find_tenant, load_tenant, scopes_above
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.payload import payload
from tests.commands.cell import CLASS, ENTROPY, FAMILIES, Cell, MakeCell, Member
from tests.commands.driver import Driver


def below(cell: Cell, scope: Tenant, keys: list[Wallet], dao: str, **changes: Any) -> Member:
    """Register a tenant below a scope."""
    admins = [cell.wallet(f"{dao}-admin")]
    usual: dict[str, Any] = {"jurisdiction": "DEU", "families": FAMILIES, "resource_classes": [CLASS]}
    tenant = acts.register_tenant(
        cell.ledger, dao=dao, admins=admins, root_admins=keys, scope=scope, **{**usual, **changes}
    )
    return Member(cell, UUID(tenant.log_id), admins)


def treaty(
    cell: Cell, name: str, parent: Tenant | None = None, by: list[Wallet] | None = None
) -> tuple[Tenant, list[Wallet]]:
    """Register a treaty; return it with its admins' wallets."""
    keys = [cell.wallet("treaty-admin")]
    scope = governance.register_scope(
        cell.ledger, name=name, kind="treaty", admins=keys, parent=parent, parent_admins=by or [cell.root]
    )
    return scope, keys


def test_a_scope_is_registered_in_its_own_log_and_found_by_its_name(cell: Cell) -> None:
    scope, keys = treaty(cell, "Rhine")
    (event,) = [i.event for i in cell.history(UUID(scope.log_id)) if isinstance(i.event, ScopeRegisteredBelow)]
    assert (event.name, event.kind, event.parent) == ("Rhine", "treaty", acts.root_scope(cell.ledger).origin)
    assert len(event.acceptances) == len(event.endorsements) == 1
    assert find_tenant(cell.ledger, "Rhine") == scope == find_tenant(cell.ledger, scope.log_id)
    assert scope.issuers == (keys[0].did(Purpose.CREDENTIAL),)
    assert scope.called == "Rhine"
    assert [one.called for one in scopes_above(cell.ledger, scope)] == ["root"]
    with pytest.raises(MalformedError, match="scope by its name"):
        find_log(cell.ledger, "Nowhere")


def test_a_tenant_below_a_scope_is_endorsed_by_it_and_runs_to_a_cac(cell: Cell) -> None:
    scope, keys = treaty(cell, "Danube")
    for wallets in ([cell.root], [cell.wallet("stranger")]):
        with pytest.raises(RefusedError):
            below(cell, scope, wallets, "DanubeDAO")
    member = below(cell, scope, keys, "DanubeDAO")
    assert member.tenant.parent == scope.origin
    (execution,) = cell.place(member)
    Driver(cell, execution).whole()
    cell.settle()
    assert len(cell.events(member, CacIssued)) == 1
    acts.renew_credential(cell.ledger, member.tenant, keys, families=FAMILIES[:1], resource_classes=[CLASS])
    with cell.nothing_written(), pytest.raises(RefusedError):
        acts.renew_credential(cell.ledger, member.tenant, [cell.root], families=FAMILIES, resource_classes=[CLASS])


def test_what_lies_below_what(cell: Cell) -> None:
    first, keys = treaty(cell, "Alps")
    inner, inner_keys = treaty(cell, "InnerAlps", first, keys)
    assert [one.called for one in scopes_above(cell.ledger, inner)] == ["Alps", "root"]
    country = governance.register_scope(
        cell.ledger, name="CHE", kind="jurisdiction", admins=inner_keys, parent=inner, parent_admins=inner_keys
    )
    member = below(cell, country, inner_keys, "AlpsDAO", jurisdiction="CHE")
    assert [one.called for one in scopes_above(cell.ledger, member.tenant)] == ["CHE", "InnerAlps", "Alps", "root"]
    logs = len(cell.ledger.logs())
    for parent in (country, member.tenant):
        with cell.nothing_written(), pytest.raises(RefusedError, match="below it"):
            treaty(cell, "Deeper", parent, inner_keys)
    assert len(cell.ledger.logs()) == logs
    with cell.nothing_written(), pytest.raises(RefusedError, match="nothing lies below"):
        below(cell, member.tenant, inner_keys, "BelowDAO")


def test_scopes_end_at_a_depth(make_cell: MakeCell) -> None:
    cell = make_cell()
    parent, keys = acts.root_scope(cell.ledger), [cell.root]
    for number in range(7):
        parent, keys = treaty(cell, f"Level{number}", parent, keys)
    with pytest.raises(RefusedError, match="deep"):
        treaty(cell, "TooDeep", parent, keys)


@pytest.mark.parametrize(
    "name", ["root", "platform", "", "a b", "a/b", "1st", "x" * 65, "abcdef00-0000-0000-0000-000000000000", "caf\u00e9"]
)
def test_a_scope_that_would_be_mistaken_for_something_else_is_refused(cell: Cell, name: str) -> None:
    logs = len(cell.ledger.logs())
    with cell.nothing_written(), pytest.raises(MalformedError):
        treaty(cell, name)
    assert len(cell.ledger.logs()) == logs


def test_a_scope_is_named_once(cell: Cell) -> None:
    treaty(cell, "Elbe")
    with cell.nothing_written(), pytest.raises(ConflictError, match="registered already"):
        treaty(cell, "Elbe")


class Registration:
    """A registration whose parts can be changed before it is handed in."""

    def __init__(self, cell: Cell, name: str) -> None:
        self.cell = cell
        self.admin = cell.wallet("scope-admin")
        self.did = self.admin.did(Purpose.GOVERNANCE)
        self.registered = scopes.prepare_scope(
            cell.ledger, name=name, kind="treaty", parent=acts.root_scope(cell.ledger), did=self.did,
            admins=[admin_key(self.admin)], threshold=1, issuers=[],
        )  # fmt: skip

    def said(self, wallets: list[Wallet], claims: dict[str, Any]) -> tuple[str, ...]:
        """Let wallets sign."""
        now_ms = self.cell.clock.now_ms()
        content = payload(iss=self.did, aud=self.registered.origin, claims=claims, now_ms=now_ms, entropy=ENTROPY)
        return signed_by(wallets, GOVERNANCE, content)

    def hand_in(
        self, accepted_by: list[Wallet] | None = None, endorsed_by: list[Wallet] | None = None, **changed: Any
    ) -> None:
        """Hand it in, with members changed after it was signed."""
        accepted = self.said([self.admin] if accepted_by is None else accepted_by, acceptance_claims(self.registered))
        endorsed = self.said([self.cell.root] if endorsed_by is None else endorsed_by, scope_claims(self.registered))
        registration = self.registered.model_copy(update=changed)
        scopes.register_scope(self.cell.ledger, registration, acceptances=accepted, endorsements=endorsed)


def test_a_scope_needs_its_own_admins_acceptance_and_the_endorsement_of_those_above(cell: Cell) -> None:
    registration = Registration(cell, "Oder")
    stranger = cell.wallet("stranger")
    wrong: list[dict[str, Any]] = [
        {"accepted_by": []}, {"accepted_by": [stranger]}, {"endorsed_by": []}, {"endorsed_by": [stranger]},
        {"endorsed_by": [registration.admin]}, {"endorsed_by": [cell.root, cell.root]},
        {"name": "Weser"}, {"kind": "jurisdiction"}, {"threshold": 2}, {"issuers": ("did:key:z6Mother",)},
        {"slot": 99}, {"origin": "ledger.example/t/99"},
    ]  # fmt: skip
    for changes in wrong:
        with cell.nothing_written(), pytest.raises(RefusedError):
            registration.hand_in(**changes)
    with cell.nothing_written(), pytest.raises((RefusedError, UnknownError)):
        registration.hand_in(parent="ledger.example/t/99")
    registration.hand_in()
    assert load_tenant(cell.ledger, UUID(registration.registered.scope_id)).called == "Oder"


def test_two_registrations_of_one_name_do_not_both_succeed(cell: Cell) -> None:
    first, second = Registration(cell, "Maas"), Registration(cell, "Maas")
    first.hand_in()
    with cell.nothing_written(), pytest.raises(ConflictError, match="taken"):
        second.hand_in()


def test_a_scopes_keys_are_enrolled_and_withdrawn_as_a_tenants_are_and_its_data_keys_never_destroyed(
    cell: Cell,
) -> None:
    scope, keys = treaty(cell, "Po")
    helper = cell.wallet("helper")
    acts.enrol(cell.ledger, scope, keys, acts.principal(helper, Purpose.GOVERNANCE, "admin", GOVERNANCE))
    scope = find_tenant(cell.ledger, "Po")
    member = below(cell, scope, keys, "PoDAO")
    governance.grant_quota(cell.ledger, [helper], member.tenant)
    acts.revoke(cell.ledger, scope, keys, helper.thumbprint(Purpose.GOVERNANCE), "left")
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        governance.grant_quota(cell.ledger, [helper], member.tenant)
    with cell.nothing_written(), pytest.raises(RefusedError, match="scope"):
        acts.order_erasure(cell.ledger, find_tenant(cell.ledger, "Po"), keys)


# Monitors


def test_a_monitor_is_appointed_once_by_the_tenants_own_admins(cell: Cell) -> None:
    member = cell.join(admins=2, threshold=2)
    for wallets in (member.admins[:1], [cell.root], [member.admins[0]] * 2, []):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            governance.appoint_monitor(cell.ledger, member.tenant, wallets, "TreatyMonitor")
    with cell.only_written_to(member):
        governance.appoint_monitor(cell.ledger, member.tenant, member.admins, "TreatyMonitor")
        governance.appoint_monitor(cell.ledger, member.tenant, member.admins, "ParentDAO", "parent_dao")
    found = [(event.name, event.kind) for event in cell.events(member, MonitorAppointed)]
    assert found == [("TreatyMonitor", "treaty_monitor"), ("ParentDAO", "parent_dao")]
    assert member.tenant.monitors == ("TreatyMonitor", "ParentDAO")
    with cell.nothing_written(), pytest.raises(ConflictError, match="appointed already"):
        governance.appoint_monitor(cell.ledger, member.tenant, member.admins, "TreatyMonitor")
