"""The demo as a service, from founding to an auditor's proof: `demo --serve`."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from domain.errors import RefusedError
from infrastructure.anchors.keys import anchor_signer
from infrastructure.anchors.witnesses import WITNESSES
from infrastructure.clock import SystemClock
from infrastructure.demo import doubt, expiry, faults, refusals, sharing
from infrastructure.demo.cast import JUDGES as JUDGING
from infrastructure.demo.cast import MEMBERS, RELIEF, RESOLVER
from infrastructure.demo.display import Display
from infrastructure.demo.folder import new_run
from infrastructure.demo.founding import say_judgements
from infrastructure.demo.run import DemoResult
from infrastructure.demo.served.children import Children
from infrastructure.demo.served.founding import Founded
from infrastructure.demo.served.people import People
from infrastructure.demo.served.processes import Processes
from infrastructure.demo.served.proof import prove
from infrastructure.demo.served.scene import AUDITOR, FIRST, THIRD, ServedScene
from infrastructure.demo.served.summary import summary
from infrastructure.demo.witnessed import witnessing
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.ledger import open_ledger

ROUND_S: Final = "3"
_OTHERS: Final = ("LEDGER_SERVE_", "LEDGER_CONFIG", "LEDGER_DATA_DIR")
"""Settings that would make the demo's service another one."""
NODES: Final = (*FIRST, RELIEF, THIRD)


@dataclass(frozen=True, slots=True)
class ServedResult(DemoResult):
    """What a served demo came to, beside what every demo does: where it is served, and the dispute that was decided."""

    server: str
    dispute: str
    overturned: int


@dataclass(frozen=True, slots=True)
class ServedDemo:
    """A demo that was played: its result, and the same in words with what to try next."""

    members: ServedResult
    summary: tuple[str, ...]


def serve_demo(
    data_dir: Path,
    *,
    seed: int,
    port: int,
    environ: Mapping[str, str],
    display: Display,
    played: Callable[[ServedDemo], None],
    keep: bool = False,
) -> ServedDemo:
    """Run the demo as a service in a new subdirectory of `data_dir`; end all of its processes.

    Args:
        data_dir: empty, new, or holding earlier demos only.
        seed: decides what is asked.
        port: of the service; 0 for a free one.
        environ: settings, e.g. LEDGER_DATABASE_URL (which then must name an empty database).
        display: is told what happens.
        played: is told the result while the service still stands.
        keep: leave it up until TERM or an interrupt.

    Raises:
        RefusedError: when the directory holds something else, or the database a ledger.
        KeyboardInterrupt: when it is to end before it was played; nothing is left running.
        LedgerError: when something doesn't work; the text says what to do.
    """
    began = time.monotonic()
    folder = new_run(data_dir)
    with ExitStack() as stack:
        asked_to_end = stack.enter_context(_ends())
        scene, url = _stand(stack, folder, seed, port, environ, display)
        dispute = _play(scene)
        proofs = prove(scene)
        scene.hear()
        seconds = round(time.monotonic() - began, 1)
        events = sum(proof.size for proof in proofs)
        lines = summary(scene, proofs, url, dispute, events=events, seconds=seconds, keep=keep)
        counts = scene.board.counts
        members = ServedResult(
            tenants=len(MEMBERS), nodes=len(NODES), submitted=counts["submitted"], executed=counts["executed"],
            cacs=counts["cacs"], faulted=counts["faulted"], reauthorised=counts["reauthorised"], events=events,
            denied=dict(sorted(scene.board.denied.items())), verified=all(it.verified and it.replayed for it in proofs),
            bundles={it.name: str(it.path) for it in proofs if it.name in scene.listeners}, seconds=seconds,
            server=url, dispute=dispute, overturned=counts["overturned"],
        )  # fmt: skip
        found = ServedDemo(members, lines)
        played(found)
        if keep:
            asked_to_end.wait(scene.processes.require_running)
    return found


def _stand(
    stack: ExitStack, folder: Path, seed: int, port: int, environ: Mapping[str, str], display: Display
) -> tuple[ServedScene, str]:
    """Found the cell, start the service and two nodes, and let people govern."""
    display.act("Founding, in the operator's data directory: a cell, five tenants, a reserve's standing offer")
    clock = SystemClock()
    with open_ledger(folder, environ, clock=clock, ids=SystemIds(), entropy=SystemEntropy()) as ledger:
        if ledger.logs():
            raise RefusedError("the database holds a ledger already; unset LEDGER_DATABASE_URL or name an empty one")
        founded = Founded(folder, ledger)
        operators = {facts.operator for facts in NODES}
        founded.begin((*JUDGING, RESOLVER, AUDITOR, *sorted(operators)), NODES)
        log_keys = anchor_signer(ledger).verifier_keys()
        witness = stack.enter_context(witnessing(folder / "witness", log_keys, clock, ledger.entropy))
        (folder / WITNESSES).write_bytes(witness.to_bytes())
        founded.tell(witness)
        processes = Processes(folder, stack.enter_context(Children(folder, _environment(environ))))
        display.act("The service: one process with all roles, two nodes, people with their clients; all speak HTTP")
        url: str = processes.serve(port)["url"]  # before this process leaves the database, which so stays up
    display.say(f"serving on {url}")
    people = stack.enter_context(People(folder, founded.believed))
    people.url = url
    scene = ServedScene(founded, people, processes, display, random.Random(seed))  # noqa: S311 - a story's order
    say_judgements(scene)
    scene.begin()
    return scene, url


def _play(scene: ServedScene) -> str:
    """Play the acts; return the dispute's id."""
    scene.display.act("A credential has run out")
    expiry.renew(scene)
    for act in (refusals.refuse, sharing.share, faults.fail):
        act(scene)
    return doubt.dispute(scene)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the demo's processes: rounds of the anchor log come more often than usual."""
    root = str(Path(__file__).resolve().parents[3])
    found = os.pathsep.join(filter(None, (root, environ.get("PYTHONPATH", ""))))
    kept = {name: value for name, value in environ.items() if not name.startswith(_OTHERS)}
    return {**kept, "PYTHONPATH": found, "LEDGER_ROUND_INTERVAL_S": ROUND_S}


class Ends:
    """Whether somebody asked the demo to end."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.waiting = False

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal: what is played is broken off, what stands ends."""
        if self.waiting or self._asked.is_set():
            self._asked.set()
            return
        self._asked.set()
        raise KeyboardInterrupt

    def wait(self, look: Callable[[], None]) -> None:
        """Wait for a signal, and look at something meanwhile."""
        self.waiting = True
        while not self._asked.wait(0.5):
            look()


@contextmanager
def _ends() -> Iterator[Ends]:
    """Take TERM and interrupts meanwhile, also where whoever started this ignores them."""
    ends = Ends()
    if threading.current_thread() is not threading.main_thread():
        yield ends
        return
    before = {number: signal.signal(number, ends.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ends
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
