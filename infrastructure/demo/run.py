"""The demo: real observations, several tenants, one ledger, from founding to an outsider's proof.

It runs in virtual time from a fixed instant (cast.START_MS) with ids and order drawn from a seed; keys, nonces and
salts come from the operating system, so two runs of one seed tell the same story with other keys.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from domain.errors import RefusedError
from infrastructure.clock import VirtualClock
from infrastructure.demo import doubt, expiry, faults, founding, proof, refusals, sharing, workday
from infrastructure.demo.cast import MEMBERS, NODES, START_MS
from infrastructure.demo.display import Display
from infrastructure.demo.folder import new_run
from infrastructure.demo.local import LocalScene
from infrastructure.demo.proof import PLATFORM, Proof
from infrastructure.demo.stage import Stage
from infrastructure.demo.summary import summary
from infrastructure.demo.witnessed import anchoring
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SeededIds
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.runtime.pool import KeepPool


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What a demo came to. `denied` counts by rule; `bundles` are absolute paths by DAO/JUR."""

    tenants: int
    nodes: int
    submitted: int
    executed: int
    cacs: int
    faulted: int
    reauthorised: int
    events: int
    denied: dict[str, int]
    verified: bool
    bundles: dict[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that was played: its result, and the same in words with what to try next."""

    members: DemoResult
    summary: tuple[str, ...]


def run_demo(data_dir: Path, *, seed: int, environ: Mapping[str, str], display: Display, scale: float = 1.0) -> Played:
    """Run the demo in a new subdirectory of `data_dir`.

    Args:
        data_dir: empty, new, or holding earlier demos only.
        seed: decides ids, order of arrival and windows.
        environ: settings, e.g. LEDGER_DATABASE_URL (which then must name an empty database).
        display: is told what happens.
        scale: of the working day; every other act is played whole.

    Raises:
        RefusedError: when the directory holds something else, or the database a ledger.
        LedgerError: when something doesn't work; the text says what to do.
    """
    began = time.monotonic()
    folder = new_run(data_dir)
    clock = VirtualClock(START_MS)
    with (
        open_ledger(folder, environ, clock=clock, ids=SeededIds(seed), entropy=SystemEntropy()) as ledger,
        KeepPool() as keeps,
    ):
        _require_empty(ledger)
        chance = random.Random(seed)  # noqa: S311 - the story's order, not a secret
        stage = LocalScene(ledger=ledger, clock=clock, keeps=keeps, display=display, folder=folder, chance=chance)
        founding.found(stage)
        with anchoring(stage) as anchors:
            anchors.round()
            for act in (
                workday.compete,
                partial(workday.work, scale=scale),
                refusals.dedicate,
                faults.fail,
                sharing.share,
                expiry.expire,
                doubt.dispute,
            ):
                act(stage)
                anchors.round()
            proofs = proof.prove(stage, anchors)
        events = sum(ledger.head(log.log_id).size for log in ledger.logs())
    seconds = round(time.monotonic() - began, 1)
    lines = summary(stage.board, proofs, folder, events=events, seconds=seconds, kept_apart=len(stage.kept_apart))
    return Played(_result(stage, proofs, events, seconds), lines)


def _require_empty(ledger: Ledger) -> None:
    if ledger.logs():
        raise RefusedError("the database holds a ledger already; unset LEDGER_DATABASE_URL or name an empty database")


def _result(stage: Stage, proofs: tuple[Proof, ...], events: int, seconds: float) -> DemoResult:
    counts = stage.board.counts
    return DemoResult(
        tenants=len(MEMBERS),
        nodes=len(NODES),
        submitted=counts["submitted"],
        executed=counts["executed"],
        cacs=counts["cacs"],
        faulted=counts["faulted"],
        reauthorised=counts["reauthorised"],
        events=events,
        denied=dict(sorted(stage.board.denied.items())),
        verified=all(found.verified and found.replayed for found in proofs),
        bundles={found.name: str(found.path) for found in proofs if found.name != PLATFORM},
        seconds=seconds,
    )
