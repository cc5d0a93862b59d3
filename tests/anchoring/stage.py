"""A small cell that anchors, with real witnesses over HTTP."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from domain.time import SECOND_MS
from domain.transparency.note import VerifierKey
from domain.transparency.tlog_policy import PolicyGroup, PolicyWitness, TlogPolicy
from infrastructure.anchors.exporting import bundle_files
from infrastructure.anchors.openings import RoundRange
from infrastructure.anchors.places import anchor_tiles
from infrastructure.anchors.publisher import AnchorPublisher, Turn
from infrastructure.anchors.rounds import Rounds
from infrastructure.anchors.running import publish_logs
from infrastructure.anchors.trust import log_trust, trust_policy
from infrastructure.anchors.witnesses import NOBODY
from infrastructure.audit.anchored import Anchored, Expected, verify_anchored
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log
from infrastructure.publish.publisher import Publisher
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.verdict import Verification
from infrastructure.witness.serve import init_witness, witness_keys, witness_server
from tests.commands.cell import ENTROPY, HOST, Cell, Member

ROUND_MS = 60_000


@dataclass
class RunningWitness:
    """A witness that answers on a loopback port; its directory is its memory."""

    directory: Path
    url: str
    keys: tuple[VerifierKey, ...]

    @property
    def name(self) -> str:
        return self.keys[0].name


def policy_of(witnesses: Sequence[RunningWitness], threshold: int | None = None) -> TlogPolicy:
    """Return the policy that asks these witnesses; each counts once, and `threshold` of them (all) are the quorum."""
    if not witnesses:
        return NOBODY
    lines, groups = [], []
    for number, witness in enumerate(witnesses):
        names = tuple(f"w{number}-{kind}" for kind in ("ed25519", "mldsa44"))
        lines += [PolicyWitness(name, key, witness.url) for name, key in zip(names, witness.keys, strict=True)]
        groups.append(PolicyGroup(f"w{number}", 1, names))
    members = tuple(group.name for group in groups)
    groups.append(PolicyGroup("quorum", threshold or len(members), members))
    return TlogPolicy((), tuple(lines), tuple(groups), "quorum")


@dataclass
class Stage:
    """A cell with a tenant or two that anchors."""

    cell: Cell
    members: list[Member]
    stack: ExitStack
    policy: TlogPolicy = NOBODY
    told: list[str] = field(default_factory=list)
    timeout_s: float = 5.0
    _numbers: int = 0

    @property
    def ledger(self) -> Ledger:
        return self.cell.ledger

    @property
    def data(self) -> Path:
        return self.cell.folder / "data"

    @property
    def anchors(self) -> TileDirectory:
        return anchor_tiles(self.ledger, f"{HOST}/anchors")

    @property
    def rounds(self) -> Rounds:
        return Rounds(self.ledger.datastore)

    def log(self, member: Member | None = None) -> Log:
        return self.ledger.log((member or self.members[0]).log_id)

    def publisher(self) -> AnchorPublisher:
        return AnchorPublisher(self.ledger, self.policy, timeout_s=self.timeout_s, tell=self.told.append)

    def grow(self, member: Member | None = None) -> None:
        """Let something happen in a tenant's log."""
        (member or self.members[0]).adopt({"kind": "in_country"})

    def turn(self, *, every_ms: int = 0, publish: bool = True) -> Turn:
        """Let a minute pass, publish all logs, make a round."""
        self.cell.clock.advance_to(self.cell.clock.now_ms() + ROUND_MS)
        if publish:
            publish_logs(Publisher(self.ledger), self.told.append)
        return self.publisher().turn(every_ms=every_ms)

    def witness(self, name: str, *, directory: Path | None = None) -> RunningWitness:
        """Make and serve a witness of the anchor log."""
        path = directory or self.cell.folder / f"witness-{name.replace('/', '-')}"
        if directory is None:
            init_witness(path, name, ENTROPY)
        keys = self.publisher()._signer.verifier_keys()
        server = self.stack.enter_context(witness_server(path, log_keys=keys, clock=self.cell.clock))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(server.shutdown)
        return RunningWitness(path, f"http://127.0.0.1:{server.server_port}", witness_keys(path))

    def export(self, member: Member | None = None, *, rounds: RoundRange | None = None) -> Path:
        """Export a tenant's bundle with its openings."""
        log = self.log(member)
        self._numbers += 1
        out = self.cell.folder / f"bundle-{self._numbers}"
        export_bundle(self.ledger, log.log_id, out, further=bundle_files(self.ledger, log, rounds))
        return out

    def expected(self, member: Member | None = None, *, max_age_s: int | None = None) -> Expected:
        """Return what the tenant's auditor was given."""
        log = self.log(member)
        return Expected(
            trust_policy(self.ledger, self.policy, log), (), log_trust(self.ledger, log),
            self.ledger.clock.now_ms() // SECOND_MS, max_age_s,
        )  # fmt: skip

    def verify(self, bundle: Path, expected: Expected | None = None) -> tuple[Verification, Anchored | None]:
        """Verify a bundle as `audit verify --policy` does."""
        asked = self.expected() if expected is None else expected
        keys = [str(log.key) for log in asked.policy.logs] if asked.policy else []
        return verify_anchored(bundle, verify_bundle(bundle, log_keys=keys), asked)


@contextmanager
def staged(folder: Path, conninfo: str, *, tenants: int = 1) -> Iterator[Stage]:
    """Make a cell with tenants; nothing is published yet."""
    with ExitStack() as stack:
        cell = Cell(folder, conninfo)
        stack.callback(cell.close)
        acts.begin_cell(cell.ledger, HOST, [cell.root], 1)
        yield Stage(cell, [cell.join() for _ in range(tenants)], stack)


def copy_of(bundle: Path, name: str) -> Path:
    """Return a copy of a bundle that a test may tamper with."""
    return Path(shutil.copytree(bundle, bundle.with_name(f"{bundle.name}-{name}")))
