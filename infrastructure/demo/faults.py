"""Fourth act: faults. What fails is held, and runs again only when those whom the policy names have signed for it."""

from collections.abc import Sequence

from domain.bounds import Bounds
from domain.errors import NotAuthorisedError
from infrastructure.demo.cast import FLOODS, JUDGES, NILE, OCEAN, PRICE, PRICES, USUAL, WARM_SEAS, Member
from infrastructure.demo.scene import Ask, Scene

LITTLE_FUEL = 1_000
LEAST_MEMORY = 65_536


def fail(scene: Scene) -> None:
    """Play the act."""
    scene.display.act("Faults: held until governance lets them run again")
    starved = _submit(scene, NILE, Ask(bounds=USUAL.model_copy(update={"fuel": LITTLE_FUEL})))
    cramped = _submit(scene, OCEAN, Ask(bounds=USUAL.model_copy(update={"memory_bytes": LEAST_MEMORY})))
    _submit(scene, PRICE, Ask(inputs=(b"2009-09,two hundred\n", b"4\n400\n")))
    scene.play()
    _one_is_not_enough(scene, starved)
    _authorise(scene, NILE, starved, JUDGES, USUAL)
    _authorise(scene, OCEAN, cramped, (scene.admin(OCEAN).name,), USUAL)
    scene.play()
    scene.display.say(
        f"{PRICE.name}'s malformed input is nobody's to authorise: it stays held, and is told to nobody else"
    )


def _submit(scene: Scene, member: Member, ask: Ask) -> str:
    judgement = {NILE.dao: FLOODS, OCEAN.dao: WARM_SEAS, PRICE.dao: PRICES}[member.dao]
    return scene.submit(member, scene.questions.draw(judgement), ask)


def _one_is_not_enough(scene: Scene, workload: str) -> None:
    try:
        scene.authorize(NILE, workload, JUDGES[:1], USUAL)
    except NotAuthorisedError as error:
        scene.display.say(f"{JUDGES[0]} alone may not let {NILE.name}'s run go on: {error}")
    else:
        raise NotAuthorisedError("one person re-authorised where two are asked for; this is a fault of the program")


def _authorise(scene: Scene, member: Member, workload: str, names: Sequence[str], bounds: Bounds) -> None:
    scene.display.say(f"{' and '.join(names)} sign for this very fault, with bounds of {bounds}")
    scene.authorize(member, workload, names, bounds)
