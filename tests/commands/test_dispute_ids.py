"""A dispute's id stands for nothing else in the cell: whoever opens one chooses it."""

from uuid import UUID

import pytest

from domain.errors import ConflictError
from domain.executions.events import ExecutionReserved
from infrastructure.client import disputes
from tests.commands.cell import MakeCell
from tests.commands.court import about, court, executed


def test_a_dispute_takes_no_id_that_is_anothers(make_cell: MakeCell) -> None:
    cell = make_cell()
    there, member, victim = court(cell), cell.join(), cell.join()
    _, cac = executed(cell, member)
    executed(cell, victim)
    (reserved,) = cell.events(victim, ExecutionReserved)
    for taken in (reserved.cac_id.removeprefix("cac-0x"), reserved.workload_id.removeprefix("wl-0x")):
        with cell.nothing_written(), pytest.raises(ConflictError, match="id is taken"):
            disputes.open_dispute(there.tenant(member), about(cac), "a trick", dispute_id=str(UUID(taken)))
