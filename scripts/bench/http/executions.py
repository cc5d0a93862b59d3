"""Executions that are about to start, and their reports, signed before anything is measured.

Invariants:
- Every execution came there as any other does: submitted, placed by the decider, taken by its node, its evidence
  appraised, its inputs released. What is measured is the report that follows: one event, durable before the answer.
- Submissions and evidence are handed in over many threads: that is not measured.
"""

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from domain.attestation.binding import Binding, report_data
from domain.bounds import Bounds
from domain.canonical import canonical
from domain.errors import UnavailableError, VerificationError
from domain.statements import REPORT
from infrastructure.client import acts
from infrastructure.client.signing import signed_by
from infrastructure.client.submission import read_submission_file
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import ed25519, hpke
from infrastructure.keys.wallet import Purpose
from infrastructure.runtime.measurement import engine_identity, runtime_measurement
from infrastructure.statements.payload import payload
from scripts.bench.http.stage import Node, Stage
from scripts.bench.lifecycle.stage import EXAMPLES

BATCH = 100
_AT_ONCE = 64
_WAIT_S = 120.0
_PAUSE_S = 0.05
_ENTROPY = SystemEntropy()


@dataclass(frozen=True, slots=True)
class Ready:
    """An execution whose inputs were released: what its next report follows."""

    execution: str
    origin: str
    node: Node
    prev: str

    def started(self) -> dict[str, Any]:
        """Return the members of the report that its clause runs."""
        return {"kind": "started", "execution": self.execution, "seq": 1, "prev": self.prev}

    def signed(self) -> tuple[str, str, str]:
        """Return the request that hands this report in, signed by itself."""
        return "POST", "/v1/reports", json.dumps({"report": _signed(self.node, self.origin, self.started())})


def make_ready(stage: Stage, count: int) -> list[Ready]:
    """Bring so many executions to where they start.

    Raises:
        UnavailableError: when they don't come there in time.
    """
    content, inputs = read_submission_file(EXAMPLES / "flood.submission.json")

    def submit(at: int) -> None:
        customer = stage.customers[at % len(stage.customers)]
        acts.submit(stage.ledger, customer.tenant, customer.wallet, content, inputs)

    found: list[Ready] = []
    lock, stop = threading.Lock(), threading.Event()

    def serve(node: Node) -> None:
        client, held = stage.client(node.wallet), list[str]()
        while not stop.is_set():
            asked = {"limit": _AT_ONCE, "wait_ms": 200, "holding": held[-4096:]}
            given = client.post("/v1/assignments", asked, wait_s=1.0)["assignments"]
            if given:
                made = _told(client.post, node, given)
                held += [one.execution for one in made]
                with lock:
                    found.extend(made)

    with ThreadPoolExecutor(len(stage.nodes)) as nodes:
        serving = [nodes.submit(serve, node) for node in stage.nodes]
        try:
            with ThreadPoolExecutor(len(stage.customers) * 2) as pool:
                list(pool.map(submit, range(count)))
            until_s = time.monotonic() + _WAIT_S
            while len(found) < count:
                for one in serving:
                    if one.done():
                        one.result()
                if time.monotonic() > until_s:
                    raise UnavailableError(f"only {len(found)} of {count} executions were placed in {_WAIT_S:.0f} s")
                time.sleep(_PAUSE_S)
        finally:
            stop.set()
    return found


def in_batches(ready: Sequence[Ready]) -> list[tuple[str, tuple[str, str, str]]]:
    """Return requests of so many reports each under one statement, of one node and one log; each with its node."""
    groups: dict[tuple[str, str], list[Ready]] = {}
    for one in ready:
        groups.setdefault((one.node.name, one.origin), []).append(one)
    parts = [group[at : at + BATCH] for group in groups.values() for at in range(0, len(group), BATCH)]
    return [(part[0].node.name, _batch(part)) for part in parts]


def _batch(part: list[Ready]) -> tuple[str, str, str]:
    texts = [canonical(one.started()).decode() for one in part]
    said = {"kind": "batch", "reports": [sha256(text.encode()).hexdigest() for text in texts]}
    token = _signed(part[0].node, part[0].origin, said)
    return "POST", "/v1/reports", json.dumps({"reports": [{"report": text} for text in texts], "batches": [token]})


def _told(post: Any, node: Node, given: list[dict[str, Any]]) -> list[Ready]:
    """Report evidence of the executions that were given out."""
    tokens = [_signed(node, made["origin"], _evidence(made)) for made in given]
    answers = post("/v1/reports", {"reports": [{"report": token} for token in tokens]})["answers"]
    if not all(answer.get("accepted") and "release" in answer for answer in answers):
        raise VerificationError(f"evidence was not accepted: {answers[0]}")
    return [
        Ready(made["execution"], made["origin"], node, sha256(token.encode()).hexdigest())
        for made, token in zip(given, tokens, strict=True)
    ]


def _evidence(made: dict[str, Any]) -> dict[str, Any]:
    """Return the report of an enclave that is never made: whoever starts here ends with the benchmark."""
    cac_key = ed25519.public_bytes(ed25519.private_key(_ENTROPY.bytes(32)))
    hpke_key = hpke.generate(_ENTROPY).public
    limits = canonical(Bounds.model_validate(made["limits"]).model_dump())
    binding = Binding(
        host=made["host"], origin=made["origin"], execution_id=made["execution"], node_id=made["node"],
        nonce=bytes.fromhex(made["nonce"]), module_digest=bytes.fromhex(made["module_digest"]),
        limits_digest=sha256(limits).digest(), policy_digest=bytes.fromhex(made["policy_digest"]),
        submission_digest=sha256(made["submission"].encode()).digest(), cac_key=cac_key, kem_id=hpke.KEM_ID,
        hpke_key_digest=sha256(hpke_key).digest(),
    )  # fmt: skip
    return {
        "kind": "evidence", "execution": made["execution"], "seq": 0, "prev": "0" * 64, "evidence_class": "software",
        "nonce": made["nonce"], "report_data": report_data(binding).hex(), "cac_key": cac_key.hex(),
        "hpke_kem_id": hpke.KEM_ID, "hpke_key": hpke_key.hex(), "engine": engine_identity(),
        "measurement": runtime_measurement(),
    }  # fmt: skip


def _signed(node: Node, origin: str, claims: dict[str, Any]) -> str:
    now_ms = int(time.time() * 1000)
    content = payload(iss=node.wallet.did(Purpose.REPORT), aud=origin, claims=claims, now_ms=now_ms, entropy=_ENTROPY)
    return signed_by([node.wallet], REPORT, content)[0]
