"""What bounds disputes on a real cell: erasures, open ones, and what fits an entry."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.cacs.events import CacIssued, CacOverturned
from domain.disputes import decisions
from domain.disputes.events import AboutExecution, AboutSpan
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.message import Event
from domain.statements import Signed
from domain.tenants.erasure import order_claims, order_erasure
from domain.time import DAY_MS
from infrastructure.client import acts, disputes
from infrastructure.commands import disputes as commands
from infrastructure.commands.involved import every
from infrastructure.commands.tenants import govern
from infrastructure.commands.voices import load_dispute
from infrastructure.disputes.exporting import export_dispute
from infrastructure.disputes.verifying import verify_case
from infrastructure.erasure import destroy_keys
from tests.commands.cell import NOW, Cell, MakeCell
from tests.commands.court import Court, about, court, executed, verified


@pytest.fixture(scope="module")
def there(cell: Cell) -> Court:
    """Resolvers of the root of a cell that the tests of this module share."""
    return court(cell)


def test_what_is_disputed_is_not_erased(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    there, member = court(cell), cell.join()
    _, cac = executed(cell, member)
    dispute = disputes.open_dispute(there.bench(), about(cac), "wrong")
    with cell.nothing_written(), pytest.raises(RefusedError, match=f"dispute {dispute} is not decided"):
        acts.order_erasure(cell.ledger, member.tenant, member.admins, DAY_MS)
    cell.advance(14 * DAY_MS)
    disputes.decide(there.bench(), dispute, "upheld", "it stands")
    acts.order_erasure(cell.ledger, member.tenant, member.admins, DAY_MS)
    other = disputes.open_dispute(there.bench(), about(cac), "once more")
    cell.advance(2 * DAY_MS)
    assert load_dispute(cell.ledger, there.scope, other).undecided(cell.clock.now_ms())
    verified(cell, member.log_id, tmp_path / "member")
    destroy_keys(cell.ledger, member.log_id)
    assert every(cell.ledger, there.scope, AboutSpan(kind="span", from_ms=0, to_ms=NOW + DAY_MS), most=9) == ()
    verified(cell, there.scope.log_id, tmp_path / "scope")
    out = tmp_path / "case"
    export_dispute(cell.ledger, there.scope, dispute, out)
    assert not (out / f"t-{cell.ledger.log(member.log_id).slot}").exists()


def test_a_dispute_that_came_before_an_order_holds_it_up_and_a_later_one_does_not(there: Court, cell: Cell) -> None:
    member = cell.join()
    _, cac = executed(cell, member)
    before = disputes.open_dispute(there.bench(), about(cac), "wrong")
    tenant = member.tenant
    tokens = acts.governed(cell.ledger, member.admins, tenant.did, tenant.origin, order_claims(tenant, DAY_MS))

    def not_seen(signed: Sequence[Signed]) -> Event:  # what was opened while the order was looked at
        return order_erasure(tenant, DAY_MS, signed, holds=(), disputes=(), now_ms=cell.clock.now_ms())

    govern(cell.ledger, tenant, tokens, not_seen)
    disputes.open_dispute(there.bench(), about(cac), "once more")
    cell.advance(2 * DAY_MS)
    with cell.nothing_written(), pytest.raises(RefusedError, match=f"dispute {before} is not decided.*1 open"):
        destroy_keys(cell.ledger, member.log_id)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="by who opened it"):
        disputes.withdraw(there.bench(there.judges[1]), before, "settled")
    disputes.withdraw(there.bench(), before, "settled")
    destroy_keys(cell.ledger, member.log_id)


def test_after_an_order_was_taken_back_every_open_dispute_holds_the_next_one_up(there: Court, cell: Cell) -> None:
    member = cell.join()
    _, cac = executed(cell, member)
    acts.order_erasure(cell.ledger, member.tenant, member.admins, DAY_MS)
    dispute = disputes.open_dispute(there.bench(), about(cac), "wrong")
    acts.withdraw_erasure(cell.ledger, member.tenant, member.admins)
    with cell.nothing_written(), pytest.raises(RefusedError, match=f"dispute {dispute} is not decided"):
        acts.order_erasure(cell.ledger, member.tenant, member.admins, DAY_MS)


def test_nobody_opens_disputes_without_number(there: Court, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    member = cell.join()
    cacs = [executed(cell, member)[1] for _ in range(2)]
    monkeypatch.setattr(decisions, "MAX_OPEN_ABOUT_ONE", 2)
    mine = [disputes.open_dispute(there.tenant(member), about(cacs[0]), "wrong") for _ in range(2)]
    with cell.nothing_written(), pytest.raises(RefusedError, match="at most 2 disputes open about one execution"):
        disputes.open_dispute(there.tenant(member), about(cacs[0]), "wrong")
    assert disputes.open_dispute(there.bench(), about(cacs[0]), "another party's are not counted")
    assert disputes.open_dispute(there.tenant(member), about(cacs[1]), "nor those about another execution")
    disputes.withdraw(there.tenant(member), mine[0], "settled")
    assert disputes.open_dispute(there.tenant(member), about(cacs[0]), "there is room again")
    monkeypatch.setattr(decisions, "MAX_OPEN", {"tenant": 3, "resolver": 256})
    with cell.nothing_written(), pytest.raises(RefusedError, match="at most 3 disputes open"):
        disputes.open_dispute(there.tenant(member), about(cacs[1]), "one too many")
    assert disputes.open_dispute(there.bench(), about(cacs[1]), "the bench has room")
    cell.advance(45 * DAY_MS)
    assert disputes.open_dispute(there.tenant(member), about(cacs[1]), "what nobody decided in time is not open")


def test_nothing_is_overturned_while_it_runs_and_a_later_cac_is_with_it(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    there, member = court(cell), cell.join()
    there.adopt({"rules": [{"kind": "dispute_resolution", "answer_ms": 1000}]})
    (execution,) = cell.place(member)
    dispute = disputes.open_dispute(there.bench(), AboutExecution(kind="execution", execution_id=execution), "wrong")
    assert load_dispute(cell.ledger, there.scope, dispute).cacs == ()
    disputes.answer(there.tenant(member), dispute, "it runs")
    operator = load_dispute(cell.ledger, there.scope, dispute).opened.affected[0].operator
    disputes.answer(there.operator(operator), dispute, "it runs")
    with cell.nothing_written(), pytest.raises(RefusedError, match=f"{execution} has not ended"):
        disputes.decide(there.bench(), dispute, "overturned", "wrong")
    unaware = disputes.decision_of(cell.ledger, there.scope, dispute, "overturned", "wrong")
    cell.run(execution)
    (issued,) = cell.events(member, CacIssued)
    with cell.nothing_written(), pytest.raises(ConflictError, match="issued or overturned since"):
        commands.decide_dispute(cell.ledger, there.scope, there.bench().sign(unaware.said), unaware.cacs)
    disputes.decide(there.bench(), dispute, "overturned", "wrong")
    (overturned,) = cell.events(member, CacOverturned)
    assert (overturned.cac_id, overturned.execution_id) == (issued.cac_id, execution)
    for log_id in (there.scope.log_id, member.log_id):
        verified(cell, log_id, tmp_path / str(log_id))
    out = tmp_path / "case"
    export_dispute(cell.ledger, there.scope, dispute, out)
    verdict = verify_case(out)
    assert verdict.ok, verdict.first_error
