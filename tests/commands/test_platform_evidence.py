"""Executions on synthetic platforms in hardware formats: what affirms gets its inputs, everything else its reason."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.attestation.appraiser import appraise
from domain.attestation.claims import EvidenceClass, EvidenceFormat
from domain.attestation.events import CollateralSeen, NodeEvidenceAppraised, PlatformEvidenceAppraised
from domain.attestation.platform import NONCE_LIFE_MS, reference_measurement
from domain.cacs.events import CacIssued
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError
from domain.executions.events import EvidenceAppraised
from domain.policies.facts import NodeFacts
from domain.workloads.events import WorkloadDenied
from infrastructure.attestation.attesting import Attested, SyntheticAttester
from infrastructure.attestation.ear import read_ear
from infrastructure.attestation.recognise import recognise
from infrastructure.attestation.synthetic.platform import SyntheticPlatform
from infrastructure.attestation.synthetic.snp import POLICY
from infrastructure.client import acts
from infrastructure.client import machines as client
from infrastructure.commands.context import load_context
from infrastructure.commands.evidence import GivenEvidence, answer
from infrastructure.commands.loading import load_node
from infrastructure.commands.machines import MAX_CHALLENGES, challenge_node, evidence_data, prove_machine
from infrastructure.commands.provisioning import released_inputs
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node.enclosed import Enclosed
from infrastructure.runtime.measurement import runtime_measurement
from tests.commands.cell import NOW, Cell
from tests.commands.driver import Driver
from tests.commands.platforms import ENROL_NODES, Machines


@pytest.fixture(scope="module")
def machines(cell: Cell, tmp_path_factory: pytest.TempPathFactory) -> Machines:
    made = Machines(cell, tmp_path_factory.mktemp("machines"))
    for name, kind, country, operator in ENROL_NODES:
        made.enrol(name, kind, country=country, operator=operator)
    return made


@pytest.mark.parametrize(("node", "form"), [("snp-a", "sev-snp-report"), ("sgx-a", "sgx-quote-v3")])
def test_an_execution_on_verified_hardware_yields_a_cac_that_names_it(
    cell: Cell, machines: Machines, node: str, form: str
) -> None:
    member = cell.join()
    member.adopt(machines.hardware(), {"kind": "nodes", "allowed": [node]})
    (execution,) = cell.place(member)
    machines.run(execution)
    (appraised,) = cell.events(member, PlatformEvidenceAppraised)
    assert (appraised.status, appraised.evidence_class) == ("affirming", "synthetic")
    assert appraised.kept.evidence_format == form
    assert appraised.evidence_root in machines.roots
    (issued,) = cell.events(member, CacIssued)
    assert issued.document["evidence_class"] == "synthetic"
    assert issued.document["evidence_digest"] == appraised.evidence_digest
    assert issued.document["hardware"] == f"{form} under root {appraised.kept.root}: {appraised.platform_id}"


@pytest.fixture
def driver(cell: Cell, machines: Machines) -> Driver:
    """A placed execution of a tenant that demands verified hardware, on the first SNP machine."""
    member = cell.join()
    member.adopt(machines.hardware(), {"kind": "nodes", "allowed": ["snp-a"]})
    return machines.place(member)


def appraised(driver: Driver) -> PlatformEvidenceAppraised:
    """Return the appraisal of an execution, which stands in its tenant's log."""
    stream = load_context(driver.cell.ledger, driver.execution).stream
    (event,) = [item.event for item in stream if isinstance(item.event, PlatformEvidenceAppraised)]
    return event


def attest(machines: Machines, driver: Driver, name: str = "snp-a", **changed: Any) -> Attested:
    """Return evidence of a machine over this execution's binding; what is given is made otherwise."""
    bound = bytes.fromhex(changed.pop("report_data", None) or driver.report_data())
    made = machines.attesters[name].attest(bound, runtime_measurement())
    if not changed:
        return made
    measurement = bytes.fromhex(reference_measurement(runtime_measurement(), EvidenceFormat.SNP))
    machine = changed.pop("machine", machines.platform.snp_machine(name))
    return replace(made, evidence=machine.report(bound, **{"measurement": measurement, **changed}))


def test_platform_evidence_over_this_execution_gets_its_inputs(machines: Machines, driver: Driver) -> None:
    assert driver.evidence().answer["accepted"] is True
    assert appraised(driver).accepted
    assert released_inputs(driver.cell.ledger, driver.execution)
    driver.cell.rest()


def _of_another_nonce(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, report_data=driver.report_data(nonce=bytes(32)))


def _of_another_execution(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, report_data=driver.report_data(execution=b"exec-0x" + b"0" * 32))


def _of_another_tenant(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, report_data=driver.report_data(origin=b"ledger.example/t/1"))


def _relayed_from_another_machine(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, "snp-b")


def _over_another_hpke_key(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, report_data=driver.report_data(hpke_key=hashlib.sha256(b"another").digest()))


def _with_debug(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, policy=POLICY | 1 << 19)


def _migratable(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, policy=POLICY | 1 << 18)


def _other_code(machines: Machines, driver: Driver) -> Attested:
    return attest(machines, driver, measurement=b"m" * 48)


def _without_a_machine(machines: Machines, driver: Driver) -> Attested:
    machine = machines.platform.snp.provider_machine("cloud")
    made = attest(machines, driver, machine=machine)
    return replace(made, endorsements=(machines.platform.snp.endorsements(machine),))


def _changed(machines: Machines, driver: Driver) -> Attested:
    made = attest(machines, driver)
    return replace(made, evidence=made.evidence[:0x150] + bytes([made.evidence[0x150] ^ 1]) + made.evidence[0x151:])


def _without_endorsements(machines: Machines, driver: Driver) -> Attested:
    return replace(attest(machines, driver), endorsements=())


def _cut_off(machines: Machines, driver: Driver) -> Attested:
    return replace(attest(machines, driver), evidence=attest(machines, driver).evidence[:-1])


def _endorsed_by_noise(machines: Machines, driver: Driver) -> Attested:
    return replace(attest(machines, driver), endorsements=(b"-----BEGIN CERTIFICATE-----", b"{}", bytes(100)))


@pytest.mark.parametrize(
    ("make", "status", "reason"),
    [
        (_of_another_nonce, "contraindicated", "nonce"), (_of_another_execution, "contraindicated", "nonce"),
        (_of_another_tenant, "contraindicated", "nonce"), (_relayed_from_another_machine, "contraindicated", "machine"),
        (_over_another_hpke_key, "contraindicated", "nonce"), (_with_debug, "contraindicated", "debug"),
        (_migratable, "contraindicated", "migratable"), (_other_code, "contraindicated", "measurement"),
        (_without_a_machine, "contraindicated", "machine"), (_changed, "rejected", "signature"),
        (_without_endorsements, "rejected", "no_endorsements"), (_endorsed_by_noise, "rejected", "no_endorsements"),
    ],
)  # fmt: skip
def test_other_evidence_uses_the_nonce_up_and_gets_no_inputs(
    cell: Cell,
    machines: Machines,
    driver: Driver,
    make: Callable[[Machines, Driver], Attested],
    status: str,
    reason: str,
) -> None:
    assert driver.attested(make(machines, driver)).answer["accepted"] is True
    event = appraised(driver)
    assert (event.status, event.certificate) == (status, None)
    assert reason in event.reason
    _, ear = read_ear(event.kept.ear)
    assert (ear.status, ear.reason) == ("contraindicated", event.reason)
    with pytest.raises(RefusedError):
        released_inputs(cell.ledger, driver.execution)
    with pytest.raises(RefusedError):
        driver.assign()
    cell.rest()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": "0" * 64}, "another nonce"),
        ({"evidence_class": "vendor"}, "another class"),
        ({"evidence_format": "tdx-quote-v4"}, "another format"),
        ({"measurement": "0" * 64}, "the runtime is not"),
        ({"hpke_key": "00" * 40}, "HPKE"),
    ],
)
def test_what_the_report_itself_claims_must_hold_too(
    cell: Cell, machines: Machines, driver: Driver, changes: dict[str, Any], reason: str
) -> None:
    driver.attested(attest(machines, driver), **changes)
    event = appraised(driver)
    assert (event.status, event.accepted) == ("contraindicated", False)
    assert reason in event.reason
    cell.rest()


def test_software_evidence_of_a_hardware_node_is_not_one_of_its_machines(cell: Cell, driver: Driver) -> None:
    driver.attester = None
    driver.evidence()
    stream = load_context(cell.ledger, driver.execution).stream
    (event,) = [item.event for item in stream if isinstance(item.event, EvidenceAppraised)]
    assert (event.TOPIC, event.reason) == (
        "execution.evidence_appraised.v1", "the machine is not one of this node's",
    )  # fmt: skip
    cell.rest()


def test_evidence_that_was_accepted_is_never_accepted_again(cell: Cell, machines: Machines, driver: Driver) -> None:
    made = attest(machines, driver)
    driver.attested(made)
    first = appraised(driver)
    assert first.accepted
    answered = answer(
        cell.ledger, GivenEvidence(made.evidence, made.endorsements), appraise,
        log_id=cell.ledger.platform().log_id, stream=cell.ledger.platform().log_id, nonce=bytes(32),
    )  # fmt: skip
    assert answered.result.status == "contraindicated"
    assert answered.result.reason is not None
    assert answered.result.reason.startswith("replayed")
    tail = bytes(len(made.evidence) - 0x330)
    assert answered.kept.evidence_key == recognise(made.evidence[:0x330] + tail).key == first.kept.evidence_key
    cell.rest()


def test_evidence_that_is_not_what_the_report_names_leaves_the_nonce(
    cell: Cell, machines: Machines, driver: Driver
) -> None:
    made = attest(machines, driver)
    claims = driver.evidence_claims(**made.members())
    for enclosed in (
        None,
        Enclosed(evidence=made.evidence),
        Enclosed(evidence=made.evidence + b"0", endorsements=made.endorsements),
        Enclosed(evidence=made.evidence, endorsements=made.endorsements[::-1]),
    ):
        with cell.nothing_written(), pytest.raises(MalformedError, match="not those that the report names"):
            driver.send(driver.token(claims), enclosed)
    assert Driver(cell, driver.execution, driver.wallet, attester=driver.attester).evidence().answer["accepted"] is True
    cell.rest()


@pytest.mark.parametrize(
    "changes", [{"evidence_format": None}, {"platform_evidence": None}, {"endorsements": ["0" * 64] * 9}]
)
def test_a_report_names_format_and_evidence_together(
    cell: Cell, machines: Machines, driver: Driver, changes: dict[str, Any]
) -> None:
    made = attest(machines, driver)
    with cell.nothing_written(), pytest.raises(MalformedError):
        driver.attested(made, **changes)
    cell.rest()


def test_older_collateral_than_was_used_before_is_refused(cell: Cell, machines: Machines, driver: Driver) -> None:
    made = attest(machines, driver)
    chain = machines.platform.snp.endorsements(machines.platform.snp_machine("snp-a"))
    issued = machines.platform.snp.revocation_list
    now_s = cell.clock.now_ms() // 1000
    older = replace(made, endorsements=(chain, issued(now_s - 90_000, now_s + 9_000, number=1)))
    driver.attested(older)
    event = appraised(driver)
    assert event.status == "rejected"
    assert event.reason.startswith("rolled_back")
    seen = [item.event for item in cell.history(cell.ledger.platform().log_id)]
    assert all(one.number > 1 for one in seen if isinstance(one, CollateralSeen))
    cell.rest()


def test_a_root_that_the_policy_does_not_name_is_not_placed_or_gets_no_inputs(cell: Cell, machines: Machines) -> None:
    member = cell.join()
    member.adopt({"kind": "evidence", "classes": ["vendor"], "roots": ["a" * 64]})
    workload = cell.submit(member)
    cell.settle()
    (denied,) = [event for event in cell.events(member, WorkloadDenied) if event.workload_id == workload]
    assert (denied.gate, denied.rule) == ("queue", "evidence")
    other = cell.join()
    other.adopt(machines.hardware(), {"kind": "nodes", "allowed": ["snp-a"]})
    driver = machines.place(other)
    driver.assign()
    other.adopt({"kind": "evidence", "classes": ["vendor"]}, {"kind": "nodes", "allowed": ["snp-a"]})
    driver.evidence()
    event = appraised(driver)
    assert (event.status, event.policy_version) == ("contraindicated", 2)
    assert "root: it is no vendor's, and the policy does not name it" in event.reason
    cell.rest()


def test_a_root_that_the_cell_does_not_trust_is_rejected(
    cell: Cell, machines: Machines, driver: Driver, tmp_path: Path
) -> None:
    stranger = SyntheticPlatform(tmp_path / "other", NOW // 1000 - 86_400, bits=2048)
    other = SyntheticAttester(stranger, "snp", "snp-a", cell.clock.now_ms)
    driver.attested(other.attest(bytes.fromhex(driver.report_data()), runtime_measurement()))
    event = appraised(driver)
    assert (event.status, event.evidence_root, event.platform_id) == ("rejected", None, None)
    assert event.reason.startswith("untrusted_root")
    cell.rest()


@pytest.mark.parametrize(
    ("status", "least", "accepted"),
    [
        ("UpToDate", None, True), ("SWHardeningNeeded", None, False), ("SWHardeningNeeded", "warning", True),
        ("OutOfDate", "warning", False), ("Revoked", "warning", False),
    ],
)  # fmt: skip
def test_a_tcb_is_taken_as_the_policy_has_it(
    cell: Cell,
    machines: Machines,
    status: str,
    least: str | None,
    accepted: bool,
) -> None:
    member = cell.join()
    told = {} if least is None else {"least_status": least}
    member.adopt(machines.hardware(**told), {"kind": "nodes", "allowed": ["sgx-a"]})
    driver = machines.place(member)
    made = attest(machines, driver, "sgx-a")
    day_s = cell.clock.now_ms() // 86_400_000 * 86_400  # as the machine's own are numbered
    collateral = machines.platform.intel.collateral("SGX", day_s, status=status, crl_number=day_s).encode()
    driver.attested(replace(made, endorsements=(collateral,)))
    event = appraised(driver)
    assert event.accepted is accepted
    assert (event.status == "warning") is (status == "SWHardeningNeeded" and accepted)
    cell.rest()


# Enrolment


def prove(cell: Cell, wallet: Wallet, name: str, made: Attested) -> NodeEvidenceAppraised:
    """Hand in evidence for a node's key."""
    given = GivenEvidence(made.evidence, made.endorsements)
    return prove_machine(cell.ledger, name, wallet.public(Purpose.REPORT), given)


def test_a_machine_proves_itself_over_its_nodes_key_and_a_nonce_once(cell: Cell, machines: Machines) -> None:
    wallet = cell.wallet("fresh")
    public = wallet.public(Purpose.REPORT)
    attester = machines.attester("fresh")
    with pytest.raises(RefusedError, match="no nonce is open"):
        prove(cell, wallet, "fresh", attester.attest(bytes(64), runtime_measurement()))
    issued = challenge_node(cell.ledger, "fresh", public)
    made = attester.attest(evidence_data(cell.ledger, issued), runtime_measurement())
    other = cell.wallet("other")
    with pytest.raises(RefusedError, match="no nonce is open"):
        prove(cell, other, "fresh", made)
    assert prove(cell, wallet, "fresh", made).accepted
    with pytest.raises(RefusedError, match="no nonce is open"):
        prove(cell, wallet, "fresh", made)
    challenge_node(cell.ledger, "fresh", public)
    again = prove(cell, wallet, "fresh", made)
    assert not again.accepted
    assert "nonce: report_data answers another nonce" in again.reason


def test_an_expired_nonce_proves_nothing(cell: Cell, machines: Machines) -> None:
    wallet = cell.wallet("slow")
    issued = challenge_node(cell.ledger, "slow", wallet.public(Purpose.REPORT))
    cell.advance(NONCE_LIFE_MS)
    made = machines.attester("slow").attest(evidence_data(cell.ledger, issued), runtime_measurement())
    event = prove(cell, wallet, "slow", made)
    assert (event.status, event.reason) == ("contraindicated", "the nonce has expired")


def test_what_one_key_asks_for_uses_up_nothing_of_anothers(cell: Cell, machines: Machines) -> None:
    first, second = cell.wallet("one"), cell.wallet("two")
    keys = [wallet.public(Purpose.REPORT) for wallet in (first, second)]
    issued = challenge_node(cell.ledger, "shared", keys[0])
    for _ in range(MAX_CHALLENGES):
        challenge_node(cell.ledger, "shared", keys[1])
    with cell.nothing_written(), pytest.raises(RefusedError, match="too often"):
        challenge_node(cell.ledger, "shared", keys[1])
    made = machines.attester("shared").attest(evidence_data(cell.ledger, issued), runtime_measurement())
    assert prove(cell, first, "shared", made).accepted
    with pytest.raises(RefusedError, match="no nonce is open"):
        prove(cell, first, "shared", made)
    challenge_node(cell.ledger, "shared", keys[0])


def test_a_node_enrols_only_with_what_was_proved_over_its_own_key(cell: Cell, machines: Machines) -> None:
    wallet = cell.wallet("claimer")
    proved = client.prove_machine(cell.ledger, wallet, "claimer", machines.attester("claimer"))
    good = {
        "platform_ids": (proved.platform_id,), "evidence_class": "synthetic", "evidence_root": proved.kept.root,
    }  # fmt: skip
    known: dict[str, Any] = {
        "node": "claimer", "operator": "OpA", "country": "DEU", "vendor": "x", "memory_bytes": 1 << 20, "slots": 1,
    }  # fmt: skip
    mine = load_node(cell.ledger, "snp-a").enrolled.facts.platform_ids
    for wrong in (
        {"platform_ids": mine}, {"platform_ids": (*mine, proved.platform_id)}, {"evidence_class": "vendor"},
        {"evidence_root": "a" * 64}, {"evidence_root": None}, {"platform_ids": ()},
    ):  # fmt: skip
        with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="not proved"):
            acts.enrol_node(cell.ledger, wallet, cell.root, NodeFacts(**{**known, **good, **wrong}))
    stranger = cell.wallet("stranger")
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="not proved"):
        acts.enrol_node(cell.ledger, stranger, cell.root, NodeFacts(**{**known, **good}))
    acts.enrol_node(cell.ledger, wallet, cell.root, NodeFacts(**{**known, **good}))


def test_a_machine_belongs_to_one_node(cell: Cell, machines: Machines) -> None:
    wallet = cell.wallet("second")
    described = NodeFacts(
        node="second", operator="OpA", country="DEU", vendor="x", memory_bytes=1 << 20, slots=1
    )  # fmt: skip
    with pytest.raises(ConflictError):
        client.enrol_machine(cell.ledger, wallet, cell.root, described, machines.attester("snp-a"))


def test_a_machine_that_hides_its_chip_enrols_and_fails_every_policy_that_asks_for_one(
    cell: Cell, machines: Machines
) -> None:
    hidden = HiddenMachine(machines)
    wallet = cell.nodes["hidden"] = cell.wallet("hidden")
    machines.attesters["hidden"] = hidden
    described = NodeFacts(
        node="hidden", operator="OpV", country="JPN", vendor="amd", memory_bytes=1 << 28, slots=8
    )  # fmt: skip
    client.enrol_machine(cell.ledger, wallet, cell.root, described, hidden)
    assert load_node(cell.ledger, "hidden").enrolled.facts.platform_ids == ()
    for rule in (
        {"kind": "in_country", "countries": ["JPN"]}, {"kind": "operators", "allowed": ["OpV"]},
        {"kind": "nodes", "allowed": ["hidden"]},
    ):  # fmt: skip
        member = cell.join()
        member.adopt(rule)
        cell.submit(member)
        cell.settle()
        (denied,) = cell.events(member, WorkloadDenied)
        assert (denied.gate, denied.rule) == ("queue", rule["kind"])


class HiddenMachine:
    """A SEV-SNP machine whose reports a provider's key signs."""

    def __init__(self, machines: Machines) -> None:
        self._snp = machines.platform.snp
        self._machine = self._snp.provider_machine("cloud")

    def attest(self, report_data: bytes, runtime: str) -> Attested:
        """Return evidence that names no machine."""
        measurement = bytes.fromhex(reference_measurement(runtime, EvidenceFormat.SNP))
        evidence = self._machine.report(report_data, measurement=measurement)
        return Attested(evidence, (self._snp.endorsements(self._machine),), EvidenceClass.SYNTHETIC)
