"""Who decides disputes, on a real cell: roles as of then, nobody its own cause, one decision."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from domain.cacs.events import CacOverturned
from domain.disputes.statements import DecideSaid
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError
from domain.policies.kinds import Policy
from domain.statements import ASSERTION, GOVERNANCE
from domain.tenants.events import ReaderEnrolled, TenantRegistered
from domain.time import DAY_MS
from infrastructure.client import acts, disputes, governance
from infrastructure.client.disputes import Speaker
from infrastructure.client.signing import accepted, admin_key
from infrastructure.commands import disputes as commands
from infrastructure.commands import tenants
from infrastructure.commands.voices import load_dispute
from infrastructure.keys.wallet import Purpose, Wallet
from tests.commands.cell import ENTROPY, Cell, MakeCell
from tests.commands.court import Court, about, court, executed, verified


@pytest.fixture(scope="module")
def there(cell: Cell) -> Court:
    """Resolvers of the root of a cell that the tests of this module share."""
    return court(cell)


def test_roles_are_looked_up_when_the_decision_is_made(make_cell: MakeCell) -> None:
    cell = make_cell()
    there, member = court(cell), cell.join()
    _, cac = executed(cell, member)
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    cell.advance(14 * DAY_MS)
    judge = there.judges[0]
    for wallets in (member.admins, [there.operators["OpA"]], [cell.root]):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            disputes.decide(Speaker(cell.ledger, there.scope, wallets), dispute, "upheld", "x")
    rules = {"rules": [{"kind": "dispute_resolution", "threshold": 2}]}
    there.adopt(rules)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="1 of 2"):
        disputes.decide(there.bench(judge), dispute, "upheld", "x")
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="twice"):
        disputes.decide(there.bench(judge, judge), dispute, "upheld", "x")
    acts.revoke(cell.ledger, there.scope, [cell.root], judge.thumbprint("governance"), "left")
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        disputes.decide(there.bench(*there.judges), dispute, "upheld", "x")
    cell.advance(30 * DAY_MS)
    there.adopt({"rules": []})
    with cell.nothing_written(), pytest.raises(RefusedError, match="time to decide was over"):
        disputes.decide(there.bench(there.judges[1]), dispute, "upheld", "x")


def test_a_resolver_that_acts_for_an_affected_tenant_does_not_count(make_cell: MakeCell) -> None:
    cell = make_cell()
    there = court(cell)
    member = cell.join()
    there.enrol("resolver", member.admins[0])
    _, cac = executed(cell, member)
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    cell.advance(14 * DAY_MS)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="acts for a party"):
        disputes.decide(there.bench(member.admins[0]), dispute, "overturned", "mine")


def test_a_tenant_excludes_no_resolver_by_enrolling_its_key(there: Court, cell: Cell, tmp_path: Path) -> None:
    member = cell.join()
    _, cac = executed(cell, member)
    dispute = disputes.open_dispute(there.bench(), about(cac), "wrong")
    cell.advance(14 * DAY_MS)
    judge = there.judges[0]
    taken = acts.principal(judge, Purpose.GOVERNANCE, "clerk", GOVERNANCE)
    acts.enrol(cell.ledger, member.tenant, member.admins, taken)
    as_reader = reader(there.judges[1])
    governance.enrol_reader(cell.ledger, member.tenant, member.admins, as_reader)
    assert {taken.kid, as_reader.kid} <= member.tenant.principals.keys(), "anybody's public key can be enrolled"
    disputes.decide(there.bench(judge), dispute, "overturned", "it was")
    assert load_dispute(cell.ledger, there.scope, dispute).status == "overturned"
    verified(cell, there.scope.log_id, tmp_path / "scope")
    verified(cell, member.log_id, tmp_path / "member")


def reader(wallet: Wallet) -> ReaderEnrolled:
    """Return the enrolment of a wallet's governance key as one that only reads."""
    return ReaderEnrolled(
        kid=wallet.thumbprint(Purpose.GOVERNANCE), public_key=wallet.public(Purpose.GOVERNANCE).hex(), person="Judge",
        role="auditor", statement_type=ASSERTION, jurisdictions=(), from_ms=0, until_ms=None, statements=(),
    )  # fmt: skip


def test_who_accepted_to_act_for_a_tenant_decides_nothing_about_it_for_ever(
    there: Court, cell: Cell, tmp_path: Path
) -> None:
    member = cell.join()
    _, cac = executed(cell, member)
    dispute = disputes.open_dispute(there.bench(there.judges[1]), about(cac), "wrong")
    judge = there.judges[0]
    clerk = acts.principal(judge, Purpose.GOVERNANCE, "clerk", GOVERNANCE)
    acts.enrol(cell.ledger, member.tenant, member.admins, clerk, judge)
    acts.revoke(cell.ledger, member.tenant, member.admins, clerk.kid, "for the day of the decision")
    cell.advance(14 * DAY_MS)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="acts for a party"):
        disputes.decide(there.bench(judge), dispute, "upheld", "mine")
    disputes.decide(there.bench(there.judges[1]), dispute, "upheld", "it stands")
    verified(cell, member.log_id, tmp_path / "member")


def test_who_signed_for_a_tenant_under_an_enrolment_of_before_decides_nothing_about_it(
    there: Court, cell: Cell
) -> None:
    member = cell.join()
    _, cac = executed(cell, member)
    judge = there.judges[0]
    second = acts.principal(judge, Purpose.GOVERNANCE, "admin", GOVERNANCE)
    acts.enrol(cell.ledger, member.tenant, member.admins, second)
    acts.adopt_policy(cell.ledger, member.tenant, [judge], Policy())
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    cell.advance(14 * DAY_MS)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="acts for a party"):
        disputes.decide(there.bench(judge), dispute, "upheld", "mine")


def test_a_key_is_enrolled_under_its_own_thumbprint_and_accepts_itself(there: Court, cell: Cell) -> None:
    member, stranger, judge = cell.join(), cell.wallet("stranger"), there.judges[0]
    own = acts.principal(stranger, Purpose.GOVERNANCE, "clerk", GOVERNANCE)
    false = {"kid": judge.thumbprint(Purpose.GOVERNANCE)}
    with cell.nothing_written(), pytest.raises(MalformedError, match="RFC 7638"):
        acts.enrol(cell.ledger, member.tenant, member.admins, own.model_copy(update=false))
    reading = reader(stranger).model_copy(update=false)
    with cell.nothing_written(), pytest.raises(MalformedError, match="RFC 7638"):
        governance.enrol_reader(cell.ledger, member.tenant, member.admins, reading)
    for holder, changes in ((judge, {}), (stranger, {"person": "Another"}), (stranger, {"role": "admin"})):
        meant = own.model_copy(update={"kid": own.kid, **changes})
        now_ms, origin = cell.clock.now_ms(), member.tenant.origin
        made = accepted(meant, holder, origin, now_ms=now_ms, entropy=ENTROPY).model_copy(update=own.model_dump())
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.enrol(cell.ledger, member.tenant, member.admins, made)
    elsewhere = accepted(own, stranger, there.scope.origin, now_ms=cell.clock.now_ms(), entropy=ENTROPY)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        acts.enrol(cell.ledger, member.tenant, member.admins, elsewhere)
    acts.enrol(cell.ledger, member.tenant, member.admins, own, stranger)
    named = registration(cell, stranger, kid=judge.thumbprint(Purpose.GOVERNANCE))
    with cell.nothing_written(), pytest.raises(MalformedError, match="RFC 7638"):
        tenants.register_tenant(
            cell.ledger,
            named,
            acceptances=(), credential={}, endorsements=(), enrolments=(),
        )  # fmt: skip


def registration(cell: Cell, admin: Wallet, *, kid: str) -> TenantRegistered:
    """Return the registration of a tenant whose admin's key goes by another name."""
    named = admin_key(admin).model_copy(update={"kid": kid})
    return tenants.prepare_tenant(
        cell.ledger, dao="Trickster", jurisdiction="DEU", did=admin.did(Purpose.GOVERNANCE), admins=[named], threshold=1
    )


def test_of_two_decisions_at_once_one_counts(make_cell: MakeCell) -> None:
    cell = make_cell()
    there, member = court(cell), cell.join()
    _, cac = executed(cell, member)
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    cell.advance(14 * DAY_MS)
    version = load_dispute(cell.ledger, there.scope, dispute).version

    def decide(judge: int) -> str:
        by = there.bench(there.judges[judge])
        decision: Literal["upheld", "overturned"] = "overturned" if judge else "upheld"
        said = DecideSaid(
            dispute=dispute, role=by.role, party=by.party, decision=decision, reason="x", events=version + 1,
            cacs=(cac,) if judge else (),
        )  # fmt: skip
        try:
            commands.decide_dispute(cell.ledger, there.scope, by.sign(said))
        except ConflictError:
            return "late"
        return decision

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(decide, (0, 1)))
    (counted,) = [one for one in outcomes if one != "late"]
    assert load_dispute(cell.ledger, there.scope, dispute).status == counted
    assert len(cell.events(member, CacOverturned)) == (counted == "overturned")
