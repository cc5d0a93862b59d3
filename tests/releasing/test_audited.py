"""What an outsider's audit says of releases: whose they were, and that nobody else's word stands for the tenant's."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from domain.canonical import canonical
from domain.errors import LedgerError
from infrastructure.audit.history import HistoryAudit
from infrastructure.audit.opening import Opened
from tests.commands.cell import Cell, Member
from tests.releasing.scene import waiting_scene

RELEASED, AWAITED = "execution.inputs_released.v1", "execution.release_awaited.v1"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def own(cell: Cell) -> list[Opened]:
    """Return the history of a tenant whose releaser released inputs, to a CAC."""
    scene = waiting_scene(cell)
    assert scene.agent().once().released == 1
    scene.node.started()
    assert scene.node.completed().answer["accepted"]
    scene.node.tell({"kind": "reset"})
    cell.settle()
    assert "cac.issued.v1" in cell.topics(scene.member)
    return opened(cell, scene.member)


@pytest.fixture(scope="module")
def operators(cell: Cell) -> list[Opened]:
    """Return the history of a tenant whose inputs the operator released."""
    member = cell.join()
    (execution,) = cell.place(member)
    cell.run(execution)
    return opened(cell, member)


def opened(cell: Cell, member: Member) -> list[Opened]:
    return [
        Opened(one.stream_id, 0, one.version, one.at_ms, one.event.TOPIC, canonical(one.event.payload()), one.leaf_hash)
        for one in cell.history(member)
    ]


def origin_of(history: list[Opened]) -> str:
    return str(json.loads(history[0].event)["origin"])


def follow(history: list[Opened]) -> HistoryAudit:
    audit = HistoryAudit(origin_of(history), lambda _: frozenset({0}))
    for one in history:
        audit.follow(one)
    return audit


def changed(history: list[Opened], topic: str, change: Change) -> list[Opened]:
    made = []
    for one in history:
        event = json.loads(one.event)
        if one.topic == topic:
            change(event)
        made.append(one._replace(event=canonical(event)))
    return made


def test_a_release_by_the_tenants_releaser_is_verified(own: list[Opened]) -> None:
    assert any("by the tenant's own releaser" in one for one in follow(own).checked())


def test_the_operators_release_is_told_apart(operators: list[Opened]) -> None:
    assert not any("by the tenant's own releaser" in one for one in follow(operators).checked())


SPOILED: list[Any] = [
    pytest.param(lambda e: (e.pop("statement"), e.update(released_by="custody: operator")), id="the operator"),
    pytest.param(lambda e: e.update(released_by="custody: operator"), id="the operator's with a statement"),
    pytest.param(lambda e: e.pop("statement"), id="no statement"),
    pytest.param(lambda e: e.update(statement=e["statement"][:-4] + "AAAA"), id="a statement forged"),
    pytest.param(lambda e: e["payloads"][0].update(plaintext_digest="0" * 64), id="another ciphertext"),
    pytest.param(lambda e: e["payloads"].reverse(), id="ciphertexts in another order"),
    pytest.param(lambda e: e.update(hpke_key_digest="0" * 64), id="another enclave"),
    pytest.param(lambda e: e.update(commitments=e["commitments"][:1]), id="other inputs"),
]


@pytest.mark.parametrize("change", SPOILED)
def test_a_release_that_was_forged_is_refused(own: list[Opened], change: Change) -> None:
    with pytest.raises(LedgerError, match="entry"):
        follow(changed(own, RELEASED, change))


def test_a_wait_that_was_forged_is_refused(own: list[Opened]) -> None:
    with pytest.raises(LedgerError, match="waited for"):
        follow(changed(own, AWAITED, lambda event: event.update(until_ms=1)))


def test_the_operators_release_can_not_be_told_as_the_tenants(operators: list[Opened]) -> None:
    with pytest.raises(LedgerError, match="entry"):
        follow(changed(operators, RELEASED, lambda event: event.update(released_by="custody: tenant")))


def test_the_custody_is_under_the_admins_signature(own: list[Opened]) -> None:
    with pytest.raises(LedgerError, match="registration"):
        follow(changed(own, "tenant.registered.v1", lambda event: event.pop("custody")))
