"""A tenant's log in a cell that anchors and is witnessed, and its bundles: with every key, and without."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infrastructure.anchors.exporting import bundle_files
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.audit.verify import verify_bundle
from infrastructure.keys.sealing import Sealer
from infrastructure.ledger import Answer
from infrastructure.statements.acknowledgement import KEY_FILE
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.reader import read_entries
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from tests.anchoring.stage import Stage, copy_of, policy_of
from tests.commands.cell import ENTROPY, Member, founded

AT_S = 1_700_000_100


@dataclass
class Scene:
    """The cell, and what an auditor of its first tenant was given.

    `disclosed` has the keys of all streams, `sealed` none; both have the openings of all rounds. `acks` holds what the
    tenant was acknowledged.
    """

    stage: Stage
    disclosed: Path
    sealed: Path
    acks: Path

    @property
    def member(self) -> Member:
        """Return the tenant."""
        return self.stage.members[0]

    @property
    def neighbour(self) -> Member:
        """Return another one."""
        return self.stage.members[1]

    @property
    def signer(self) -> LogSigner:
        """Return the log's true keys."""
        return log_signer(self.stage.ledger, self.member.log_id)

    def sealer(self) -> Sealer:
        """Return a sealer with the log's true data key."""
        return Sealer(self.stage.log().origin, self.stage.ledger.keyring.get(self.member.log_id).data_key, ENTROPY)

    def entries(self, bundle: Path | None = None) -> list[bytes]:
        """Return a bundle's entries; the disclosed one's where none is named."""
        return list(read_entries(bundle or self.disclosed))

    def copy(self, bundle: Path) -> Path:
        """Return a copy to tamper with."""
        self.stage._numbers += 1
        return copy_of(bundle, str(self.stage._numbers))

    def bundle_of(self, member: Member) -> Path:
        """Return a bundle of a tenant, without keys."""
        return self.stage.export(member)

    def rewritten(
        self,
        entries: Iterable[bytes],
        *,
        keys: bytes | None = None,
        disclosed: bool = True,
        anchored: bool = True,
        signer: LogSigner | None = None,
    ) -> Path:
        """Write a bundle of other entries as its operator can: every file made for them, signed by the log's true keys.

        Args:
            entries: of the log.
            keys: keys.json in the place of the true one.
            disclosed: whether there are keys at all.
            anchored: whether the true openings go along.
            signer: in the place of the true one.
        """
        kept = list(entries)
        self.stage._numbers += 1
        out = self.disclosed.with_name(f"rewritten-{self.stage._numbers}")
        extra = {KEY_FILE: (self.disclosed / KEY_FILE).read_bytes()}
        if disclosed:
            extra[KEYS] = keys or (self.disclosed / KEYS).read_bytes()
        openings = dict(bundle_files(self.stage.ledger, self.stage.log())) if anchored else {}
        write_bundle(
            kept, size=len(kept), signer=signer or self.signer, at_unix_s=AT_S, out=out,
            extra=(extra | openings).items(),
        )  # fmt: skip
        return out

    def alone(self, bundle: Path) -> Verification:
        """Verify with nothing from outside."""
        return verify_bundle(bundle)

    def with_key(self, bundle: Path) -> Verification:
        """Verify with the log's key from outside."""
        return verify_bundle(bundle, log_keys=[str(self.signer.verifier_keys()[0])])

    def with_policy(self, bundle: Path) -> Verification:
        """Verify with the tenant's policy."""
        return self.stage.verify(bundle)[0]


@contextmanager
def scene_of(folder: Path, conninfo: str) -> Iterator[Scene]:
    """Make a cell whose first tenant has governed and submitted, over six rounds."""
    with ExitStack() as stack:
        cell = founded(folder, conninfo)
        stack.callback(cell.close)
        stage = Stage(cell, [cell.join("ClimateDAO"), cell.join("OceanDAO")], stack)
        acks = folder / "acks"
        acks.mkdir()

        def hear(answer: Answer) -> None:
            for recorded, one in zip(answer.recorded, answer.acknowledgements, strict=True):
                if recorded.log_id == stage.members[0].log_id:
                    (acks / f"{recorded.leaf_index:03}.ack").write_bytes(one.to_bytes())

        cell.ledger.on_answer = hear
        stage.policy = policy_of([stage.witness("w1.example")])
        for number in range(6):
            stage.grow(stage.members[number % 2])
            if number in (1, 3):
                cell.submit(stage.members[0])
            stage.turn()
        sealed = stage.export()
        disclosed = folder / "disclosed"
        further = bundle_files(stage.ledger, stage.log())
        export_bundle(stage.ledger, stage.log().log_id, disclosed, with_keys="all", further=further)
        yield Scene(stage, disclosed, sealed, acks)


def flipped(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def gone(path: Path) -> None:
    """Remove a copy."""
    shutil.rmtree(path)
