"""Quotas and tokens: granted by the scope above at its threshold, next version only, never more than there is."""

from typing import Any
from uuid import UUID

import pytest

from domain.errors import ConflictError, LedgerError, NotAuthorisedError, RefusedError
from domain.message import Event
from domain.quotas.events import BandwidthGranted, Quota, QuotaGranted
from domain.quotas.tree import Quotas
from domain.statements import GOVERNANCE
from domain.tenants.grants import Allowance, bandwidth_claims, quota_claims
from domain.tenants.state import Tenant
from domain.time import DAY_MS, MINUTE_MS
from infrastructure.client import acts, governance
from infrastructure.client.signing import signed_by
from infrastructure.commands import grants
from infrastructure.commands.loading import everybody, load_tenant
from infrastructure.keys.wallet import Wallet
from infrastructure.statements.payload import payload
from tests.commands.cell import CLASS, ENTROPY, FAMILIES, Cell, MakeCell, Member

ASKED = Quotas(slots=Quota(nominal=5, borrow=2, lend=1), memory_bytes=Quota(nominal=1 << 30), weight=3)


def granted(cell: Cell, grantee: Tenant, kind: type[Event]) -> list[Any]:
    """Return the grants in a log."""
    return [item.event for item in cell.history(UUID(grantee.log_id)) if isinstance(item.event, kind)]


def signed(cell: Cell, wallets: list[Wallet], grantee: Tenant, claims: dict[str, Any], **said: Any) -> tuple[str, ...]:
    """Let wallets sign a grant, with members of the statement changed."""
    root = acts.root_scope(cell.ledger)
    content = payload(iss=root.did, aud=grantee.origin, claims=claims, now_ms=cell.clock.now_ms(), entropy=ENTROPY)
    return signed_by(wallets, GOVERNANCE, {**content, **said})


def test_a_quota_is_granted_by_the_scope_above_and_lies_in_the_grantees_own_log(cell: Cell) -> None:
    member = cell.join()
    with cell.only_written_to(member):
        governance.grant_quota(
            cell.ledger, [cell.root], member.tenant, slots=ASKED.slots, memory_bytes=ASKED.memory_bytes, weight=3
        )
    (event,) = granted(cell, member.tenant, QuotaGranted)
    assert (event.version, event.slots, event.memory_bytes, event.weight) == (1, ASKED.slots, ASKED.memory_bytes, 3)
    assert event.granted_by == acts.root_scope(cell.ledger).origin
    assert member.tenant.quota == event
    governance.grant_quota(cell.ledger, [cell.root], member.tenant)
    assert [one.version for one in granted(cell, member.tenant, QuotaGranted)] == [1, 2]
    assert member.tenant.quota is not None
    assert member.tenant.quota.slots is None, "not limited any more"


def test_neither_the_tenant_itself_nor_a_stranger_grants(cell: Cell) -> None:
    member, other = cell.join(), cell.join()
    for wallets in (member.admins, other.admins, [cell.wallet("stranger")], []):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            governance.grant_quota(cell.ledger, wallets, member.tenant, slots=Quota(nominal=1))
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            governance.grant_tokens(
                cell.ledger, wallets, member.tenant, tokens=1, period_ms=1000, burst=1, until_ms=2 * DAY_MS
            )


def test_a_grant_signed_by_too_few_or_twice_by_one_person_is_refused(make_cell: MakeCell) -> None:
    cell = make_cell()
    second = cell.wallet("second-admin")
    scope = governance.register_scope(
        cell.ledger, name="Treaty", kind="treaty", admins=[cell.root, second], threshold=2, parent_admins=[cell.root]
    )
    for wallets in ([second], [cell.root], [second, second]):
        member = acts.register_tenant(
            cell.ledger, dao=f"Dao{len(cell.sizes())}", jurisdiction="DEU", admins=[cell.wallet("admin")],
            root_admins=[cell.root, second], families=FAMILIES, resource_classes=[CLASS], scope=scope,
        )  # fmt: skip
        with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="sign"):
            governance.grant_quota(cell.ledger, wallets, member, slots=Quota(nominal=1))
        with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="sign"):
            governance.grant_tokens(cell.ledger, wallets, member, tokens=1, period_ms=1000, burst=1, until_ms=1 << 42)
        governance.grant_quota(cell.ledger, [cell.root, second], member, slots=Quota(nominal=1))


def test_an_expired_statement_grants_nothing(cell: Cell) -> None:
    member = cell.join()
    tokens = signed(cell, [cell.root], member.tenant, quota_claims(member.tenant, 1, ASKED), iat=1, exp=2)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="expired"):
        grants.quota(cell.ledger, member.tenant, ASKED, tokens)


def test_a_statement_is_used_once_and_counts_for_one_tenant_version_and_amount(cell: Cell) -> None:
    member, other = cell.join(), cell.join()
    claims = quota_claims(member.tenant, 1, ASKED)
    tokens = signed(cell, [cell.root], member.tenant, claims)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        grants.quota(cell.ledger, other.tenant, ASKED, tokens)
    more = Quotas(slots=Quota(nominal=500))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="differs"):
        grants.quota(cell.ledger, member.tenant, more, tokens)
    answer = grants.quota(cell.ledger, member.tenant, ASKED, tokens)
    with cell.nothing_written():
        assert grants.quota(cell.ledger, member.tenant, ASKED, tokens).answer == answer.answer
    again = signed(cell, [cell.root], member.tenant, claims)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="version"):
        grants.quota(cell.ledger, member.tenant, ASKED, again)
    for_quota = signed(cell, [cell.root], member.tenant, {**claims, "version": 2})
    allowance = Allowance(1, 1000, 1, 0, DAY_MS)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        grants.bandwidth(cell.ledger, member.tenant, allowance, for_quota)


def test_two_grants_at_the_same_moment_do_not_both_get_the_version(cell: Cell) -> None:
    member = cell.join()
    before = member.tenant
    governance.grant_quota(cell.ledger, [cell.root], before, slots=Quota(nominal=1))
    with cell.nothing_written(), pytest.raises(ConflictError):
        governance.grant_quota(cell.ledger, [cell.root], before, slots=Quota(nominal=2))


def test_what_is_granted_never_sums_to_more_than_what_is_above(make_cell: MakeCell) -> None:
    cell = make_cell()

    def root() -> Tenant:
        return acts.root_scope(cell.ledger)

    first, second = cell.join(), cell.join()
    grant = governance.grant_quota
    grant(cell.ledger, [cell.root], root(), slots=Quota(nominal=10, lend=10))
    grant(cell.ledger, [cell.root], first.tenant, slots=Quota(nominal=6))
    with (
        cell.nothing_written(),
        pytest.raises(RefusedError, match="11 would be granted below root, whose nominal is 10"),
    ):
        grant(cell.ledger, [cell.root], second.tenant, slots=Quota(nominal=5))
    grant(cell.ledger, [cell.root], second.tenant, slots=Quota(nominal=4))
    with cell.nothing_written(), pytest.raises(RefusedError, match="whose nominal is 9"):
        grant(cell.ledger, [cell.root], root(), slots=Quota(nominal=9))
    with cell.nothing_written(), pytest.raises(RefusedError, match="lent"):
        grant(cell.ledger, [cell.root], root(), slots=Quota(nominal=10, lend=11))
    grant(cell.ledger, [cell.root], first.tenant, slots=Quota(nominal=1))
    grant(cell.ledger, [cell.root], second.tenant, slots=Quota(nominal=9), memory_bytes=Quota(nominal=1 << 40))


def test_a_limit_counts_through_scopes_that_have_none(make_cell: MakeCell) -> None:
    cell = make_cell()
    root = acts.root_scope(cell.ledger)
    governance.grant_quota(cell.ledger, [cell.root], root, slots=Quota(nominal=10))
    keys = [cell.wallet("treaty-admin")]
    treaty = governance.register_scope(
        cell.ledger, name="Rivers", kind="treaty", admins=keys, parent_admins=[cell.root]
    )
    member = acts.register_tenant(
        cell.ledger, dao="RiverDAO", jurisdiction="DEU", admins=[cell.wallet("admin")], root_admins=keys,
        families=FAMILIES, resource_classes=[CLASS], scope=treaty,
    )  # fmt: skip
    with cell.nothing_written(), pytest.raises(RefusedError, match="granted below root"):
        governance.grant_quota(cell.ledger, keys, member, slots=Quota(nominal=11))
    governance.grant_quota(cell.ledger, keys, member, slots=Quota(nominal=8))
    with cell.nothing_written(), pytest.raises(RefusedError, match="8 would be granted below Rivers"):
        governance.grant_quota(cell.ledger, [cell.root], treaty, slots=Quota(nominal=7))
    governance.grant_quota(cell.ledger, [cell.root], treaty, slots=Quota(nominal=9))
    again = load_tenant(cell.ledger, UUID(member.log_id))
    with cell.nothing_written(), pytest.raises(RefusedError, match="10 would be granted below Rivers"):
        governance.grant_quota(cell.ledger, keys, again, slots=Quota(nominal=10))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        governance.grant_quota(cell.ledger, [cell.root], again, slots=Quota(nominal=1))  # the root is not right above


def test_two_grants_at_the_same_moment_do_not_oversubscribe_together(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    governance.grant_quota(cell.ledger, [cell.root], acts.root_scope(cell.ledger), slots=Quota(nominal=10))
    first, second = cell.join(), cell.join()
    told: list[str] = []

    def while_the_other_is_granted(ledger: Any) -> list[Tenant]:
        found = everybody(ledger)
        if not told:
            told.append("once")
            governance.grant_quota(cell.ledger, [cell.root], second.tenant, slots=Quota(nominal=7))
        return found

    monkeypatch.setattr(grants, "everybody", while_the_other_is_granted)
    with pytest.raises(RefusedError, match="14 would be granted"):
        governance.grant_quota(cell.ledger, [cell.root], first.tenant, slots=Quota(nominal=7))


def test_tokens_are_granted_for_a_time_and_never_to_a_scope(cell: Cell) -> None:
    member, now = cell.join(), cell.clock.now_ms()

    def grant(to: Tenant, **changes: Any) -> None:
        usual: dict[str, Any] = {"tokens": 60, "period_ms": MINUTE_MS, "burst": 10, "until_ms": now + DAY_MS}
        governance.grant_tokens(cell.ledger, [cell.root], to, **{**usual, **changes})

    with cell.only_written_to(member):
        grant(member.tenant)
    (event,) = granted(cell, member.tenant, BandwidthGranted)
    assert (event.version, event.tokens, event.period_ms, event.burst) == (1, 60, MINUTE_MS, 10)
    assert (event.from_ms, event.until_ms) == (now, now + DAY_MS)
    for until_ms in (now - 1, now):
        with cell.nothing_written(), pytest.raises(RefusedError, match="before they end"):
            grant(member.tenant, from_ms=now, until_ms=until_ms)
    with cell.nothing_written(), pytest.raises(RefusedError, match="handed on"):
        grant(acts.root_scope(cell.ledger))
    grant(member.tenant, burst=99)
    assert member.tenant.bandwidth is not None
    assert (member.tenant.bandwidth.version, member.tenant.bandwidth.burst) == (2, 99)


@pytest.mark.parametrize("change", [{"tokens": 0}, {"burst": 0}, {"period_ms": 0}, {"burst": 2**60}], ids=str)
def test_tokens_out_of_range_are_refused(cell: Cell, change: dict[str, int]) -> None:
    member = cell.join()
    usual = {"tokens": 1, "period_ms": 1000, "burst": 1, "until_ms": cell.clock.now_ms() + DAY_MS}
    with cell.nothing_written(), pytest.raises(LedgerError):
        governance.grant_tokens(cell.ledger, [cell.root], member.tenant, **{**usual, **change})


def test_a_tenant_whose_erasure_is_ordered_is_granted_nothing(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    acts.order_erasure(cell.ledger, member.tenant, member.admins, DAY_MS)
    with cell.nothing_written(), pytest.raises(RefusedError, match="erasure"):
        governance.grant_quota(cell.ledger, [cell.root], member.tenant, slots=Quota(nominal=1))


def test_a_scope_that_is_not_the_one_above_has_no_say(cell: Cell) -> None:
    member: Member = cell.join()
    keys = [cell.wallet("treaty-admin")]
    governance.register_scope(cell.ledger, name="Elsewhere", kind="treaty", admins=keys, parent_admins=[cell.root])
    claims = bandwidth_claims(member.tenant, 1, Allowance(1, 1, 1, 0, 1))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        grants.bandwidth(
            cell.ledger, member.tenant, Allowance(1, 1, 1, 0, 1), signed(cell, keys, member.tenant, claims)
        )
