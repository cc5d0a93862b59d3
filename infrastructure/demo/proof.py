"""Last act: everything is exported, verified and replayed as by an outsider, and compared with the live views."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from domain.time import SECOND_MS
from infrastructure.anchors.exporting import bundle_files
from infrastructure.audit.anchored import Expected, verify_anchored
from infrastructure.audit.export import EVERYTHING, export_bundle
from infrastructure.audit.replay import replay_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.demo.stage import Stage
from infrastructure.demo.witnessed import Anchoring
from infrastructure.postgres.records import Log
from infrastructure.projector import Projector
from infrastructure.tlog.verdict import VERIFIED

PLATFORM = "platform"

_REPLAY = {True: "replay equals the live state", False: "replay differs from the live state"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What an outsider found of one log. `policy` holds the keys of log and witness; none came from the bundle.

    `history` says in which rounds of the anchor log everybody is shown this one history.
    """

    name: str
    path: Path
    policy: Path
    history: str
    size: int
    root: str
    verified: bool
    replayed: bool
    error: str


def prove(stage: Stage, anchors: Anchoring) -> tuple[Proof, ...]:
    """Play the act: one proof for each tenant, the last one for the platform log."""
    stage.display.act("An outsider looks: export, verify and replay every history")
    for folder in ("bundles", "trust"):
        (stage.folder / folder).mkdir(mode=0o700)
    logs = {name: stage.ledger.log(log_id) for name, log_id in stage.logs.items()}
    logs[PLATFORM] = stage.ledger.platform()
    paths = {name: stage.folder / "bundles" / name.replace("/", "-") for name in logs}
    for name, log in logs.items():
        openings = bundle_files(stage.ledger, log)
        export_bundle(stage.ledger, log.log_id, paths[name], with_keys=EVERYTHING, recipient="demo", further=openings)
    stage.decider.catch_up()
    projector = Projector(stage.ledger)
    projector.catch_up()
    return tuple(_proof(stage, anchors, projector, name, log, paths[name]) for name, log in logs.items())


def _proof(stage: Stage, anchors: Anchoring, projector: Projector, name: str, log: Log, path: Path) -> Proof:
    trust = stage.folder / "trust" / f"{path.name}.policy"
    policy = anchors.trust(log, trust)
    expected = Expected(policy, now_unix_s=stage.clock.now_ms() // SECOND_MS)
    verdict = verify_bundle(path, log_keys=[str(listed.key) for listed in policy.logs])
    verdict, anchored = verify_anchored(path, verdict, expected)
    history = "not anchored" if anchored is None else anchored.history
    verified = verdict.ok and verdict.trust == VERIFIED and verdict.size == stage.ledger.head(log.log_id).size
    replayed = verified and replay_bundle(path).digest == projector.digest(log.log_id)
    error = verdict.first_error or ("" if replayed else "the replayed state is not the live one")
    stage.display.say(f"{name}: {verdict.size} entries, {verdict.trust}, {history}, {_REPLAY[replayed]}")
    root = base64_root(verdict.root_hex or "")
    return Proof(name, path, trust, history, verdict.size or 0, root, verified, replayed, error)


def base64_root(digest: str) -> str:
    """Write a root as checkpoints do."""
    return b64encode(bytes.fromhex(digest)).decode()
