"""Fifth act: machines are shared by rule. Quotas that borrow, tokens that run out, a pool to overflow to, and why."""

from functools import partial

from domain.quotas.events import Quota
from domain.time import HOUR_MS, SECOND_MS
from infrastructure.demo.cast import (
    FLOOD_ALERT,
    FLOODS,
    NILE,
    OCEAN,
    PRICE,
    PRICES,
    RELIEF,
    WARM_SEAS,
    Judgement,
    Member,
)
from infrastructure.demo.scene import Ask, Scene
from infrastructure.explaining import explained


def share(scene: Scene) -> None:
    """Play the act."""
    scene.display.act("Sharing: quotas that borrow, tokens that run out, a pool to overflow to; and why, for each")
    _borrow(scene)
    _run_out(scene)
    _overflow(scene)
    _agree(scene)
    scene.grant_quota(NILE, None)
    scene.play()


def _borrow(scene: Scene) -> None:
    """Let a tenant use more than its own, from what the root scope has to lend."""
    scene.grant_quota(None, Quota(nominal=10, lend=10))
    scene.grant_quota(NILE, Quota(nominal=1, borrow=1))
    scene.display.say(f"{NILE.name} has one slot of its own and may borrow one; it asks three times at once")
    at_ms = scene.now_ms() + scene.pace.gap_ms
    asked = [_plan(scene, at_ms, NILE, FLOODS) for _ in range(3)]
    for one in asked[1:]:
        scene.plan(at_ms + scene.pace.look_ms, partial(_say_why, scene, NILE, one))
    scene.plan(at_ms + scene.pace.look_ms, partial(scene.release, NILE))
    scene.play()
    scene.grant_quota(None, None)


def _run_out(scene: Scene) -> None:
    """Let tokens run out, and be there again at the very instant that was told."""
    period_ms, at_ms = scene.pace.token_ms, scene.now_ms() + scene.pace.gap_ms
    scene.grant_tokens(PRICE, tokens=1, period_ms=period_ms, burst=1, until_ms=at_ms + HOUR_MS // 10)
    scene.display.say(f"{PRICE.name} gets a token every {period_ms // SECOND_MS} s, one at most; it asks twice at once")
    asked = [_plan(scene, at_ms, PRICE, PRICES) for _ in range(2)]
    scene.plan(at_ms + scene.pace.look_ms, partial(_say_why, scene, PRICE, asked[1]))
    scene.play()


def _overflow(scene: Scene) -> None:
    """Fill the primary nodes; what finds no room there is offered to the reserve."""
    scene.stand_reserve()
    crowd, at_ms = scene.pace.crowd, scene.now_ms() + scene.pace.gap_ms
    scene.display.say(
        f"{OCEAN.name} asks {crowd} times at once; {RELIEF.node} is a reserve, used when all else is full"
    )
    asked = [_plan(scene, at_ms, OCEAN, WARM_SEAS) for _ in range(crowd)]
    scene.plan(at_ms + scene.pace.look_ms, partial(_say_why, scene, OCEAN, asked[-1]))
    scene.plan(at_ms + scene.pace.look_ms, partial(scene.release, OCEAN))
    scene.play()
    scene.drain_reserve()


def _agree(scene: Scene) -> None:
    """Ask three independent enclaves, and say why their result counts."""
    scene.grant_quota(NILE, Quota(nominal=3))
    scene.muster()
    asked = scene.submit(NILE, scene.questions.draw(FLOODS), Ask(clause=FLOOD_ALERT))
    scene.play()
    _say_why(scene, NILE, [asked])


def _plan(scene: Scene, at_ms: int, member: Member, judgement: Judgement) -> list[str]:
    """Plan a submission; the list will hold its workload's id."""
    found: list[str] = []
    question = scene.questions.draw(judgement)
    scene.plan(at_ms, lambda: found.append(scene.submit(member, question)))
    return found


def _say_why(scene: Scene, member: Member, asked: list[str]) -> None:
    for line in explained(scene.why(member, asked[0])):
        scene.display.say(f"why: {line}")
