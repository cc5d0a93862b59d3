"""Witnesses that are down, slow, lying, rolled back or ahead: what they cost, and what is kept of it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.errors import MalformedError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import NoteSignature, parse_note
from infrastructure.anchors.cosigned import Found, WitnessRecords
from infrastructure.anchors.keys import anchor_signer
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.running import keep_cadence
from infrastructure.anchors.witnesses import NOBODY, configured, read_witnesses
from infrastructure.postgres.records import FrozenLogError
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.tlog.cosigning import Cosigner, cosignature_times, print_lines
from infrastructure.witness.client import WitnessClient
from infrastructure.witness.request import AddCheckpoint
from tests.anchoring.stage import RunningWitness, Stage, policy_of

LIAR = Cosigner.from_seeds("liar.example", b"l" * 32, b"L" * 32)
AT = 1_700_000_000

Say = Callable[[socket.socket, bytes], None]


@contextmanager
def pretending(say: Say) -> Iterator[RunningWitness]:
    """Listen as a witness would, and answer each connection as told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(10)
                    try:
                        say(connection, read(connection))
                    except OSError:
                        continue

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield RunningWitness(Path(), f"http://127.0.0.1:{listener.getsockname()[1]}", LIAR.verifier_keys())
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return body


def reply(connection: socket.socket, status: int, body: bytes, headers: bytes = b"") -> None:
    connection.sendall(b"HTTP/1.1 %d x\r\n%sContent-Length: %d\r\n\r\n" % (status, headers, len(body)) + body)


def drips(connection: socket.socket, _asked: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def signs_wrongly(connection: socket.socket, asked: bytes) -> None:
    lines = LIAR.cosign(AddCheckpoint.parse(asked).note.text, AT)
    wrong = [NoteSignature(one.name, one.key_id, one.signature[:-1] + bytes([one.signature[-1] ^ 1])) for one in lines]
    reply(connection, 200, print_lines(wrong))


def signs_another_size(connection: socket.socket, asked: bytes) -> None:
    note = AddCheckpoint.parse(asked).note
    other = Checkpoint(Checkpoint.parse(note.text).origin, 1000, bytes(32)).to_text()
    reply(connection, 200, print_lines(LIAR.cosign(other, AT)))


def knows_size(size: int) -> Say:
    def say(connection: socket.socket, _asked: bytes) -> None:
        reply(connection, 409, b"%d\n" % size, b"Content-Type: text/x.tlog.size\r\n")

    return say


def disagrees(connection: socket.socket, _asked: bytes) -> None:
    reply(connection, 422, b"no\n")


def signs_and_says_too_much(connection: socket.socket, asked: bytes) -> None:
    note = AddCheckpoint.parse(asked).note
    reply(connection, 200, print_lines(LIAR.cosign(note.text, AT)) + b"x" * (1 << 20))


def refused(connection: socket.socket, _asked: bytes) -> None:
    reply(connection, 404, b"")


def published_times(stage: Stage, witness: RunningWitness) -> int:
    """Return how many of a witness's keys have cosigned the published checkpoint."""
    note = stage.anchors.note()
    assert note is not None
    return len(cosignature_times(note, Checkpoint.parse(note.text), witness.keys))


def test_cosignatures_are_merged_kept_and_exported(stage: Stage) -> None:
    witnesses = [stage.witness("w1.example"), stage.witness("w2.example")]
    stage.policy = policy_of(witnesses)
    for size in (1, 2, 3):
        turn = stage.turn()
        assert turn.published.size == size
        assert turn.cosigned_by == ("w1.example", "w2.example")
        assert [published_times(stage, one) for one in witnesses] == [2, 2]
    records = WitnessRecords(stage.ledger.datastore)
    newest = records.newest()
    assert newest is not None
    assert newest.quorum
    assert newest.note == stage.anchors.note()
    assert {one.size for one in records.standings().values()} == {3}
    assert (stage.export() / "anchors/checkpoint").read_bytes() == newest.note.to_bytes()
    assert not stage.told


@pytest.mark.parametrize(
    ("say", "trouble"),
    [
        (drips, "does not answer: too slow"),
        (signs_wrongly, "answered no cosignature of ours"),
        (signs_another_size, "answered no cosignature of ours"),
        (signs_and_says_too_much, "answers more than"),
        (refused, "does not know the log"),
    ],
)
def test_a_witness_that_fails_stops_no_round_and_costs_the_others_nothing(stage: Stage, say: Say, trouble: str) -> None:
    good = stage.witness("w1.example")
    stage.timeout_s = 1.0
    with pretending(say) as bad:
        stage.policy = policy_of([bad, good], threshold=1)
        for size in (1, 2):
            begun = time.monotonic()
            turn = stage.turn()
            assert time.monotonic() - begun < 10
            assert (turn.published.size, turn.cosigned_by) == (size, ("w1.example",))
            assert (published_times(stage, good), published_times(stage, bad)) == (2, 0)
    assert trouble in stage.told[-1]
    standing = WitnessRecords(stage.ledger.datastore).standings()["liar.example"]
    assert (standing.size, trouble in (standing.trouble or "")) == (0, True)
    assert stage.verify(stage.export())[0].trust == "verified"


def test_a_witness_that_is_down_comes_back_and_catches_up(stage: Stage) -> None:
    good, other = stage.witness("w1.example"), stage.witness("w2.example")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
    down = RunningWitness(other.directory, nowhere, other.keys)
    stage.policy = policy_of([good, other])
    stage.turn()
    stage.policy = policy_of([good, down])
    for _ in range(3):
        assert stage.turn().cosigned_by == ("w1.example",)
    newest = WitnessRecords(stage.ledger.datastore).newest()
    assert newest is not None
    assert newest.checkpoint.size == 1, "proofs rest on the newest checkpoint that a quorum cosigned"
    _, anchored = stage.verify(stage.export())
    assert anchored is not None
    assert (anchored.history, anchored.witnessing.independent) == ("only round 0 checked", True)
    stage.policy = policy_of([good, other])
    assert stage.turn().cosigned_by == ("w1.example", "w2.example")
    _, anchored = stage.verify(stage.export())
    assert anchored is not None
    assert anchored.history == "one history in rounds 0..4"


def test_a_witness_that_was_rolled_back_is_brought_forward(stage: Stage) -> None:
    witness = stage.witness("w1.example")
    stage.policy = policy_of([witness])
    stage.turn()
    kept = {path: path.read_bytes() for path in (witness.directory / "checkpoints").iterdir()}
    stage.turn()
    for path, content in kept.items():
        path.write_bytes(content)
    assert stage.turn().cosigned_by == ("w1.example",)
    assert not stage.told


def test_a_witness_that_knows_a_larger_tree_freezes_the_log(stage: Stage) -> None:
    good = stage.witness("w1.example")
    stage.policy = policy_of([good])
    stage.turn()
    before = stage.anchors.note()
    with pretending(knows_size(1000)) as ahead:
        stage.policy = policy_of([good, ahead])
        with pytest.raises(FrozenLogError, match=r"witness 'liar\.example' knows size 1000 of this log, which has 2"):
            stage.turn()
    assert stage.anchors.note() == before, "the checkpoint is not published"
    stage.policy = policy_of([good])
    size = stage.rounds.frontier().size
    with pytest.raises(FrozenLogError, match=r"is frozen: witness 'liar\.example' knows size 1000"):
        stage.turn()
    assert stage.rounds.frontier().size == size, "nothing is appended to a frozen log"
    (dispute,) = WitnessRecords(stage.ledger.datastore).disputes()
    assert (dispute.witness, dispute.found, dispute.size) == ("liar.example", Found.AHEAD, 1000)
    assert Checkpoint.parse(parse_note(dispute.note).text).size == 2
    assert floors_of(stage.ledger).frozen("ledger.example/anchors")


def kept_frozen(stage: Stage, rounds: int | None, when_frozen: Callable[[threading.Event], None]) -> list[str]:
    """Keep a cadence whose witness freezes the anchor log, until that is raised; return what was told of it."""
    stop, seen = threading.Event(), list[str]()

    def tell(line: str) -> None:
        if "is frozen" in line:
            seen.append(line)
            when_frozen(stop)

    with pretending(knows_size(1000)) as ahead:
        publisher = AnchorPublisher(stage.ledger, policy_of([ahead]), timeout_s=stage.timeout_s, tell=tell)
        with pytest.raises(FrozenLogError, match="knows size 1000"):
            keep_cadence(publisher, 50, rounds=rounds, at_once=rounds is not None, stop=stop)
    return seen


def test_a_frozen_anchor_log_does_not_end_the_publishing_of_the_logs_and_is_raised_at_the_end(stage: Stage) -> None:
    assert len(kept_frozen(stage, 3, lambda _: stage.grow())) == 1
    published = tiles_of(stage.ledger, stage.log()).checkpoint()
    assert published is not None
    assert published.size == stage.ledger.head(stage.log().log_id).size, "it grew after the freeze"


def test_a_cadence_over_a_frozen_anchor_log_ends_with_what_froze_it_when_it_is_stopped(stage: Stage) -> None:
    assert len(kept_frozen(stage, None, threading.Event.set)) == 1


def test_a_witness_that_disagrees_is_kept_as_evidence_once_and_stops_nothing(stage: Stage) -> None:
    good = stage.witness("w1.example")
    with pretending(disagrees) as liar:
        stage.policy = policy_of([good, liar], threshold=1)
        for size in (1, 2, 3):
            assert stage.turn().published.size == size
    (dispute,) = WitnessRecords(stage.ledger.datastore).disputes()
    assert (dispute.witness, dispute.found, dispute.size) == ("liar.example", Found.DISAGREES, 0)
    assert "says that this log's tree does not extend the one it saw" in stage.told[0]
    assert stage.verify(stage.export())[0].trust == "verified"


def test_an_anchor_log_that_was_rolled_back_with_its_floor_learns_it_from_its_witness(stage: Stage) -> None:
    """Database, floor and published directory restored together: only the witness remembers."""
    for known, found in ((1, Found.DISAGREES), (5, Found.AHEAD)):
        witness = stage.witness(f"w{known}.example")
        signer = anchor_signer(stage.ledger)
        lost = parse_note(signer.sign_checkpoint(Checkpoint(signer.name, known, bytes(32)).to_text(), AT))
        WitnessClient(witness.url, witness.keys).add_checkpoint(lost, 0, lambda _old, _new: ())
        stage.policy = policy_of([witness])
        if found is Found.AHEAD:
            with pytest.raises(FrozenLogError, match="knows size 5 of this log"):
                stage.turn()
        else:
            stage.turn()
            assert "does not extend the one it saw at size 1" in stage.told[0]
        assert WitnessRecords(stage.ledger.datastore).disputes()[-1].found is found


WITNESSES = """# witnesses of this cell
witness w1-ed25519 {0} https://w1.example/
witness w1-mldsa44 {1} https://w1.example/
group w1 any w1-ed25519 w1-mldsa44
quorum w1
"""


def test_the_witnesses_file_is_a_tlog_policy_with_urls(tmp_path: Path) -> None:
    keys = [str(key) for key in LIAR.verifier_keys()]
    assert read_witnesses(tmp_path) == NOBODY
    path = tmp_path / "witnesses.policy"
    path.write_text(WITNESSES.format(*keys))
    (found,) = configured(read_witnesses(tmp_path))
    assert (found.name, found.url, len(found.keys)) == ("liar.example", "https://w1.example/", 2)
    for wrong, says in (
        ("quorum none\nquorum none\n", "line 2"),
        (f"log {keys[1]}\nquorum none\n", "it names logs"),
        (f"witness w {keys[0]}\nquorum w\n", "has no URL"),
        (f"witness w {keys[0]} ftp://x\nquorum w\n", "http"),
        (WITNESSES.format(*keys).replace("https://w1.example/\ngroup", "https://w2.example/\ngroup"), "two URLs"),
    ):
        path.write_text(wrong)
        with pytest.raises(MalformedError, match=says) as caught:
            read_witnesses(tmp_path)
        assert str(path) in str(caught.value)
