"""Last act: everything is exported, verified and replayed as by an outsider, and compared with the live views."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.audit.replay import replay_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.demo.stage import Stage
from infrastructure.projector import Projector
from infrastructure.tlog.verdict import VERIFIED

PLATFORM = "platform"

_REPLAY = {True: "replay equals the live state", False: "replay differs from the live state"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What an outsider found of one log. `log_key` came from the keyring, not from the bundle."""

    name: str
    path: Path
    log_key: str
    size: int
    root: str
    verified: bool
    replayed: bool
    error: str


def prove(stage: Stage) -> tuple[Proof, ...]:
    """Play the act: one proof for each tenant, the last one for the platform log."""
    stage.display.act("An outsider looks: export, verify and replay every history")
    folder = stage.folder / "bundles"
    folder.mkdir(mode=0o700)
    logs = {**stage.logs, PLATFORM: stage.ledger.platform().log_id}
    paths = {name: folder / name.replace("/", "-") for name in logs}
    for name, log_id in logs.items():
        export_bundle(stage.ledger, log_id, paths[name], with_keys="all", recipient="demo")
    stage.decider.catch_up()
    projector = Projector(stage.ledger)
    projector.catch_up()
    return tuple(_proof(stage, projector, name, log_id, paths[name]) for name, log_id in logs.items())


def _proof(stage: Stage, projector: Projector, name: str, log_id: UUID, path: Path) -> Proof:
    key = str(log_signer(stage.ledger, log_id).verifier_keys()[0])
    verdict = verify_bundle(path, log_keys=[key])
    verified = verdict.ok and verdict.trust == VERIFIED and verdict.size == stage.ledger.head(log_id).size
    replayed = verified and replay_bundle(path).digest == projector.digest(log_id)
    error = verdict.first_error or ("" if replayed else "the replayed state is not the live one")
    stage.display.say(f"{name}: {verdict.size} entries, {verdict.trust}, {_REPLAY[replayed]}")
    return Proof(name, path, key, verdict.size or 0, _base64(verdict.root_hex or ""), verified, replayed, error)


def _base64(digest: str) -> str:
    """Write a root as checkpoints do."""
    return b64encode(bytes.fromhex(digest)).decode()
