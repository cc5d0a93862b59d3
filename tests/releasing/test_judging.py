"""What a releaser refuses by itself: an offer spoiled in every part, each with its reason."""

import base64
import copy
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from domain.attestation.binding import salted_commitment
from domain.attestation.release import release_info
from domain.errors import MalformedError, VerificationError
from domain.identifiers import stream_of
from infrastructure.credentials.verifying import Verifying
from infrastructure.keys import ed25519, hpke
from infrastructure.releasing.demands import Demands, read_demands
from infrastructure.releasing.judging import Releaser, judge, seal
from infrastructure.releasing.nodes import NodeTrust
from infrastructure.releasing.offered import read_offer
from infrastructure.runtime.measurement import runtime_measurement
from tests.commands.cell import Cell
from tests.releasing.scene import Scene, releaser_of, waiting_scene

Offer = dict[str, Any]
OTHER_KEY = ed25519.public_bytes(ed25519.private_key(bytes(32))).hex()
Spoil = Callable[[Offer], object]


@pytest.fixture(scope="module")
def scene(cell: Cell) -> Scene:
    return waiting_scene(cell)


def offer_of(scene: Scene) -> Offer:
    return copy.deepcopy(dict(scene.source().offer(scene.execution)))


def judged(scene: Scene, offer: Offer, releaser: Releaser | None = None, *, now_ms: int = 0) -> list[bytes]:
    """Judge an offer and return the inputs as sealed."""
    own = releaser or releaser_of(scene.member)
    offered = read_offer(json.loads(json.dumps(offer)))
    return seal(judge(offered, scene.execution, own, now_ms or scene.cell.clock.now_ms()), offered, own.release)


def entry(offer: Offer, topic: str, at: int = -1) -> Offer:
    """Return the event of a topic."""
    found: Offer = [one["event"] for one in offer["entries"] if one["topic"].startswith(topic)][at]
    return found


def flipped(text: str) -> str:
    """Return a token or hex text with one character changed."""
    at = len(text) // 2
    return text[:at] + ("A" if text[at] != "A" else "B" if text[at] != "B" else "C") + text[at + 1 :]


def hexed(text: str) -> str:
    """Return hex with one digit changed."""
    return ("0" if text[0] != "0" else "1") + text[1:]


def put(topic: str, member: str, change: Callable[[Any], Any]) -> Spoil:
    """Change a member of an event."""

    def spoil(offer: Offer) -> None:
        event = entry(offer, topic)
        event[member] = change(event[member])

    return spoil


def test_what_stands_is_sealed_to_the_enclave_alone(scene: Scene) -> None:
    sealed = judged(scene, offer_of(scene))
    assert len(sealed) == 2
    held = scene.member.admins[0].custody()
    with pytest.raises(VerificationError):
        held.release.open(sealed[0], b"")


REGISTERED, ENROLLED, SUBMITTED = "tenant.registered", "tenant.principal_enrolled", "workload.submitted"
QUEUED, PLACED, RESERVED = "workload.queued", "workload.placed", "execution.reserved"
CHALLENGED, APPRAISED, GATE = "execution.challenged", "execution.evidence_appraised", "execution.enclave_provisioned"
AWAITED = "execution.release_awaited"

SPOILED = [
    pytest.param(put(REGISTERED, "release_key", hexed), "registration", id="another release key"),
    pytest.param(put(REGISTERED, "output_key", hexed), "registration", id="another output key"),
    pytest.param(put(REGISTERED, "attestation_key", hexed), "registration", id="another attestation key"),
    pytest.param(lambda o: entry(o, REGISTERED).pop("custody"), "registration", id="custody of the operator"),
    pytest.param(put(REGISTERED, "dao", lambda _: "Other"), "registration", id="another tenant"),
    pytest.param(put(REGISTERED, "acceptances", lambda a: [flipped(a[0])]), "", id="an acceptance forged"),
    pytest.param(put(ENROLLED, "public_key", hexed), "", id="another releaser's key"),
    pytest.param(put(ENROLLED, "role", lambda _: "submitter"), "enrol_principal|does not say|role", id="another role"),
    pytest.param(put(SUBMITTED, "submission", flipped), "", id="a submission forged"),
    pytest.param(put(SUBMITTED, "submission_digest", hexed), "submission", id="another submission"),
    pytest.param(
        lambda o: entry(o, SUBMITTED)["inputs"][0].update(commitment="0" * 64), "submission", id="another commitment"
    ),
    pytest.param(put(QUEUED, "module_digest", hexed), "queued", id="another module queued"),
    pytest.param(put(QUEUED, "attempt", lambda n: n + 1), "", id="another attempt"),
    pytest.param(put(RESERVED, "module_digest", hexed), "reservation", id="another module reserved"),
    pytest.param(put(RESERVED, "policy_digest", hexed), "policy", id="another policy"),
    pytest.param(put(RESERVED, "node", lambda _: "elsewhere"), "reservation", id="another node"),
    pytest.param(
        lambda o: entry(o, RESERVED)["limits"].update(fuel=1), "reservation", id="other limits than were submitted"
    ),
    pytest.param(put(CHALLENGED, "nonce", hexed), "nonce|binding", id="another nonce"),
    pytest.param(put(CHALLENGED, "expires_ms", lambda n: n + 1), "challenge", id="a nonce that lives longer"),
    pytest.param(put(APPRAISED, "evidence", flipped), "", id="evidence forged"),
    pytest.param(put(APPRAISED, "evidence_digest", hexed), "evidence", id="another evidence digest"),
    pytest.param(put(APPRAISED, "report_data", hexed), "evidence", id="another report_data"),
    pytest.param(put(APPRAISED, "hpke_key", hexed), "evidence", id="another HPKE key than the evidence covers"),
    pytest.param(put(APPRAISED, "hpke_key_digest", hexed), "evidence", id="another HPKE key digest"),
    pytest.param(put(APPRAISED, "cac_key", hexed), "evidence", id="another CAC key"),
    pytest.param(put(APPRAISED, "measurement", hexed), "evidence", id="another runtime"),
    pytest.param(put(APPRAISED, "nonce", hexed), "evidence", id="evidence of another nonce"),
    pytest.param(put(APPRAISED, "certificate", flipped), "", id="a certificate forged"),
    pytest.param(put(APPRAISED, "certificate", lambda _: None), "certificate", id="no certificate"),
    pytest.param(put(APPRAISED, "status", lambda _: "contraindicated"), "certificate", id="a verdict against it"),
    pytest.param(put(GATE, "passed", lambda _: False), "gate|waits", id="a gate that was not passed"),
    pytest.param(put(AWAITED, "until_ms", lambda n: n + 1), "waited", id="a longer wait"),
    pytest.param(lambda o: o["entries"].pop(0), "", id="no registration"),
    pytest.param(lambda o: o["entries"].reverse(), "is next", id="entries in another order"),
    pytest.param(lambda o: o["entries"].append(o["entries"][-1]), "", id="an entry twice"),
    pytest.param(lambda o: o["entries"].clear(), "", id="no entries"),
    pytest.param(lambda o: o.update(execution="exec-0x" + "0" * 32), "another execution", id="another execution"),
    pytest.param(lambda o: o.update(origin="ledger.example/t/1"), "", id="another log"),
    pytest.param(lambda o: o["node"].update(public_key=OTHER_KEY), "node's key", id="another node's key"),
    pytest.param(lambda o: o["node"]["facts"].update(node="elsewhere"), "node's key", id="facts of another node"),
    pytest.param(
        lambda o: o["node"]["facts"].update(platform_ids=["software:other"]), "machine|facts", id="another machine"
    ),
    pytest.param(lambda o: o["inputs"].reverse(), "other inputs", id="inputs in another order"),
    pytest.param(lambda o: o["inputs"].pop(), "other inputs", id="an input missing"),
    pytest.param(
        lambda o: o["inputs"].__setitem__(0, base64.b64encode(b"x" * 1200).decode()), "other inputs", id="another input"
    ),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILED)
def test_a_spoiled_offer_is_refused(scene: Scene, spoil: Spoil, reason: str) -> None:
    offer = offer_of(scene)
    spoil(offer)
    with pytest.raises(VerificationError, match=f"(?i){reason}"):
        judged(scene, offer)


@pytest.mark.parametrize(
    "topic", [REGISTERED, ENROLLED, SUBMITTED, QUEUED, PLACED, RESERVED, CHALLENGED, APPRAISED, GATE]
)
def test_an_offer_that_lacks_an_entry_is_refused(scene: Scene, topic: str) -> None:
    offer = offer_of(scene)
    offer["entries"] = [one for one in offer["entries"] if not one["topic"].startswith(topic)]
    with pytest.raises(VerificationError):
        judged(scene, offer)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"admins": frozenset()}, "admin keys that this releaser does not know"),
        ({"tenant": "Other/DEU"}, "of another tenant"),
        ({"kid": "k" * 43}, "no releaser of the tenant"),
        ({"release": hpke.PrivateKey(bytes(32))}, "not this wallet's"),
        ({"measurement": "0" * 64}, "reference value"),
        ({"demands": Demands(measurements=())}, "the runtime is none"),
        ({"demands": Demands(measurements=("0" * 64,))}, "the runtime is none"),
        ({"demands": Demands(modules=("0" * 64,))}, "module is none"),
        ({"demands": Demands(nodes=("elsewhere",))}, "the node is none"),
        ({"demands": Demands(evidence_classes=("vendor",))}, "class of evidence is none"),
    ],
)
def test_a_releaser_holds_its_own_demands(scene: Scene, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(VerificationError, match=reason):
        judged(scene, offer_of(scene), releaser_of(scene.member, **changed))


def test_demands_that_are_met_let_it_pass(scene: Scene) -> None:
    demands = Demands(
        measurements=(runtime_measurement(),), nodes=("alpha", "beta", "gamma"), evidence_classes=("software",)
    )  # fmt: skip
    assert judged(scene, offer_of(scene), releaser_of(scene.member, demands=demands))


def test_the_nonce_must_be_alive_by_the_releasers_own_clock(scene: Scene) -> None:
    late = entry(offer_of(scene), AWAITED)["until_ms"]
    with pytest.raises(VerificationError, match="too late"):
        judged(scene, offer_of(scene), now_ms=late)


def test_the_tenants_own_policy_is_evaluated_again(cell: Cell) -> None:
    member = cell.join(own_custody=True)
    member.adopt({"kind": "in_country"})
    own = waiting_scene(cell, member)
    assert judged(own, offer_of(own))
    offer = offer_of(own)
    offer["node"]["facts"]["country"] = "FRA"
    with pytest.raises(VerificationError, match="in_country: have FRA"):
        judged(own, offer, releaser_of(member, nodes=NodeTrust(None, Verifying.by_files(None, None))))


def test_an_input_that_is_not_what_was_committed_to_is_not_sealed(scene: Scene) -> None:
    own = releaser_of(scene.member)
    offered = read_offer(offer_of(scene))
    good = judge(offered, scene.execution, own, scene.cell.clock.now_ms())
    plain = bytes(32) + b"another"
    commitment = bytes.fromhex(good.submitted.inputs[0].commitment)
    assert salted_commitment(bytes(32), b"another") != commitment
    wrong = hpke.seal(own.release.public, plain, release_info(offered.origin, 0, commitment))
    swapped = type(offered)(
        offered.execution, offered.origin, offered.entries, offered.node, offered.evidence, (wrong, offered.inputs[1])
    )
    with pytest.raises(VerificationError, match="not what the submission commits to"):
        seal(good, swapped, own.release)


@pytest.mark.parametrize(
    "members",
    [
        {}, {"execution": "exec-0x1"}, {"entries": [{}]}, {"inputs": ["!"]}, {"more": 1}, {"node": {}},
        {"entries": [{"leaf": -1}]}, {"evidence": ["%%"]},
    ],
)  # fmt: skip
def test_an_offer_of_another_form_is_refused(scene: Scene, members: dict[str, Any]) -> None:
    with pytest.raises(MalformedError, match="not of its form"):
        read_offer({**offer_of(scene), **members} if members else {})


def test_what_a_refusal_says_holds_nothing_of_the_inputs(scene: Scene) -> None:
    offer = offer_of(scene)
    offer["inputs"].reverse()
    with pytest.raises(VerificationError) as refused:
        judged(scene, offer)
    assert "1871" not in str(refused.value)
    assert sha256(b"").hexdigest() not in str(refused.value)
    assert str(stream_of(scene.execution)) not in str(refused.value)


def test_demands_are_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "demands.json"
    file.write_text('{"measurements": ["' + "0" * 64 + '"], "evidence_classes": ["vendor"]}')
    assert read_demands(file).evidence_classes == ("vendor",)
    for wrong in ('{"other": 1}', '{"measurements": ["x"]}', "[]", "{", '{"evidence_classes": ["any"]}'):
        file.write_text(wrong)
        with pytest.raises(MalformedError, match=r"demands\.json is malformed"):
            read_demands(file)
