"""Erasure, from the order to what is left: nothing of the tenant can be read, and everything else goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import ErasedError, LedgerError, NotAuthorisedError, RefusedError, UnavailableError
from domain.identifiers import erasure_stream
from domain.message import Sealed
from domain.platform.events import KeyDestroyed
from domain.time import DAY_MS
from infrastructure.audit.export import export_bundle
from infrastructure.audit.replay import replay_log
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts
from infrastructure.commands.executions import assign
from infrastructure.commands.loading import find_log, find_tenant, load_execution, tenants
from infrastructure.decider import Decider
from infrastructure.erasure import destroy_keys
from infrastructure.keys.keyring import Keyring
from infrastructure.ledger import Ledger
from infrastructure.postgres.sealed_views import SealedViews
from infrastructure.postgres.views import Views
from infrastructure.projector import Projector
from infrastructure.rotation import rotate_data_key
from projections import audit_trail
from tests.commands.cell import ENTROPY, Cell, MakeCell, Member, another_process
from tests.commands.driver import Driver
from tests.commands.redeciding import redecide

WEEK = 7 * DAY_MS


def lived(cell: Cell, name: str = "GoneDAO") -> Member:
    """Return a tenant that has seen much: CACs, a fault and its refusal, a rotation."""
    member = cell.join(name)
    member.adopt({"kind": "notification", "recipients": ["TreatyMonitor"]})
    cell.run(*cell.place(member))
    rotate_data_key(cell.ledger, member.log_id)
    (failing,) = cell.place(member)
    Driver(cell, failing).fail()
    acts.refuse_retry(cell.ledger, failing, member.admins)
    cell.run(*cell.place(member))
    cell.settle()
    return member


def order(cell: Cell, member: Member) -> None:
    """Order the erasure and let it cool off."""
    acts.order_erasure(cell.ledger, member.tenant, member.admins)
    cell.settle()
    cell.clock.advance_to(cell.clock.now_ms() + WEEK)
    cell.settle()


def gone(cell: Cell, member: Member) -> None:
    """Check that nothing of a tenant can be read, whoever asks, and that everybody else goes on."""
    with another_process(cell) as fresh:
        for ledger in (cell.ledger, fresh):
            assert ledger.erased(member.log_id)
            assert {type(recorded.event) for recorded in ledger.history(member.log_id)} == {Sealed}
            with pytest.raises(ErasedError):
                ledger.stream(member.log_id, member.log_id)
            assert not Views(ledger.datastore).rows(audit_trail.NAME, member.log_id)
            Projector(ledger).catch_up()
            assert Views(ledger.datastore).position(audit_trail.NAME, member.log_id) == 0
        (told,) = fresh.stream(fresh.platform().log_id, erasure_stream(fresh.log(member.log_id).slot))
        assert isinstance(told.event, KeyDestroyed)
        assert Decider(fresh).catch_up().digest() == cell.decider.catch_up().digest() == redecide(fresh).state.digest()
    keys = cell.ledger.keyring.get(member.log_id)
    assert (keys.erased, keys.data_keys, keys.tenant) == (True, (), None)


def test_the_whole_way_and_what_is_left(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    member, other = lived(cell), lived(cell, "OtherDAO")
    export_bundle(cell.ledger, member.log_id, tmp_path / "before", with_keys="all", recipient="an auditor")
    (held_place,) = cell.place(member)  # it has not begun
    others = [(recorded.stream_id, recorded.event) for recorded in cell.history(other)]
    order(cell, member)
    assert cell.topics(member)[-2:] == ["workload.denied.v1", "execution.abandoned.v1"]
    assert held_place not in cell.decider.state.live
    size = cell.ledger.head(member.log_id).size
    root = cell.ledger.head(member.log_id).root().hex()

    with cell.only_written_to(Member(cell, cell.ledger.platform().log_id, [])):
        erased = destroy_keys(cell.ledger, member.log_id)
    assert (erased.size, erased.root, erased.round, erased.disclosures) == (size, root, None, 1)
    assert erased.plain_until is None
    gone(cell, member)

    made = redecide(cell.ledger)
    assert made.decisions > 8
    assert made.unreadable > 3
    assert [(recorded.stream_id, recorded.event) for recorded in cell.history(other)] == others
    cell.run(*cell.place(other))
    assert cell.topics(other)[-1] == "cac.issued.v1"
    with another_process(cell) as fresh:
        replayed = replay_log(fresh, other.log_id)
        projector = Projector(fresh)
        for log in fresh.logs():
            if log.log_id != member.log_id:
                projector.rebuild(log.log_id)
        assert projector.digest(other.log_id) == replayed.digest

    export_bundle(cell.ledger, member.log_id, tmp_path / "sealed")
    verdict = verify_bundle(tmp_path / "sealed")
    assert verdict.ok, verdict.first_error
    assert verify_bundle(tmp_path / "before").ok, "who has the keys reads on"
    for number, log_id in enumerate((other.log_id, cell.ledger.platform().log_id)):
        export_bundle(cell.ledger, log_id, tmp_path / str(number), with_keys="all")
        verdict = verify_bundle(tmp_path / str(number))
        assert verdict.ok, verdict.first_error
    with pytest.raises(ErasedError):
        export_bundle(cell.ledger, member.log_id, tmp_path / "keys", with_keys="all")
    with pytest.raises(ErasedError):
        replay_log(cell.ledger, member.log_id)


def test_an_audit_of_the_tenants_own_log_decides_order_and_denials_again(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    member = lived(cell)
    acts.order_erasure(cell.ledger, member.tenant, member.admins)
    acts.withdraw_erasure(cell.ledger, member.tenant, member.admins)
    cell.place(member)
    cell.submit(member)
    acts.order_erasure(cell.ledger, member.tenant, member.admins)
    cell.settle()
    export_bundle(cell.ledger, member.log_id, tmp_path / "b", with_keys="all")
    verdict = verify_bundle(tmp_path / "b")
    assert verdict.ok, verdict.first_error


def test_from_the_order_on_the_tenant_takes_nothing_new_until_it_is_withdrawn(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join(admins=2, threshold=2)
    (execution,) = cell.place(member)
    driver = Driver(cell, execution)
    driver.evidence()
    driver.started()
    with pytest.raises(NotAuthorisedError), cell.nothing_written():
        acts.order_erasure(cell.ledger, member.tenant, member.admins[:1])
    acts.order_erasure(cell.ledger, member.tenant, member.admins)
    with pytest.raises(RefusedError, match="takes nothing new"), cell.nothing_written():
        cell.submit(member)
    driver.faulted()
    driver.reset()
    cell.settle()
    with pytest.raises(RefusedError, match="takes nothing new"):
        acts.authorize_retry(cell.ledger, execution, member.admins[:1])
    acts.withdraw_erasure(cell.ledger, member.tenant, member.admins)
    with pytest.raises(RefusedError, match="held after a fault"):
        acts.order_erasure(cell.ledger, member.tenant, member.admins)
    acts.authorize_retry(cell.ledger, execution, member.admins[:1])
    cell.settle()
    assert cell.decider.state.live


def test_what_is_too_early_is_refused_and_destroys_nothing(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = lived(cell)
    before = cell.ledger.keyring.get(member.log_id)

    def refused(says: str, error: type[LedgerError] = RefusedError, **given: Any) -> None:
        with pytest.raises(error, match=says), cell.nothing_written():
            destroy_keys(cell.ledger, member.log_id, **given)
        assert cell.ledger.keyring.get(member.log_id) == before

    refused("not ordered")
    (execution,) = cell.place(member)
    driver = Driver(cell, execution)
    driver.evidence()
    driver.started()
    acts.order_erasure(cell.ledger, member.tenant, member.admins, DAY_MS)
    refused("cooling off")
    cell.clock.advance_to(cell.clock.now_ms() + DAY_MS)
    refused("still waits or runs")
    cell.settle()  # its window is over: lost
    asked: list[tuple[UUID, int]] = []
    size = cell.ledger.head(member.log_id).size
    refused("not anchored yet", UnavailableError, anchored=lambda log_id, at: asked.append((log_id, at)))
    assert asked == [(member.log_id, size)]

    def grows(log_id: UUID, at: int) -> int:
        rotate_data_key(cell.ledger, member.log_id)
        return at

    with pytest.raises(UnavailableError, match="grown meanwhile"):
        destroy_keys(cell.ledger, member.log_id, anchored=grows)
    assert not cell.ledger.erased(member.log_id)
    erased = destroy_keys(cell.ledger, member.log_id, anchored=lambda _, at: at + 1)
    assert erased.round == erased.size + 1
    gone(cell, member)
    for log_id in (cell.ledger.platform().log_id, UUID(acts.root_scope(cell.ledger).log_id)):
        with pytest.raises(LedgerError):
            destroy_keys(cell.ledger, log_id)


def test_everybody_who_asks_afterwards_is_refused_with_the_same_words(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = lived(cell)
    tenant = member.tenant
    execution = next(e.event.payload()["execution_id"] for e in cell.history(member) if "execution" in e.event.TOPIC)
    workload = cell.submit(member)
    other = cell.join("OtherDAO")
    with another_process(cell) as elsewhere:
        elsewhere.stream(member.log_id, member.log_id)  # holds the keys, and what it opened
        Projector(elsewhere).catch_up()
        order(cell, member)
        destroy_keys(cell.ledger, member.log_id)
        asked: list[Callable[[Ledger], object]] = [
            lambda ledger: acts.cancel(ledger, tenant, member.admins[0], workload),
            lambda ledger: acts.adopt_policy(ledger, tenant, member.admins, tenant.policy),
            lambda ledger: acts.order_erasure(ledger, tenant, member.admins),
            lambda ledger: acts.authorize_retry(ledger, execution, member.admins),
            lambda ledger: acts.renew_credential(
                ledger, tenant, [cell.root], families=["A::B::C"], resource_classes=["A::B@v1"]
            ),
            lambda ledger: assign(ledger, execution),
            lambda ledger: load_execution(ledger, member.log_id, execution),
            lambda ledger: rotate_data_key(ledger, member.log_id),
            lambda ledger: find_tenant(ledger, "GoneDAO/DEU"),
            lambda ledger: Projector(ledger).rows(member.log_id, audit_trail.NAME),
            lambda ledger: ledger.attach(member.log_id, member.log_id, b"x"),
        ]
        words = set()
        for ledger in (elsewhere, cell.ledger):
            for ask in asked:
                with pytest.raises(ErasedError) as caught, cell.nothing_written():
                    ask(ledger)
                words.add(str(caught.value))
        assert len(words) == 1
        assert not [known for known in elsewhere.mapper._opened if known[0] == member.log_id]
        assert not [known for known in cell.ledger.mapper._opened if known[0] == member.log_id]
        assert [t.dao for t in tenants(elsewhere)] == ["ClauseHouse", "OtherDAO"]
        assert find_log(elsewhere, "GoneDAO/DEU").log_id == member.log_id
    cell.run(*cell.place(other))
    with pytest.raises(LedgerError, match="registered"):
        cell.join("GoneDAO")  # its name stays taken


class _Crash(BaseException):
    """The process dies here."""


def steps() -> dict[str, tuple[object, str, bool]]:
    """Return the places to die: owner, function, and whether after it was done."""
    places: list[tuple[object, str]] = [
        (SealedViews, "put"), (Keyring, "destroy"), (Ledger, "append"), (Views, "drop"),
    ]  # fmt: skip
    return {f"{'after' if done else 'before'} {name}": (owner, name, done) for owner, name in places for done in (0, 1)}  # type: ignore[misc]


@pytest.mark.parametrize("step", steps())
def test_whatever_dies_in_between_others_go_on_and_the_same_command_again_goes_on(
    make_cell: MakeCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    cell = make_cell()
    member, other = lived(cell), cell.join("OtherDAO")
    copy = Keyring.open(tmp_path / "copy", ENTROPY)
    copy.put(cell.ledger.keyring.get(member.log_id))
    order(cell, member)
    owner, name, done = steps()[step]
    real = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if done:
            real(*arguments, **named)
        raise _Crash

    with another_process(cell) as ledger, monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        with pytest.raises(_Crash):
            destroy_keys(ledger, member.log_id, copies=[copy])
    # In between: every reader and every other tenant goes on.
    with another_process(cell) as ledger:
        Projector(ledger).catch_up()
        assert Decider(ledger).catch_up().digest() == cell.decider.catch_up().digest()
    cell.run(*cell.place(other))
    with another_process(cell) as ledger:
        destroy_keys(ledger, member.log_id, copies=[copy])
        assert destroy_keys(ledger, member.log_id, copies=[copy]).disclosures is None
    gone(cell, member)
    assert copy.get(member.log_id).erased
    cell.run(*cell.place(other))
    assert redecide(cell.ledger).unreadable


def test_a_keyring_brought_back_from_a_copy_opens_nothing_and_is_zeroed_again(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = lived(cell)
    path = cell.folder / "data/keys" / f"{member.log_id}.keys"
    copied = path.read_bytes()
    order(cell, member)
    destroy_keys(cell.ledger, member.log_id)
    path.write_bytes(copied)
    assert not cell.ledger.keyring.get(member.log_id).erased
    with another_process(cell) as fresh:
        for ledger in (cell.ledger, fresh):
            assert ledger.erased(member.log_id)
            assert {type(recorded.event) for recorded in ledger.history(member.log_id)} == {Sealed}
    destroy_keys(cell.ledger, member.log_id)
    gone(cell, member)


def test_keys_that_are_missing_after_an_erasure_stop_nobody_either(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = lived(cell)
    order(cell, member)
    destroy_keys(cell.ledger, member.log_id)
    (cell.folder / "data/keys" / f"{member.log_id}.keys").unlink()
    with another_process(cell) as fresh:
        assert fresh.erased(member.log_id)
        Projector(fresh).catch_up()
        assert destroy_keys(fresh, member.log_id).size
