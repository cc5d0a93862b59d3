"""Last act: the auditor exports every log over HTTP, verifies it with keys from outside, and replays it.

What the service told each tenant, and the platform's operator, entry by entry, is folded as well, and has to come to
the same state: a service that tells its tenants one thing and auditors another is noticed.
"""

import time
from typing import Final

from domain.time import SECOND_MS
from domain.transparency.tlog_policy import parse_policy
from infrastructure.audit.anchored import Expected, verify_anchored
from infrastructure.audit.replay import replay_bundle
from infrastructure.demo.board import Board
from infrastructure.demo.proof import PLATFORM, Proof, base64_root
from infrastructure.demo.served.listening import Listener
from infrastructure.demo.served.scene import AUDITOR, ServedScene
from infrastructure.keys.wallet import Purpose
from infrastructure.tlog.verdict import VERIFIED

_SAME: Final = {True: "replay equals what was told over HTTP", False: "REPLAY DIFFERS from what was told over HTTP"}
_LOOKS: Final = 50
_LOOK_S: Final = 0.1


def prove(scene: ServedScene) -> tuple[Proof, ...]:
    """Play the act: one proof for each tenant, the last one for the platform log."""
    scene.display.act("An auditor looks, over HTTP: export, verify and replay every history")
    (scene.founded.folder / "bundles").mkdir(mode=0o700)
    return tuple(_proof(scene, name) for name in (*scene.listeners, PLATFORM))


def _proof(scene: ServedScene, name: str) -> Proof:
    believed = scene.founded.believed[name]
    path = scene.founded.folder / "bundles" / name.replace("/", "-")
    verdict = scene.people.remote(name, scene.wallet(AUDITOR), Purpose.REPORT).bundle(path)
    policy = parse_policy(believed.trust.read_bytes())
    verdict, anchored = verify_anchored(path, verdict, Expected(policy, now_unix_s=scene.now_ms() // SECOND_MS))
    history = "not anchored" if anchored is None else anchored.history
    verified, size = verdict.ok and verdict.trust == VERIFIED, verdict.size or 0
    found = replay_bundle(path)
    listener = scene.listeners.get(name) or Listener(scene.operator(), believed, Board())
    _hear(listener, size)
    same = verified and listener.replayed(size).digest == found.digest
    scene.display.say(f"{name}: {size} entries, {verdict.trust}, {history}, {_SAME[same]}")
    error = verdict.first_error or ("" if same else "what the service told is not what the bundle proves")
    return Proof(name, path, believed.trust, history, size, base64_root(verdict.root_hex or ""), verified, same, error)


def _hear(listener: Listener, size: int) -> None:
    """Take in what is told, up to a size at least: it may be a moment behind."""
    for _ in range(_LOOKS):
        listener.hear()
        if len(listener.told) >= size:
            return
        time.sleep(_LOOK_S)
