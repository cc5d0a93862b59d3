"""Real-time work of one installation: the decider, and the nodes whose keys lie here, until nothing is left to do."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from domain.errors import LedgerError
from domain.message import Recorded
from infrastructure.attestation.attesting import Attester, own_machine
from infrastructure.attestation.synthetic.platform import Kind
from infrastructure.decider import Decider
from infrastructure.deciding import LEASE
from infrastructure.heartbeat import Heartbeat
from infrastructure.keys import wallet as wallets
from infrastructure.keys.private_files import locked
from infrastructure.ledger import Ledger
from infrastructure.node.journal import is_run
from infrastructure.node_agent import NodeAgent, Running
from infrastructure.postgres.leases import Leases
from infrastructure.projector import Projector
from infrastructure.rotation import rotate_what_is_due
from infrastructure.runtime.pool import KeepPool

NODES = "nodes"

_LOCK = "work.lock"
_LOOK_S = 0.2


def remember_node(data_dir: Path, node: str, wallet: Path, platform: Kind | None = None) -> None:
    """Note that a node is run by this installation, where its wallet lies, and on which kind of synthetic machine."""
    folder = data_dir / NODES
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / node).write_text(f"{wallet.resolve()}\n" + (f"{platform}\n" if platform else ""))


def local_nodes(data_dir: Path) -> dict[str, Path]:
    """Return the nodes that this installation runs, with their wallets' paths."""
    folder = data_dir / NODES
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {entry.name: Path(entry.read_text().splitlines()[0]) for entry in found if entry.is_file()}


def local_attesters(ledger: Ledger, data_dir: Path) -> dict[str, Attester]:
    """Return what makes the evidence of those nodes here that run on synthetic machines, by node.

    Raises:
        MalformedError: when a node's machine is of no kind that there is.
    """
    attesters: dict[str, Attester] = {}
    for node in local_nodes(data_dir):
        lines = (data_dir / NODES / node).read_text().splitlines()
        if len(lines) > 1:
            attesters[node] = own_machine(data_dir, lines[1], node, ledger.clock.now_ms)
    return attesters


def work(
    ledger: Ledger,
    data_dir: Path,
    *,
    watcher: Callable[[Recorded], None] | None = None,
    trouble: Callable[[str], None] | None = None,
) -> int:
    """Decide, execute and report until nothing is left to do here. Returns how many executions were run.

    One process at a time works a data directory; another one waits, and does what is left. What a process that died
    left in the middle is ended first. Data keys that have sealed often are rotated.

    Args:
        ledger: the ledger.
        data_dir: whose nodes work.
        watcher: is told every event after those whose views were stored before.
        trouble: is told, in words, what went wrong with one execution; the others go on.

    Raises:
        FencedError: when another decider has taken over.
        UnknownError: when a node's wallet is not where it was.
    """
    with locked(data_dir / _LOCK), Leases(ledger.datastore) as leases:
        # Where a standing decider is at work, this only executes what that one places.
        decides = leases.take(LEASE)
        decider = Decider(ledger, watcher)
        done = _work(ledger, data_dir, decider, trouble, decider.settle if decides else decider.catch_up)
    rotate_what_is_due(ledger)
    Projector(ledger).catch_up()
    return done


def _work(
    ledger: Ledger,
    data_dir: Path,
    decider: Decider,
    trouble: Callable[[str], None] | None,
    settle: Callable[[], object],
) -> int:
    # A node that stands in a process of its own (`node run`) does its work there.
    nodes = {name: wallets.load(path) for name, path in local_nodes(data_dir).items() if not is_run(path)}
    with ExitStack() as stack:
        keeps = stack.enter_context(KeepPool())
        machines = local_attesters(ledger, data_dir)
        agents = {name: NodeAgent(ledger, wallet, keeps, machines.get(name)) for name, wallet in nodes.items()}
        heartbeat = stack.enter_context(Heartbeat(agents, decider.catch_up(), trouble))  # first of all: they are alive
        bench = _Bench(ledger, decider, agents, trouble)
        while True:
            settle()
            heartbeat.note(decider.state)
            if not bench.turn():
                return bench.done


class _Bench:
    """The executions of the nodes here: started one after the other; those that wait for a releaser stay prepared."""

    def __init__(
        self, ledger: Ledger, decider: Decider, agents: dict[str, NodeAgent], trouble: Callable[[str], None] | None
    ) -> None:
        self._ledger = ledger
        self._decider = decider
        self._agents = agents
        self._trouble = trouble or (lambda _: None)
        self._failed: set[tuple[str, str]] = set()
        self._waits: dict[str, tuple[NodeAgent, Running]] = {}
        self.done = 0

    def turn(self) -> bool:
        """Do one thing, or wait a moment for a releaser; tell whether there may be more to do."""
        state = self._decider.state
        for gone in self._waits.keys() - state.live.keys():  # no release within the window: it is abandoned
            agent, running = self._waits.pop(gone)
            agent.resume(state, running)
        ready = sorted(
            (live.phase == "reserved", execution, live.node)
            for execution, live in state.live.items()
            if live.node in self._agents and (execution, live.phase) not in self._failed
            if execution not in self._waits or live.phase != "awaiting"
        )
        if not ready:
            if self._waits:
                time.sleep(_LOOK_S)
            return bool(self._waits)
        _, execution, node = ready[0]
        phase = state.live[execution].phase
        try:
            if phase == "reserved":
                self._start(self._agents[node], execution)
            elif execution in self._waits:
                self._go_on(execution)
            else:
                self._agents[node].recover(self._decider.catch_up(), execution)
        except LedgerError as error:
            self._failed.add((execution, phase))
            self._trouble(f"{execution} on {node}: {error}")
        return True

    def _start(self, agent: NodeAgent, execution: str) -> None:
        began_ms = self._ledger.clock.now_ms()
        running = agent.start(self._decider.catch_up(), execution)
        if running is not None and running.result is None:
            self._waits[execution] = agent, running
            self._trouble(f"{execution} waits for its tenant's releaser (`enclave-ledger release run`)")
            return
        self.done += 1
        if running is not None:
            agent.finish(self._decider.catch_up(), running, self._ledger.clock.now_ms() - began_ms)

    def _go_on(self, execution: str) -> None:
        agent, running = self._waits.pop(execution)
        began_ms = self._ledger.clock.now_ms()
        if agent.resume(self._decider.catch_up(), running):
            self.done += 1
            agent.finish(self._decider.catch_up(), running, self._ledger.clock.now_ms() - began_ms)
