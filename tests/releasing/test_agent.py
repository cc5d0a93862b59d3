"""The releaser at work over a ledger that does not always answer: real offers, and ways to it that fail."""

import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from domain.errors import UnavailableError
from infrastructure.releasing import agent as agents
from infrastructure.releasing.agent import ReleaseAgent
from infrastructure.releasing.sources import LocalSource
from tests.commands.cell import ENTROPY, Cell
from tests.releasing.scene import Scene, releaser_of, waiting_scene


class Failing(LocalSource):
    """A ledger that gives certain offers, or takes certain releases, not at once."""

    def __init__(self, scene: Scene, *, offers: Mapping[str, int] | None = None, releases: int = 0) -> None:
        super().__init__(scene.cell.ledger, scene.member.name, lambda: False)
        self.offers = dict(offers or {})
        self.releases = releases
        self.asked: list[str] = []
        self.sent: list[tuple[str, tuple[bytes, ...]]] = []
        self.waits: list[tuple[frozenset[str], Counter[str], float]] = []

    def waiting(self, holding: Collection[str], wait_s: float) -> list[str]:
        self.waits.append((frozenset(holding), Counter(self.asked), wait_s))
        return super().waiting(holding, wait_s)

    def offer(self, execution_id: str) -> Mapping[str, Any]:
        self.asked.append(execution_id)
        if self.offers.get(execution_id, 0) > 0:
            self.offers[execution_id] -= 1
            raise UnavailableError("this one is away")
        return super().offer(execution_id)

    def release(self, token: str, inputs: Sequence[bytes]) -> Mapping[str, Any]:
        self.sent.append((token, tuple(inputs)))
        if len(self.sent) <= self.releases:
            raise UnavailableError("not now")
        return super().release(token, inputs)


def agent_over(scene: Scene, source: Failing, stop: threading.Event) -> ReleaseAgent:
    return ReleaseAgent(
        source, scene.member.admins[0], releaser_of(scene.member), clock=scene.cell.clock, entropy=ENTROPY,
        tell=scene.told.append, stop=stop,
    )  # fmt: skip


def several(cell: Cell) -> tuple[Scene, list[str]]:
    """Return three executions of one tenant that wait."""
    first = waiting_scene(cell)
    scenes = [first, waiting_scene(cell, first.member), waiting_scene(cell, first.member)]
    return first, sorted(one.execution for one in scenes)


def test_an_offer_that_never_comes_holds_up_no_other(cell: Cell) -> None:
    scene, names = several(cell)
    source = Failing(scene, offers={names[0]: 10**6})
    order = source.waiting((), 0)
    source.offers = {order[0]: 10**6}
    with pytest.raises(UnavailableError, match="this one is away"):
        agent_over(scene, source, threading.Event()).once()
    assert source.asked == order
    assert len(source.sent) == 2


def test_it_is_tried_again_by_itself_at_longer_intervals_until_it_is_there(cell: Cell) -> None:
    scene, _ = several(cell)
    source = Failing(scene)
    (first, *_) = source.waiting((), 0)
    source.offers, source.waits = {first: 3}, []
    stop = threading.Event()
    agent = agent_over(scene, source, stop)
    worker = threading.Thread(target=agent.run)
    worker.start()
    until_s = time.monotonic() + 20
    while agent.counts.released < 3 and time.monotonic() < until_s:
        time.sleep(0.02)
    stop.set()
    worker.join(20)
    assert (agent.counts.released, agent.counts.refused) == (3, 0)
    assert source.asked.count(first) == 4
    assert len(source.asked) == 6
    longest = {1: 0.05, 2: 0.1, 3: 0.2}
    for holding, asked, wait_s in source.waits:
        if first in holding:
            assert wait_s <= longest.get(asked[first], wait_s), "none waits a whole poll"
    assert sum("not now" in line for line in scene.told) == 1


def test_what_was_made_is_sent_again_as_it_was(cell: Cell) -> None:
    scene = waiting_scene(cell)
    source, stop = Failing(scene, releases=2), threading.Event()
    agent = agent_over(scene, source, stop)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            agent.once()
        time.sleep(0.2)
    assert agent.once().released == 1
    assert len(set(source.sent)) == 1
    assert len(source.sent) == 3
    assert len(source.asked) == 1


def test_several_that_cannot_be_had_end_a_round_and_go_behind_the_others(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "_MOST_FAILING", 2)
    scene, _ = several(cell)
    source = Failing(scene)
    order = source.waiting((), 0)
    source.offers = dict.fromkeys(order[:2], 10**6)
    agent = agent_over(scene, source, threading.Event())
    with pytest.raises(UnavailableError):
        agent.once()
    assert source.asked == order[:2]
    assert agent.once().released == 1, "the others have their turn while those two rest"
    assert source.asked == order


def test_one_that_waits_no_more_is_forgotten(cell: Cell) -> None:
    scene = waiting_scene(cell)
    source = Failing(scene, offers={scene.execution: 1})
    agent = agent_over(scene, source, threading.Event())
    with pytest.raises(UnavailableError):
        agent.once()
    assert scene.agent().once().released == 1
    time.sleep(0.1)
    assert agent.once().released == 0
    assert agent._later == {}
