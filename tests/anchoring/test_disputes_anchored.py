"""An exported dispute brings, of each log, its opening in the newest round of the anchor log, and no earlier one."""

from contextlib import ExitStack
from pathlib import Path

from infrastructure.audit.bundle_openings import opened_rounds, opening_path
from infrastructure.client import disputes
from infrastructure.disputes.exporting import export_dispute
from infrastructure.disputes.verifying import verify_case
from tests.anchoring.stage import Stage
from tests.commands.cell import founded
from tests.commands.court import about, court, executed


def test_a_case_shows_that_witnesses_saw_these_histories(conninfo: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        cell = founded(tmp_path, conninfo)
        stack.callback(cell.close)
        there, member = court(cell), cell.join()
        stage = Stage(cell, [member], stack)
        _, cac = executed(cell, member)
        dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
        for _ in range(3):
            stage.grow()
            stage.turn()
        out = tmp_path / "case"
        document = export_dispute(cell.ledger, there.scope, dispute, out)
    names = [log["directory"] for log in document["logs"]]
    assert len(names) == 3
    for name in names:
        assert opened_rounds(out / name) == [2], "the newest one, and no earlier one"
    verdict = verify_case(out)
    assert (verdict.ok, verdict.first_error) == (True, None)
    assert sum("round" in text for text in (*verdict.checked, *verdict.not_checked)) >= len(names), verdict
    tenant = next(name for name in names if name.startswith("t-"))
    opening = out / tenant / opening_path(2)
    other = out / "scope" / opening_path(2)
    kept = opening.read_bytes()
    opening.write_bytes(other.read_bytes())
    refused = verify_case(out)
    assert not refused.ok
    assert (refused.first_error or "").startswith(f"{tenant}: ")
    opening.write_bytes(kept)
    assert verify_case(out).ok
