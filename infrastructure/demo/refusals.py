"""Third act: every kind of policy says no once, and the tenant learns which rule, what it had and what it needed."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.policies.kinds import InCountry, NoColocation, Nodes, Operators, Rule, Validity
from domain.time import DAY_MS
from infrastructure.demo.cast import (
    CHOLERA,
    DECLARED,
    FLOOD_WITNESSED,
    FLOODS,
    HARVEST,
    HEALTH,
    MOST,
    NILE,
    OCEAN,
    OUTBREAK_NAMED,
    PRICE,
    PRICES,
    SEASONS,
    START_MS,
    UNREGISTERED,
    WARM_SEAS,
    Judgement,
    Member,
)
from infrastructure.demo.stage import Ask, Stage

_USUAL = Ask()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who asks for what, under which policy (empty: the lasting one), and why it can't be."""

    rule: str
    why: str
    member: Member
    judgement: Judgement
    ask: Ask = _USUAL
    rules: tuple[Rule, ...] = ()


REFUSALS = (
    Refusal(
        "in_country",
        "only in Italy or Spain, where no node stands",
        HARVEST,
        SEASONS,
        rules=(InCountry(kind="in_country", countries=("ESP", "ITA")),),
    ),
    Refusal(
        "operators",
        "only with an operator that runs no node here",
        OCEAN,
        WARM_SEAS,
        rules=(Operators(kind="operators", allowed=("PacificTrust",)),),
    ),
    Refusal(
        "nodes",
        "only on the hospital's own node, which isn't enrolled yet",
        HEALTH,
        CHOLERA,
        rules=(Nodes(kind="nodes", allowed=("london-2",)),),
    ),
    Refusal(
        "no_colocation",
        "only on a node that admits nobody else; every node admits others",
        PRICE,
        PRICES,
        rules=(NoColocation(kind="no_colocation", authorised=(), exclusive=True),),
    ),
    Refusal(
        "independent_attestations",
        "the clause wants nine independent enclaves; there aren't as many operators",
        NILE,
        FLOODS,
        Ask(clause=FLOOD_WITNESSED),
    ),
    Refusal(
        "domain_beside_trigger",
        "Finance may not run on the trigger of a declared disaster",
        PRICE,
        PRICES,
        Ask(trigger=DECLARED),
    ),
    Refusal(
        "evidence",
        "the clause wants verified hardware; nodes here say honestly that they are software",
        HEALTH,
        CHOLERA,
        Ask(clause=OUTBREAK_NAMED),
    ),
    Refusal(
        "maximum_bounds",
        "within the clause's bounds, but not within those of the tenant's own policy",
        OCEAN,
        WARM_SEAS,
        Ask(bounds=MOST.model_copy(update={"wall_ms": 60_000})),
    ),
    Refusal(
        "validity",
        "planning runs are allowed from next week on",
        HARVEST,
        SEASONS,
        rules=(Validity(kind="validity", from_ms=START_MS + 7 * DAY_MS, until_ms=START_MS + 70 * DAY_MS),),
    ),
    Refusal("clause", "nobody registered this version", NILE, FLOODS, Ask(clause=UNREGISTERED)),
    Refusal(
        "clause",
        "more fuel than the clause's governance allows to anybody",
        PRICE,
        PRICES,
        Ask(bounds=MOST.model_copy(update={"fuel": MOST.fuel * 10})),
    ),
)


def refuse(stage: Stage, refusals: Sequence[Refusal] = REFUSALS) -> None:
    """Play the act."""
    stage.display.act("Refusals: one by every kind of rule")
    for refusal in refusals:
        stage.display.say(f"{refusal.member.name}: {refusal.why}")
        if refusal.rules:
            stage.adopt(refusal.member, refusal.rules)
        stage.submit(refusal.member, stage.questions.draw(refusal.judgement), refusal.ask)
        stage.play()
        if refusal.rules:
            stage.adopt(refusal.member, refusal.member.rules)
    stage.display.say(f"{HEALTH.name} wants a node of its own as well, and has one: london-1 admits nobody else")
    stage.adopt(HEALTH, (NoColocation(kind="no_colocation", authorised=(), exclusive=True),))
    stage.submit(HEALTH, stage.questions.draw(CHOLERA))
    stage.play()
    stage.adopt(HEALTH, HEALTH.rules)
