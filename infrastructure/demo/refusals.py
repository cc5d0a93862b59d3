"""Third act: every kind of policy says no once, and the tenant learns which rule, what it had and what it needed."""

from dataclasses import dataclass

from domain.policies.kinds import InCountry, NoColocation, Nodes, Operators, Rule, Validity
from domain.time import DAY_MS
from infrastructure.attestation.attesting import Attested
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
    UNREGISTERED,
    WARM_SEAS,
    Judgement,
    Member,
)
from infrastructure.demo.local import LocalScene
from infrastructure.demo.scene import AS_USUAL, Ask, Scene


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who asks for what, under which policy (empty: the lasting one), and why it can't be."""

    rule: str
    why: str
    member: Member
    judgement: Judgement
    ask: Ask = AS_USUAL
    rules: tuple[Rule, ...] = ()


def refusals(now_ms: int) -> tuple[Refusal, ...]:
    """Return one for every kind of rule, as of an instant."""
    planning = Validity(kind="validity", from_ms=now_ms + 7 * DAY_MS, until_ms=now_ms + 70 * DAY_MS)
    return (
        *_REFUSALS,
        Refusal("validity", "planning runs are allowed from next week on", HARVEST, SEASONS, rules=(planning,)),
    )


_REFUSALS = (
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
        "the clause wants a vendor's hardware and names no other root; machines here are synthetic, and say so",
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
    Refusal("clause", "nobody registered this version", NILE, FLOODS, Ask(clause=UNREGISTERED)),
    Refusal(
        "clause",
        "more fuel than the clause's governance allows to anybody",
        PRICE,
        PRICES,
        Ask(bounds=MOST.model_copy(update={"fuel": MOST.fuel * 10})),
    ),
)


def refuse(scene: Scene) -> None:
    """Play the act."""
    scene.display.act("Refusals: one by every kind of rule")
    for refusal in refusals(scene.now_ms()):
        scene.display.say(f"{refusal.member.name}: {refusal.why}")
        if refusal.rules:
            scene.adopt(refusal.member, refusal.rules)
        scene.submit(refusal.member, scene.questions.draw(refusal.judgement), refusal.ask)
        scene.play()
        if refusal.rules:
            scene.adopt(refusal.member, scene.rules(refusal.member))


def dedicate(stage: LocalScene) -> None:
    """Play it with all nodes: one that admits nobody else, and one that answers with another machine's evidence."""
    refuse(stage)
    stage.display.say(f"{HEALTH.name} wants a node of its own as well, and has one: london-1 admits nobody else")
    stage.adopt(HEALTH, (NoColocation(kind="no_colocation", authorised=(), exclusive=True),))
    stage.submit(HEALTH, stage.questions.draw(CHOLERA))
    stage.play()
    stage.adopt(HEALTH, stage.rules(HEALTH))
    relay(stage)


def relay(stage: LocalScene) -> None:
    """Let a node answer with another machine's genuine evidence, once: it gets no inputs; then with its own."""
    node, other = "london-1", "nairobi-1"
    stage.display.say(f"{node} answers for {HEALTH.name} with genuine evidence of {other}'s machine, then with its own")
    stage.adopt(HEALTH, (*stage.rules(HEALTH), Nodes(kind="nodes", allowed=(node,))))
    stage.submit(HEALTH, stage.questions.draw(CHOLERA))
    stage.enlist(node, Relayed(stage, node, other))
    stage.play()
    stage.adopt(HEALTH, stage.rules(HEALTH))


@dataclass(slots=True)
class Relayed:
    """Gives another machine's evidence the first time, and from then on the node's own again."""

    stage: LocalScene
    node: str
    other: str

    def attest(self, report_data: bytes, runtime: str) -> Attested:
        """Return genuine evidence over this binding, of the wrong machine."""
        self.stage.enlist(self.node, self.stage.machines[self.node])
        return self.stage.machines[self.other].attest(report_data, runtime)
