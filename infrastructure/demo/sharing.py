"""Fifth act: machines are shared by rule. Quotas that borrow, tokens that run out, a pool to overflow to, and why."""

from functools import partial

from domain.policies.facts import NodeFacts
from domain.quotas.events import Quota
from domain.time import HOUR_MS, MINUTE_MS, SECOND_MS
from infrastructure.client import acts, governance
from infrastructure.commands.loading import load_root
from infrastructure.demo.cast import FLOOD_ALERT, FLOODS, NILE, OCEAN, PRICE, PRICES, WARM_SEAS, Judgement, Member
from infrastructure.demo.founding import ROOT
from infrastructure.demo.stage import Ask, Stage
from infrastructure.explaining import explain, explained
from infrastructure.work import remember_node

RELIEF = NodeFacts(
    node="reykjavik-1",
    operator="GeysirReserve",
    country="ISL",
    vendor="Borealis",
    pool="secondary",
    memory_bytes=256 * 1_048_576,
    slots=4,
    attributes=("wasm",),
)
"""A reserve: taken only when no primary node that fits has room."""

CROWD = 11
"""More at once than the primary nodes that OceanWatch may use have places for: two of these go to the reserve."""

_AS_USUAL = Ask()


def share(stage: Stage) -> None:
    """Play the act."""
    stage.display.act("Sharing: quotas that borrow, tokens that run out, a pool to overflow to; and why, for each")
    root, begin_ms = stage.wallets[ROOT], stage.clock.now_ms() + SECOND_MS
    _borrow(stage, begin_ms)
    _run_out(stage, begin_ms + 2 * MINUTE_MS)
    _overflow(stage, begin_ms + 6 * MINUTE_MS)
    _agree(stage)
    governance.grant_quota(stage.ledger, [root], stage.tenant(NILE))
    acts.drain_node(stage.ledger, [root], RELIEF.node, "the crowd is gone")
    stage.play()


def _borrow(stage: Stage, at_ms: int) -> None:
    """Let a tenant use more than its own, from what the root scope has to lend."""
    root = [stage.wallets[ROOT]]
    governance.grant_quota(stage.ledger, root, load_root(stage.ledger), slots=Quota(nominal=10, lend=10))
    governance.grant_quota(stage.ledger, root, stage.tenant(NILE), slots=Quota(nominal=1, borrow=1))
    stage.display.say(f"{NILE.name} has one slot of its own and may borrow one; it asks three times at once")
    asked = [_plan(stage, at_ms, NILE, FLOODS) for _ in range(3)]
    for one in asked[1:]:
        stage.plan(at_ms + SECOND_MS, partial(_say_why, stage, one))
    stage.play()
    governance.grant_quota(stage.ledger, root, load_root(stage.ledger))


def _run_out(stage: Stage, at_ms: int) -> None:
    """Let tokens run out, and be there again at the very instant that was told."""
    governance.grant_tokens(
        stage.ledger, [stage.wallets[ROOT]], stage.tenant(PRICE),
        tokens=1, period_ms=MINUTE_MS, burst=1, until_ms=at_ms + HOUR_MS // 10,
    )  # fmt: skip
    stage.display.say(f"{PRICE.name} gets a token a minute, one at most; it asks twice at once")
    asked = [_plan(stage, at_ms, PRICE, PRICES) for _ in range(2)]
    stage.plan(at_ms + SECOND_MS, partial(_say_why, stage, asked[1]))
    stage.play()


def _overflow(stage: Stage, at_ms: int) -> None:
    """Fill the primary nodes; what finds no room there is offered to the reserve."""
    wallet = stage.wallet(RELIEF.node)
    acts.enrol_node(stage.ledger, wallet, stage.wallets[ROOT], RELIEF)
    remember_node(stage.folder, RELIEF.node, stage.folder / "wallets" / f"{RELIEF.node}.json")
    stage.enlist(RELIEF.node)
    stage.display.say(
        f"{OCEAN.name} asks {CROWD} times at once; {RELIEF.node} is a reserve, used when all else is full"
    )
    asked = [_plan(stage, at_ms, OCEAN, WARM_SEAS) for _ in range(CROWD)]
    stage.plan(at_ms + SECOND_MS, partial(_say_why, stage, asked[-1]))
    stage.play()


def _agree(stage: Stage) -> None:
    """Ask three independent enclaves, and say why their result counts."""
    governance.grant_quota(stage.ledger, [stage.wallets[ROOT]], stage.tenant(NILE), slots=Quota(nominal=3))
    asked = stage.submit(NILE, stage.questions.draw(FLOODS), Ask(clause=FLOOD_ALERT)).workload
    stage.play()
    _say_why(stage, [asked])


def _plan(stage: Stage, at_ms: int, member: Member, judgement: Judgement) -> list[str]:
    """Plan a submission; the list will hold its workload's id."""
    found: list[str] = []
    question = stage.questions.draw(judgement)
    stage.plan(at_ms, lambda: found.append(stage.submit(member, question, _AS_USUAL).workload))
    return found


def _say_why(stage: Stage, asked: list[str]) -> None:
    for line in explained(explain(stage.ledger, asked[0])):
        stage.display.say(f"why: {line}")
