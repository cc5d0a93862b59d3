"""CACs as somebody makes them who holds the enclave's key, and if need be the tenant's too."""

import copy
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.bounds import Bounds
from domain.cacs.claims import CacClaims, PolicyInForce
from infrastructure.credentials.data_integrity import add_proof
from infrastructure.statements import jws
from tests.cacs.conftest import Scene


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with members changed; `outer.inner` names a member of a block."""
    made = copy.deepcopy(document)
    for name, value in changes.items():
        outer, _, inner = name.partition(".")
        if inner:
            made[outer][inner] = value
        else:
            made[outer] = value
    return made


def forged(
    scene: Scene,
    changes: dict[str, Any],
    *,
    bind: bool = True,
    certify: Ed25519PrivateKey | bool = True,
    key: Ed25519PrivateKey | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the driver's CAC with members changed, and everything that follows from them made again.

    Args:
        scene: whose driver.
        changes: as for `changed`.
        bind: recompute report_data.
        certify: certify the key again, by the tenant's attestation key or another one; False leaves the certificate.
        key: signs instead of the enclave's.
        options: of the proof.
    """
    made = changed({name: value for name, value in scene.own.items() if name != "proof"}, changes)
    if bind:
        made["report_data"] = CacClaims.model_construct(**read(made)).bound_report_data()
    if certify is not False:
        said = {**jws.peek(scene.own["certificate"])[1], "aud": made["scope"], "execution": made["execution_id"]}
        said |= {name: made[name] for name in ("cac_key", "report_data", "evidence_digest")}
        mine = scene.cell.ledger.keyring.get(scene.member.log_id).attestation_key()
        made["certificate"] = jws.sign(jws.ENDORSEMENT, mine if certify is True else certify, said)
    known = {"created_ms": scene.instants["done"], "domain": made["scope"], "challenge": made["nonce"], **options}
    return add_proof(made, key or scene.driver.cac_key, **known)


def read(document: dict[str, Any]) -> dict[str, Any]:
    """Return the members that enter report_data, typed."""
    return {
        **document,
        "limits": Bounds.model_construct(**document["limits"]),
        "policy": PolicyInForce.model_construct(**document["policy"]),
    }
