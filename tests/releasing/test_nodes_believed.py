"""Which nodes a releaser believes: those of issuers that it names, with statuses and did:web from its own files."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.attestation.appraise import platform_id
from domain.errors import VerificationError
from domain.nodes.events import NodeEnrolled
from domain.time import DAY_MS
from infrastructure.credentials import status_register
from infrastructure.credentials.did_document import multikey_document
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.credentials.status_entry import REVOCATION
from infrastructure.credentials.verifying import Verifying
from infrastructure.keys.did_key import verification_method
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.releasing.judging import judge
from infrastructure.releasing.nodes import NodeTrust
from tests.commands.cell import ENTROPY, Cell
from tests.releasing.scene import Scene, releaser_of, waiting_scene

WEB = "did:web:issuer.example"
ALONE = Verifying.by_files(None, None)


@pytest.fixture(scope="module")
def scene(cell: Cell) -> Scene:
    return waiting_scene(cell)


def judged(scene: Scene, trust: NodeTrust, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Judge the offer of a node that was changed."""
    offered = scene.offered()
    node = copy.deepcopy(offered.node.payload())
    change(node)
    changed = replace(offered, node=NodeEnrolled.model_validate_json(json.dumps(node)))
    judge(changed, scene.execution, releaser_of(scene.member, nodes=trust), scene.cell.clock.now_ms())


def credential_of(scene: Scene, issuer: Wallet, **how: Any) -> dict[str, Any]:
    """Return another credential of the very node."""
    node, now_ms = scene.offered().node, scene.cell.clock.now_ms()
    facts = node.facts
    assert facts.platform_ids == (platform_id(node.kid),)
    subject = NodeSubject(
        id=scene.cell.nodes[facts.node].did(Purpose.REPORT), operator=facts.operator,
        country_of_operation=facts.country, vendor=facts.vendor, platform_ids=facts.platform_ids,
        attributes=facts.attributes, admits=facts.admits,
    )  # fmt: skip
    times: dict[str, Any] = {"valid_from_ms": now_ms, "valid_until_ms": now_ms + DAY_MS, "created_ms": now_ms}
    return dict(issue_node(subject, issuer.key(Purpose.CREDENTIAL), **times, **how))


def test_a_node_of_another_issuer_is_refused(scene: Scene) -> None:
    root = scene.cell.root.did(Purpose.CREDENTIAL)
    judged(scene, NodeTrust((root,), ALONE))
    for issuers in ((), ("did:key:z6Mk",)):
        with pytest.raises(VerificationError, match="the node's credential"):
            judged(scene, NodeTrust(issuers, ALONE))
    judged(scene, NodeTrust(None, ALONE))


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("country", "FRA", "facts"),
        ("operator", "OpX", "facts"),
        ("vendor", "other", "facts"),
        ("attributes", ["dedicated"], "attributes"),
        ("admits", ["RiverDAO"], "whom it admits"),
    ],
)
def test_a_node_that_is_said_to_be_another_than_its_credential_says_is_refused(
    scene: Scene, member: str, value: object, said: str
) -> None:
    trust = NodeTrust((scene.cell.root.did(Purpose.CREDENTIAL),), ALONE)
    with pytest.raises(VerificationError, match=f"{said}.* not those of its credential"):
        judged(scene, trust, lambda node: node["facts"].update({member: value}))


def test_a_credential_with_a_status_needs_its_list_and_counts_until_it_is_revoked(scene: Scene, tmp_path: Path) -> None:
    root, now_ms = scene.cell.root, scene.cell.clock.now_ms()
    key, own = root.key(Purpose.CREDENTIAL), root.did(Purpose.CREDENTIAL)
    status_register.create(
        tmp_path, "https://root.example/status", verification_method(root.public(Purpose.CREDENTIAL))
    )
    with status_register.opened(tmp_path) as register:
        entries = register.allocate("urn:node:one", ENTROPY)
        status_register.publish(tmp_path, register, key, now_ms=now_ms, valid_ms=DAY_MS)
    issued = credential_of(scene, root, credential_id="urn:node:one", status=entries)
    carry = lambda node: node.update(credential=issued)  # noqa: E731
    judged(scene, NodeTrust((own,), Verifying.by_files(None, tmp_path)), carry)
    with pytest.raises(VerificationError, match="status"):
        judged(scene, NodeTrust((own,), ALONE), carry)
    with status_register.opened(tmp_path) as register:
        register.mark(register.index_of("urn:node:one"), REVOCATION, at_ms=now_ms, reason="")
        status_register.publish(tmp_path, register, key, now_ms=now_ms, valid_ms=DAY_MS)
    with pytest.raises(VerificationError, match="revoked"):
        judged(scene, NodeTrust((own,), Verifying.by_files(None, tmp_path)), carry)


def test_an_issuer_by_did_web_counts_with_its_document(scene: Scene, tmp_path: Path) -> None:
    wallet = scene.cell.wallet("web-issuer")
    kid = wallet.thumbprint(Purpose.CREDENTIAL)
    document = multikey_document(WEB, {kid: wallet.public(Purpose.CREDENTIAL)})
    issued = credential_of(scene, wallet, verification_method=document["assertionMethod"][0])
    carry = lambda node: node.update(credential=issued)  # noqa: E731
    with pytest.raises(VerificationError, match="key_unreachable"):
        judged(scene, NodeTrust((WEB,), Verifying.by_files(tmp_path, None)), carry)
    (tmp_path / "issuer.json").write_text(json.dumps(document))
    judged(scene, NodeTrust((WEB,), Verifying.by_files(tmp_path, None)), carry)
    with pytest.raises(VerificationError, match="credential"):
        judged(scene, NodeTrust(("did:web:other.example",), Verifying.by_files(tmp_path, None)), carry)
