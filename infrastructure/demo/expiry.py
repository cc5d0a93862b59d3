"""Sixth act: a TEEExecutorVC runs out: at the queue's door, and for those who waited past its end."""

from functools import partial

from domain.time import SECOND_MS
from infrastructure.demo.cast import HARVEST, SEASONS, START_MS
from infrastructure.demo.scene import Scene

WAITING = 5
"""More than the tenant's countries have places for: the last ones come to their node after the credential's end."""


def expire(scene: Scene) -> None:
    """Play the act."""
    scene.display.act("A credential runs out")
    ends_ms = START_MS + HARVEST.credential_ms
    scene.display.say(f"{HARVEST.name}'s TEEExecutorVC ends in 3 s; {WAITING} submissions come, for 3 places")
    for _ in range(WAITING):
        question = scene.questions.draw(SEASONS)
        scene.plan(ends_ms - 3 * SECOND_MS, partial(scene.submit, HARVEST, question))
    scene.play()
    renew(scene)


def renew(scene: Scene) -> None:
    """Play what follows: a submission is denied, a new credential is granted, and the next one runs."""
    scene.submit(HARVEST, scene.questions.draw(SEASONS))
    scene.play()
    scene.display.say("the root scope grants a new one, and the next submission runs")
    scene.renew(HARVEST)
    scene.submit(HARVEST, scene.questions.draw(SEASONS))
    scene.play()
