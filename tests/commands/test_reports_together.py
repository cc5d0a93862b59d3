"""Reports of one execution that came together are stored together; what is known is never a reason to refuse."""

from itertools import pairwise
from pprint import pformat

from domain.cacs.events import CacIssued, UsageMetered
from domain.executions.events import EnclaveStarted, ExecutionCompleted, RuntimeReset
from domain.message import Recorded
from infrastructure.commands.batches import Batch, receive
from infrastructure.commands.executions import report, report_together
from infrastructure.ledger import Answer
from infrastructure.node.enclosed import NOTHING, Enclosed
from tests.commands.cell import Cell, another_process
from tests.commands.test_batches import Bare, batch_token, placed

Said = list[tuple[str, Enclosed]]


def received(cell: Cell, driver: Bare) -> tuple[Batch, Said]:
    """Return the batch over all that a node has said of an execution, kept, and what it names."""
    said = [(text, enclosed or NOTHING) for text, enclosed in driver.said]
    texts = [text for text, _ in said]
    token = batch_token(cell, cell.nodes["alpha"], driver.origin, texts)
    (log,) = [one for one in cell.ledger.logs() if one.origin == driver.origin]
    batch = receive(cell.ledger, log.log_id, "alpha", token, texts)
    batch.keep(cell.ledger)
    return batch, said


def shown(recorded: Recorded) -> str:
    """Return an event in words that tell lists from tuples; members of JSON objects have no order."""
    return pformat(recorded.event.model_dump(), sort_dicts=True)


def together(cell: Cell, batch: Batch, said: Said) -> list[Answer] | None:
    return report_together(cell.ledger, cell.decider.catch_up(), said, batch)


def test_reports_of_one_execution_are_stored_in_one_transaction(cell: Cell) -> None:
    member, drivers = placed(cell)
    before = cell.ledger.head(member.log_id).size
    for driver in drivers:
        answers = together(cell, *received(cell, driver))
        assert answers is not None
        assert [one.answer for one in answers] == [{"accepted": True, "reason": ""}] * 3
        recorded = [item for one in answers for item in one.recorded]
        assert all(one.leaf_index + 1 == other.leaf_index for one, other in pairwise(recorded))
        assert [type(one.event) for one in recorded] == [
            EnclaveStarted, ExecutionCompleted, RuntimeReset, UsageMetered, CacIssued,
        ]  # fmt: skip
        assert len({one.commit for one in answers}) == 1
        assert all(len(one.acknowledgements) == len(one.recorded) for one in answers)
        (stored,) = [list(cell.ledger.history(member.log_id, first=one.leaf_index)) for one in recorded[:1]]
        assert [(one.stream_id, one.version, one.event) for one in stored[: len(recorded)]] == [
            (one.stream_id, one.version, one.event) for one in recorded
        ]
    assert cell.ledger.head(member.log_id).size == before + 2 * 6
    cell.settle()


def test_nothing_is_stored_together_unless_all_of_it_counts(cell: Cell) -> None:
    _, (driver, other) = placed(cell)
    batch, said = received(cell, driver)
    with cell.nothing_written():
        assert together(cell, batch, said[1:]) is None, "it begins too late"
        assert together(cell, batch, [said[0], said[2]]) is None, "one is missing"
        assert together(cell, batch, [said[0], (said[1][0], NOTHING)]) is None, "the output is missing"
    theirs, foreign = received(cell, other)
    with cell.nothing_written():
        assert together(cell, batch, [said[0], foreign[0]]) is None, "the batch does not name it"
    assert together(cell, batch, said) is not None
    with cell.nothing_written():
        assert together(cell, batch, said) is None, "it was taken in before"
        again = [report(cell.ledger, cell.decider.catch_up(), *one, batch).answer for one in said]
        assert again == [{"accepted": True, "reason": ""}] * 3
    assert together(cell, theirs, foreign) is not None
    cell.settle()


def test_what_another_process_took_in_meanwhile_is_looked_up_before_anything_is_refused(cell: Cell) -> None:
    _, (driver,) = placed(cell, 1)
    batch, said = received(cell, driver)
    state = cell.decider.catch_up()
    assert cell.ledger.streams([(batch.log_id, batch.log_id)], known=True)
    with another_process(cell) as other:
        assert report(other, state, *said[0], batch).answer["accepted"]
        assert report(cell.ledger, state, *said[1], batch).answer["accepted"], "here only evidence was known"
        assert report(other, state, *said[2], batch).answer["accepted"]
    cell.settle()


def test_what_this_process_remembers_of_its_own_events_is_what_another_reads(cell: Cell) -> None:
    member, (driver,) = placed(cell, 1)
    assert together(cell, *received(cell, driver)) is not None
    cell.run(cell.place(member)[0])
    with another_process(cell) as other:
        for log in cell.ledger.logs():
            size = cell.ledger.head(log.log_id).size
            known, read = list(cell.ledger.newly(log.log_id, 0, size)), list(other.history(log.log_id, size=size))
            assert known == read
            assert [shown(one) for one in known] == [shown(one) for one in read], "and of the same types"
            streams = dict.fromkeys((log.log_id, one.stream_id) for one in read)
            for ours, theirs in zip(
                cell.ledger.streams([*streams], known=True), other.streams([*streams]), strict=True
            ):
                assert ours == theirs[: len(ours)], "what another process wrote may not be known yet"
                assert len(ours) == len(theirs) or log.log_id != member.log_id
