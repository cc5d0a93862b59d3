"""Second act: rounds of submissions that arrive together, more than there are places for."""

import itertools

from domain.time import SECOND_MS
from infrastructure.demo.cast import (
    CHOLERA,
    CRIMEA,
    DECLARED,
    DROUGHTS,
    EL_NINO_ALERT,
    FLOOD_ALERT,
    FLOODS,
    HARVEST,
    HEALTH,
    NILE,
    OCEAN,
    PRICE,
    PRICES,
    SEASONS,
    WARM_SEAS,
    Judgement,
    Member,
)
from infrastructure.demo.scene import Ask
from infrastructure.demo.stage import Stage

ROUNDS = 9
ROUND_MS = 45 * SECOND_MS
LATEST_S = 30

_IMPATIENT = Ask(wait_ms=8 * SECOND_MS)
_SET_OFF = Ask(trigger=DECLARED)
_USUAL = Ask()

_ROUND: tuple[tuple[Member, Judgement, Ask, int], ...] = (
    (NILE, FLOODS, _USUAL, 2),
    (NILE, FLOODS, _SET_OFF, 1),
    (NILE, DROUGHTS, _USUAL, 2),
    (OCEAN, WARM_SEAS, _USUAL, 4),
    (HEALTH, CHOLERA, _USUAL, 2),
    (HEALTH, CRIMEA, _USUAL, 2),
    (PRICE, PRICES, _USUAL, 4),
    (HARVEST, SEASONS, _USUAL, 3),
)
_ALERTS = (
    (NILE, FLOODS, Ask(clause=FLOOD_ALERT), 1),
    (OCEAN, WARM_SEAS, Ask(clause=EL_NINO_ALERT), 1),
)
_HURRIED = (HARVEST, SEASONS, _IMPATIENT, 1)


def work(stage: Stage, scale: float) -> None:
    """Play the act.

    Args:
        stage: where.
        scale: 1 for nine rounds.
    """
    rounds = max(1, round(ROUNDS * scale))
    stage.display.act(
        f"A working day: {rounds} rounds of submissions, about twice as many at a time as there are places"
    )
    stage.display.say("Disaster goes before Health, Finance and Planning; who finds no place waits (no_node_now)")
    begin_ms = stage.clock.now_ms() + SECOND_MS
    for number in range(rounds):
        _plan_round(stage, number, begin_ms + number * ROUND_MS)
    stage.play()
    stage.display.say(
        f"{len(stage.kept_apart)} waited beside a free place: who lives there and they may not meet on a node"
    )


def compete(stage: Stage) -> None:
    """Let lower levels come first, to more than their nodes hold, and higher ones after them."""
    stage.display.act("Priority: Planning comes first, Finance and Disaster after it, and all want the same nodes")
    begin_ms = stage.clock.now_ms() + SECOND_MS
    asked = ((HARVEST, SEASONS, 6), (PRICE, PRICES, 6), (NILE, FLOODS, 8))
    for number, (member, judgement, times) in enumerate(asked):
        for _ in range(times):
            _plan(stage, begin_ms + number * SECOND_MS, member, judgement, _USUAL)
    before = len(stage.board.order)
    stage.play()
    runs = [(domain, len(list(same))) for domain, same in itertools.groupby(stage.board.order[before:])]
    stage.display.say(f"placed in this order: {', '.join(f'{count} {domain}' for domain, count in runs)}")
    stage.display.say("a place that falls free goes to the highest level that may run on that node, whoever came first")


def _plan_round(stage: Stage, number: int, at_ms: int) -> None:
    wanted = [*_ROUND, *((_HURRIED, *_ALERTS) if number == 0 else (_ALERTS[number % 2],))]
    asked = [(member, judgement, ask) for member, judgement, ask, times in wanted for _ in range(times)]
    stage.chance.shuffle(asked)
    for member, judgement, ask in asked:
        late_s = stage.chance.choice((0, 0, 0, stage.chance.randrange(1, LATEST_S)))
        _plan(stage, at_ms + (0 if ask is _IMPATIENT else late_s * SECOND_MS), member, judgement, ask)


def _plan(stage: Stage, at_ms: int, member: Member, judgement: Judgement, ask: Ask) -> None:
    question = stage.questions.draw(judgement)
    stage.plan(at_ms, lambda: stage.submit(member, question, ask))
