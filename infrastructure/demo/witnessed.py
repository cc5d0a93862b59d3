"""The anchor log of the demo: a witness that answers over HTTP on loopback, and a round at the end of each act.

The witness is a process's of its own in earnest; here a thread plays it, with its own key and its own memory.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.transparency.note import VerifierKey
from domain.transparency.tlog_policy import PolicyGroup, PolicyWitness, TlogPolicy
from infrastructure.anchors.keys import anchor_signer
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.running import publish_logs
from infrastructure.anchors.trust import log_trust, trust_policy, write_trust
from infrastructure.anchors.witnesses import WITNESSES
from infrastructure.clock import Clock
from infrastructure.demo.stage import Stage
from infrastructure.entropy import Entropy
from infrastructure.postgres.records import Log
from infrastructure.publish.publisher import Publisher
from infrastructure.witness.serve import init_witness, witness_server

NAME = "witness.example/demo"
_POLL_S = 0.05


class Anchoring:
    """Publishes all logs and makes rounds that the witness cosigns.

    Args:
        stage: the cell.
        policy: the witness and its quorum.
    """

    def __init__(self, stage: Stage, policy: TlogPolicy) -> None:
        self._ledger = stage.ledger
        self._policy = policy
        self._rounds = AnchorPublisher(stage.ledger, policy, tell=stage.display.say)
        self._logs = Publisher(stage.ledger)

    def round(self) -> None:
        """Publish what happened, and commit to it."""
        publish_logs(self._logs, self._rounds.tell)
        self._rounds.turn()

    def trust(self, log: Log, out: Path) -> TlogPolicy:
        """Write what a log's auditor is given; return the policy in it."""
        policy = trust_policy(self._ledger, self._policy, log)
        write_trust(out, policy, log_trust(self._ledger, log))
        return policy


@contextmanager
def anchoring(stage: Stage) -> Iterator[Anchoring]:
    """Make a witness, name it in the data directory, and let it answer as long as the demo runs."""
    log_keys = anchor_signer(stage.ledger).verifier_keys()
    with witnessing(stage.folder / "witness", log_keys, stage.clock, stage.ledger.entropy) as policy:
        (stage.folder / WITNESSES).write_bytes(policy.to_bytes())
        yield Anchoring(stage, policy)


@contextmanager
def witnessing(
    directory: Path, log_keys: tuple[VerifierKey, ...], clock: Clock, entropy: Entropy
) -> Iterator[TlogPolicy]:
    """Make a witness of the anchor log with these keys, let it answer meanwhile, and yield the policy that asks it."""
    keys = init_witness(directory, NAME, entropy)
    with witness_server(directory, log_keys=log_keys, clock=clock) as server:
        answering = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="demo-witness")
        answering.start()
        try:
            yield _policy(keys, f"http://127.0.0.1:{server.server_port}/")
        finally:
            server.shutdown()
            answering.join()


def _policy(keys: tuple[VerifierKey, ...], url: str) -> TlogPolicy:
    """Return the policy that asks one witness with two keys; either of them counts."""
    names = ("demo-ed25519", "demo-mldsa44")
    witnesses = tuple(PolicyWitness(name, key, url) for name, key in zip(names, keys, strict=True))
    return TlogPolicy((), witnesses, (PolicyGroup("demo", 1, names),), "demo")
