"""Sixth act: a TEEExecutorVC runs out: at the queue's door, and for those who waited past its end."""

from functools import partial

from domain.time import SECOND_MS
from infrastructure.client import acts
from infrastructure.demo.cast import HARVEST, SEASONS, START_MS
from infrastructure.demo.founding import ROOT, classes, families
from infrastructure.demo.stage import Stage

WAITING = 5
"""More than the tenant's countries have places for: the last ones come to their node after the credential's end."""


def expire(stage: Stage) -> None:
    """Play the act."""
    stage.display.act("A credential runs out")
    ends_ms = START_MS + HARVEST.credential_ms
    stage.display.say(f"{HARVEST.name}'s TEEExecutorVC ends in 3 s; {WAITING} submissions come, for 3 places")
    for _ in range(WAITING):
        question = stage.questions.draw(SEASONS)
        stage.plan(ends_ms - 3 * SECOND_MS, partial(stage.submit, HARVEST, question))
    stage.play()
    stage.submit(HARVEST, stage.questions.draw(SEASONS))
    stage.play()
    stage.display.say("the root scope grants a new one, and the next submission runs")
    acts.renew_credential(
        stage.ledger,
        stage.tenant(HARVEST),
        [stage.wallets[ROOT]],
        families=families(HARVEST),
        resource_classes=classes(HARVEST),
    )
    stage.submit(HARVEST, stage.questions.draw(SEASONS))
    stage.play()
