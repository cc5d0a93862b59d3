"""A statement that was carried out is answered as at first, also when it comes again after its end; no other is."""

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, Final

import pytest

from domain.errors import ConflictError, NotAuthorisedError
from domain.quotas.events import Quota
from domain.statements import GOVERNANCE
from domain.time import DAY_MS
from infrastructure.client import acts, governance, offers, token_issuers
from infrastructure.client.signing import signed_by
from infrastructure.commands import clauses, genesis, grants, nodes, scopes, standing_offers, submissions, tenants
from infrastructure.commands import token_issuers as issuing
from infrastructure.keys.jwks import read_jwks
from infrastructure.keys.wallet import Purpose
from infrastructure.ledger import Answer
from infrastructure.statements import jws
from tests.commands.cell import CLASS, FAMILIES, Cell, MakeCell
from tests.commands.driver import Driver

COMMANDS: Final[tuple[tuple[ModuleType, str], ...]] = (
    (tenants, "register_tenant"), (tenants, "enrol"), (tenants, "revoke"), (tenants, "adopt"), (tenants, "appoint"),
    (tenants, "enrol_issuer"), (tenants, "revoke_issuer"), (tenants, "renew"), (scopes, "register_scope"),
    (grants, "quota"), (clauses, "register"), (clauses, "deprecate"), (genesis, "adopt_levels"),
    (nodes, "enrol_node"), (nodes, "drain_node"), (nodes, "return_node"), (standing_offers, "stand_offer"),
    (standing_offers, "withdraw_offer"), (submissions, "submit"), (submissions, "cancel"), (issuing, "admit"),
    (issuing, "revoke"),
)  # fmt: skip
JWKS: Final = b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'


def everything(cell: Cell) -> None:
    """Let each command be carried out once at least."""
    ledger, root = cell.ledger, acts.root_scope(cell.ledger)
    member = cell.join()
    (admin,) = member.admins
    acts.renew_credential(ledger, member.tenant, [cell.root], families=FAMILIES, resource_classes=[CLASS])
    newcomer = acts.principal(cell.wallet("newcomer"), Purpose.SUBMISSION, "submitter", "ledger-submission+jwt")
    acts.enrol(ledger, member.tenant, [admin], newcomer)
    acts.revoke(ledger, member.tenant, [admin], newcomer.kid, "left")
    member.adopt({"kind": "in_country"})
    governance.appoint_monitor(ledger, member.tenant, [admin], "Watcher")
    governance.enrol_issuer(ledger, root, [cell.root], "did:web:issuer.example")
    governance.revoke_issuer(ledger, acts.root_scope(ledger), [cell.root], "did:web:issuer.example", "left")
    governance.register_scope(
        ledger, name="Union", kind="treaty", admins=[cell.wallet("union")], parent_admins=[cell.root]
    )
    governance.grant_quota(ledger, [cell.root], member.tenant, slots=Quota(nominal=3))
    cell.register("UNDRR::Disaster::Flood@1.1.0", "flood", inputs=2)
    acts.deprecate_clause(ledger, cell.owner.tenant, cell.owner.admins, "UNDRR::Disaster::Flood@1.1.0", "old")
    acts.adopt_levels(ledger, [cell.root], ["Health"])
    cell.enrol("extra", operator="Keeper", pool="reserve")
    acts.drain_node(ledger, [cell.root], "extra", "test")
    acts.return_node(ledger, [cell.root], "extra", "test")
    keeper = cell.wallet("Keeper")
    until_ms = cell.clock.now_ms() + DAY_MS
    offers.stand(ledger, [cell.root], keeper, pool="reserve", operator="Keeper", until_ms=until_ms)
    offers.withdraw(ledger, "reserve", "Keeper", wallet=keeper)
    acts.cancel(ledger, member.tenant, admin, cell.submit(member))
    admitted = token_issuers.admission(
        "https://id.example", "ledger", read_jwks(JWKS), ["auditor=groups=x"], token_type="JWT", from_ms=0,
        until_ms=None,
    )  # fmt: skip
    token_issuers.admit(ledger, member.tenant, [admin], admitted)
    token_issuers.revoke(ledger, member.tenant, [admin], "https://id.example", "left")


def test_every_command_answers_its_statement_as_at_first_after_the_statements_end(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, Callable[[], Answer], Answer]] = []

    def noted(name: str, command: Callable[..., Answer]) -> Callable[..., Answer]:
        @wraps(command)
        def run(*args: Any, **kwargs: Any) -> Answer:
            answer = command(*args, **kwargs)
            done.append((name, lambda: command(*args, **kwargs), answer))
            return answer

        return run

    cell = make_cell()
    for module, name in COMMANDS:
        monkeypatch.setattr(module, name, noted(f"{module.__name__}.{name}", getattr(module, name)))
    everything(cell)
    assert {name for name, _, _ in done} == {f"{module.__name__}.{name}" for module, name in COMMANDS}
    cell.advance(2 * DAY_MS)
    with cell.nothing_written():
        for name, again, first in done:
            assert dict(again().answer) == dict(first.answer), name


def test_a_report_is_answered_as_at_first_after_its_end(cell: Cell) -> None:
    member = cell.join()
    (execution,) = cell.place(member)
    driver = Driver(cell, execution).whole()
    cell.advance(2 * DAY_MS)
    with cell.nothing_written():
        for token, enclosed in driver.tokens:
            assert driver.send(token, enclosed).answer == {"accepted": True, "reason": ""}


def test_what_was_never_carried_out_or_says_something_else_is_refused_after_its_end(cell: Cell) -> None:
    member = cell.join()
    tenant, (admin,) = member.tenant, member.admins
    claims: dict[str, object] = {"act": "appoint_monitor", "name": "Late", "kind": "treaty_monitor"}
    (never,) = acts.governed(cell.ledger, [admin], tenant.did, tenant.origin, claims)
    (carried,) = acts.governed(cell.ledger, [admin], tenant.did, tenant.origin, {**claims, "name": "Early"})
    tenants.appoint(cell.ledger, tenant, "Early", "treaty_monitor", [carried])
    (other,) = signed_by([admin], GOVERNANCE, {**jws.peek(carried)[1], "name": "Late"})
    cell.advance(2 * DAY_MS)
    with cell.nothing_written():
        with pytest.raises(NotAuthorisedError, match="expired"):
            tenants.appoint(cell.ledger, member.tenant, "Late", "treaty_monitor", [never])
        with pytest.raises(NotAuthorisedError, match="expired"):
            tenants.appoint(cell.ledger, member.tenant, "Early", "treaty_monitor", [carried, never])
        with pytest.raises(ConflictError):
            tenants.appoint(cell.ledger, member.tenant, "Late", "treaty_monitor", [other])
    elsewhere = cell.join()
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        tenants.appoint(cell.ledger, elsewhere.tenant, "Early", "treaty_monitor", [carried])
