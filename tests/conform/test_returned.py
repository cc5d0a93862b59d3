"""After a restore and a thaw decisions lie elsewhere in the feed: they are taken as they came, and that is said."""

from pathlib import Path

from infrastructure.anchors.exporting import bundle_files
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.witnesses import NOBODY
from infrastructure.audit.anchored import Expected
from infrastructure.audit.export import export_bundle
from infrastructure.conform.bundle import conform_bundle
from infrastructure.conform.cell import conform_live
from infrastructure.decider import Decider
from tests.commands.driver import Driver
from tests.database import TestServer
from tests.publish.restoring import machine


def test_a_cell_goes_on_after_a_restore_and_says_what_was_brought_back(postgres: TestServer, tmp_path: Path) -> None:
    with machine(postgres, tmp_path) as made:
        cell = made.cell
        member = cell.join()
        (first,) = cell.place(member)
        cell.decider.views.flush(durable=True)
        made.publish()
        old = made.backup()
        Driver(cell, first).whole()
        (second,) = cell.place(member)
        cell.place(member)
        made.publish()
        made.open(old, thawing=True)
        made.thaw()
        made.open(old)
        assert second in cell.decider.catch_up().live
        made.pass_time()
        cell.place(member)
        Driver(cell, second).whole()
        cell.settle()
        made.publish()
        AnchorPublisher(cell.ledger, NOBODY).turn()
        further = bundle_files(cell.ledger, cell.ledger.log(member.log_id))
        export_bundle(cell.ledger, member.log_id, tmp_path / "bundle", with_keys="all", further=further)
        own = conform_bundle(tmp_path / "bundle", Expected())
        assert "4 decisions that are traced as inputs: brought back after a restore, or nobody's" in own.not_checked
        report, _ = conform_live(cell.ledger)
        assert report.runs == [(0, 0)]
        assert not report.complete
        assert (report.returned, report.foreign) == (8, {}), "two batches, and of each who was queued, placed, reserved"
        assert report.redecided == 4, "before the backup and after the thaw"
        assert Decider(cell.ledger).catch_up().digest() == cell.decider.catch_up().digest()
