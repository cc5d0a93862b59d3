"""Seventh act: a result is disputed, answered and overturned. Nothing is deleted; it stands no more."""

from infrastructure.demo.cast import HARVEST, NODES, SEASONS
from infrastructure.demo.scene import Scene

GROUNDS = "two gauges were read twice"


def dispute(scene: Scene) -> str:
    """Play the act; return the dispute's id."""
    scene.display.act("A dispute: a tenant doubts its own result, the node's operator answers, a resolver decides")
    asked = scene.submit(HARVEST, scene.questions.draw(SEASONS))
    scene.play()
    row = scene.why(HARVEST, asked)
    cac, node = row["cacs"][0], row["runs"][-1]["node"]
    operator = next(one.operator for one in NODES if one.node == node)
    opened = scene.open_dispute(HARVEST, cac, GROUNDS)
    scene.display.say(f"{HARVEST.name} disputes {cac}: {GROUNDS}")
    scene.answer_dispute(opened, operator, "the machine ran as always")
    scene.display.say(f"{operator}, who runs {node}, answers")
    scene.decide_dispute(opened, "overturned", GROUNDS)
    scene.play()
    return opened
