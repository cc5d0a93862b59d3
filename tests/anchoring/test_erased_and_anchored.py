"""What waits for the anchor log: an erasure for its round; an acknowledgement names the round it promises."""

import pytest

from domain.errors import UnavailableError
from domain.time import DAY_MS
from infrastructure.acknowledging import PUBLISH_WITHIN_ROUNDS
from infrastructure.anchors.anchored import anchored_by
from infrastructure.client import acts
from infrastructure.commands.loading import load_tenant
from infrastructure.erasure import destroy_keys
from infrastructure.keys import ed25519
from infrastructure.ledger import Answer
from infrastructure.rotation import rotate_data_key
from tests.anchoring.stage import Stage, policy_of
from tests.commands.cell import another_process


def test_without_an_anchor_log_nothing_is_waited_for(stage: Stage) -> None:
    assert anchored_by(stage.ledger, stage.policy) is None


def test_what_is_published_but_not_in_a_witnessed_round_is_not_anchored(stage: Stage) -> None:
    witness = stage.witness("witness.example/a")
    stage.policy = policy_of([witness])
    stage.turn()
    log, size = stage.log(), stage.ledger.head(stage.log().log_id).size
    anchored = anchored_by(stage.ledger, stage.policy)
    assert anchored is not None
    assert anchored(log.log_id, size) == 0
    assert anchored(log.log_id, size + 1) is None
    stage.turn()
    assert anchored(log.log_id, size) == 0, "the first round that commits to it"
    stage.grow()
    size = stage.ledger.head(log.log_id).size
    assert anchored(log.log_id, size) is None
    everybody = stage.policy
    stage.policy = policy_of([])  # the round is made, and nobody cosigns it
    made = stage.turn().made
    assert made is not None
    assert anchored(log.log_id, size) is None
    stage.policy = everybody
    stage.turn()
    assert anchored(log.log_id, size) == made.index


def test_a_key_is_destroyed_after_its_last_checkpoint_was_anchored_and_the_record_names_the_round(stage: Stage) -> None:
    member, ledger = stage.members[0], stage.ledger
    stage.turn()
    acts.order_erasure(ledger, load_tenant(ledger, member.log_id), member.admins)
    stage.cell.settle()
    stage.cell.clock.advance_to(stage.cell.clock.now_ms() + 8 * DAY_MS)
    stage.cell.settle()
    anchored = anchored_by(ledger, stage.policy)
    with pytest.raises(UnavailableError, match="not anchored yet: repeat after the next round"):
        destroy_keys(ledger, member.log_id, anchored=anchored)
    assert not ledger.erased(member.log_id)
    made = stage.turn().made
    assert made is not None
    assert destroy_keys(ledger, member.log_id, anchored=anchored).round == made.index


def test_an_acknowledgement_promises_a_round_counted_from_the_newest(stage: Stage) -> None:
    for _ in range(3):
        stage.turn()
    log, heard = stage.log(), list[int]()
    key = ed25519.public_bytes(stage.ledger.keyring.get(log.log_id).acknowledgement_key())

    def hear(answer: Answer) -> None:
        heard.extend(one.verify(key, log.origin).publish_by for one in answer.acknowledgements)

    with another_process(stage.cell) as fresh:
        fresh.on_answer = hear
        rotate_data_key(fresh, log.log_id)
    assert heard == [2 + PUBLISH_WITHIN_ROUNDS]
