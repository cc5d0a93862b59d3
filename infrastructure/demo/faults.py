"""Fourth act: faults. What fails is held, and runs again only when those whom the policy names have signed for it."""

from domain.bounds import Bounds
from domain.errors import NotAuthorisedError
from domain.identifiers import execution_id
from infrastructure.client import acts
from infrastructure.demo.cast import FLOODS, NILE, OCEAN, PRICE, PRICES, USUAL, WARM_SEAS, Member
from infrastructure.demo.founding import JUDGES
from infrastructure.demo.stage import Ask, Stage

LITTLE_FUEL = 1_000
LEAST_MEMORY = 65_536


def fail(stage: Stage) -> None:
    """Play the act."""
    stage.display.act("Faults: held until governance lets them run again")
    starved = _submit(stage, NILE, Ask(bounds=USUAL.model_copy(update={"fuel": LITTLE_FUEL})))
    cramped = _submit(stage, OCEAN, Ask(bounds=USUAL.model_copy(update={"memory_bytes": LEAST_MEMORY})))
    _submit(stage, PRICE, Ask(inputs=(b"2009-09,two hundred\n", b"4\n400\n")))
    stage.play()
    _one_is_not_enough(stage, starved)
    _authorise(stage, starved, JUDGES, USUAL)
    _authorise(stage, cramped, (stage.admin(OCEAN).name,), USUAL)
    stage.play()
    stage.display.say(
        f"{PRICE.name}'s malformed input is nobody's to authorise: it stays held, and is told to nobody else"
    )


def _submit(stage: Stage, member: Member, ask: Ask) -> str:
    """Submit and return the id of the first attempt's execution."""
    judgement = {NILE.dao: FLOODS, OCEAN.dao: WARM_SEAS, PRICE.dao: PRICES}[member.dao]
    submission = stage.submit(member, stage.questions.draw(judgement), ask)
    return execution_id(stage.tenant(member).origin, submission.workload, 1, 0)


def _one_is_not_enough(stage: Stage, execution: str) -> None:
    try:
        acts.authorize_retry(stage.ledger, execution, [stage.wallet(JUDGES[0])], bounds=USUAL)
    except NotAuthorisedError as error:
        stage.display.say(f"{JUDGES[0]} alone may not let {NILE.name}'s run go on: {error}")
    else:
        raise NotAuthorisedError("one person re-authorised where two are asked for; this is a fault of the program")


def _authorise(stage: Stage, execution: str, names: tuple[str, ...], bounds: Bounds) -> None:
    stage.display.say(f"{' and '.join(names)} sign for this very fault, with bounds of {bounds}")
    acts.authorize_retry(stage.ledger, execution, [stage.wallets[name] for name in names], bounds=bounds)
