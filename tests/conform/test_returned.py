"""After a restore and a thaw decisions lie elsewhere in the feed: they are taken as they came, and that is said."""

from pathlib import Path

from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.witnesses import NOBODY
from infrastructure.conform.cell import conform_live
from infrastructure.decider import Decider
from tests.commands.driver import Driver
from tests.database import TestServer
from tests.publish.restoring import machine


def test_a_cell_goes_on_after_a_restore_and_says_which_batches_were_brought_back(
    postgres: TestServer, tmp_path: Path
) -> None:
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
        AnchorPublisher(cell.ledger, NOBODY).turn()
        report, _ = conform_live(cell.ledger)
        assert report.runs == [(0, 0)]
        assert not report.complete
        assert (report.returned, report.foreign) == (2, {})
        assert report.redecided == 4, "before the backup and after the thaw"
        assert Decider(cell.ledger).catch_up().digest() == cell.decider.catch_up().digest()
