"""Evidence must be fresh at the gates that see it, counted from when its nonce was issued."""

import pytest

from domain.cacs.events import CacIssued, CacRejected
from domain.executions.events import EnclaveProvisioned
from tests.commands.cell import Cell, Member
from tests.commands.driver import Driver

FRESH = {"kind": "evidence", "classes": ["software"], "max_age_ms": 5_000}


@pytest.fixture
def member(cell: Cell) -> Member:
    """A tenant whose policy asks for evidence of the last five seconds."""
    member = cell.join()
    member.adopt(FRESH)
    return member


def later(cell: Cell, ms: int) -> None:
    """Let time pass."""
    cell.clock.advance_to(cell.clock.now_ms() + ms)


def test_evidence_that_came_late_releases_nothing(cell: Cell, member: Member) -> None:
    (execution,) = cell.place(member)
    driver = Driver(cell, execution)
    driver.assign()
    later(cell, 5_001)
    driver.evidence()
    (gate,) = cell.events(member, EnclaveProvisioned)
    assert (gate.passed, gate.rule, gate.have) == (False, "evidence", "evidence 5001 ms old")
    cell.settle()


@pytest.mark.parametrize(("ms", "rejected"), [(4_000, False), (5_001, True)])
def test_a_result_whose_evidence_has_grown_old_is_rejected(
    cell: Cell, member: Member, ms: int, *, rejected: bool
) -> None:
    (execution,) = cell.place(member)
    driver = Driver(cell, execution)
    driver.evidence()
    driver.started()
    driver.completed()
    later(cell, ms)
    driver.reset()
    assert bool(cell.events(member, CacIssued)) is not rejected
    assert [event.rule for event in cell.events(member, CacRejected)] == (["evidence"] if rejected else [])
