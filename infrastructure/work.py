"""Real-time work of one installation: the decider, and the nodes whose keys lie here, until nothing is left to do."""

from collections.abc import Callable
from pathlib import Path

from domain.errors import LedgerError
from domain.message import Recorded
from infrastructure.decider import Decider
from infrastructure.deciding import LEASE
from infrastructure.keys import wallet as wallets
from infrastructure.keys.private_files import locked
from infrastructure.ledger import Ledger
from infrastructure.node_agent import NodeAgent
from infrastructure.postgres.leases import Leases
from infrastructure.projector import Projector
from infrastructure.rotation import rotate_what_is_due
from infrastructure.runtime.pool import KeepPool

NODES = "nodes"

_LOCK = "work.lock"


def remember_node(data_dir: Path, node: str, wallet: Path) -> None:
    """Note that a node is run by this installation, and where its wallet lies."""
    folder = data_dir / NODES
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / node).write_text(f"{wallet.resolve()}\n")


def local_nodes(data_dir: Path) -> dict[str, Path]:
    """Return the nodes that this installation runs, with their wallets' paths."""
    folder = data_dir / NODES
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {entry.name: Path(entry.read_text().rstrip("\n")) for entry in found if entry.is_file()}


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
    nodes = {name: wallets.load(path) for name, path in local_nodes(data_dir).items()}
    done, failed = 0, set[tuple[str, str]]()
    with KeepPool() as keeps:
        agents = {name: NodeAgent(ledger, wallet, keeps) for name, wallet in nodes.items()}
        while True:
            settle()
            ready = sorted(
                (live.phase == "reserved", execution, live.node)
                for execution, live in decider.state.live.items()
                if live.node in agents and (execution, live.phase) not in failed
            )
            if not ready:
                break
            reserved, execution, node = ready[0]
            phase = decider.state.live[execution].phase
            try:
                if reserved:
                    _execute(ledger, decider, agents[node], execution)
                    done += 1
                else:
                    agents[node].recover(decider.catch_up(), execution)
            except LedgerError as error:
                failed.add((execution, phase))
                if trouble is not None:
                    trouble(f"{execution} on {node}: {error}")
    return done


def _execute(ledger: Ledger, decider: Decider, agent: NodeAgent, execution: str) -> None:
    began = ledger.clock.now_ms()
    running = agent.start(decider.catch_up(), execution)
    if running is not None:
        agent.finish(decider.catch_up(), running, ledger.clock.now_ms() - began)
