"""A node elsewhere whose machine proves itself over HTTP: enrolment, evidence of executions, and who gets neither."""

import base64
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from domain.statements import REPORT
from infrastructure.attestation.attesting import SyntheticAttester, own_machine
from infrastructure.attestation.synthetic.platform import DIRECTORY, SyntheticPlatform
from infrastructure.clock import SystemClock
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.blocking import Client
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node.claims import PlatformEvidence, prepare_request
from infrastructure.node.proving import Speaker
from infrastructure.node.wire import SentAssignment, read_sent
from infrastructure.runtime.keep import Keep
from infrastructure.statements import jws
from tests.api.service import Answered, Service, ended, eventually
from tests.cli.conftest import TENANT

CLOCK = SystemClock()
YEAR_MS = 365 * 86_400_000


def issued(service: Service, wallet: Wallet, *platform_ids: str) -> Document:
    """Return a credential of a node, by the root's issuer."""
    root = wallets.load(service.ledger.data / "root.key.json")
    subject = NodeSubject(
        id=wallet.did(Purpose.REPORT), operator="Eisenwerk", country_of_operation="DEU", vendor="amd",
        platform_ids=platform_ids,
    )  # fmt: skip
    now_ms = CLOCK.now_ms()
    return issue_node(
        subject, root.key(Purpose.CREDENTIAL), valid_from_ms=now_ms, valid_until_ms=now_ms + YEAR_MS, created_ms=now_ms
    )


def speaker(service: Service, wallet: Wallet) -> Speaker:
    made = Speaker(Client(service.url, wallet, CLOCK, SystemEntropy()), wallet, CLOCK, SystemEntropy())
    made.client.learn_issuer()
    made.client.close()
    return made


def challenge(service: Service, speaks: Speaker, credential: Document, **changes: Any) -> Answered:
    """Ask for a nonce."""
    node = speaks.wallet.name
    asked = {
        "node": node, "public_key": speaks.public.hex(), "credential": credential,
        "request": speaks.signed({"act": "challenge_node", "node": node}),
    }  # fmt: skip
    return service.post("/v1/nodes/challenges", {**asked, **changes})


@pytest.fixture(scope="module")
def machine(service: Service) -> dict[str, Any]:
    """A wallet and a machine at another place than the ledger's, as `node machine` shows them."""
    folder = service.ledger.folder
    wallets.create(folder / "hard.json", "hard-1", SystemEntropy())
    shown = service.ledger.end(
        service.ledger.start("node", "machine", "--key", "hard.json", "--platform", "snp", "--json")
    ).json
    (folder / "hard.vc").write_text(
        json.dumps(issued(service, wallets.load(folder / "hard.json"), shown["platform_id"]))
    )
    return shown


@pytest.fixture(scope="module")
def enrolled(service: Service, machine: dict[str, Any]) -> dict[str, Any]:
    """Refused while the operator does not trust its root, then enrolled; the tenant's policy demands hardware."""
    folder, data = service.ledger.folder, service.ledger.data
    assert machine["evidence_class"] == "synthetic"
    said = refused(service, "hard.json", "--credential", "hard.vc", "--platform", "snp")
    assert "the machine did not prove itself: untrusted_root" in said
    assert service.rows("node.enrolled.v1") == 1
    (data / "trusted-roots").mkdir()
    shutil.copy(folder / machine["root_file"], data / "trusted-roots" / "hard-1.pem")
    rules = [{"kind": "evidence", "classes": ["vendor"], "roots": [machine["evidence_root"]]}]
    (folder / "hardware.json").write_text(json.dumps({"rules": rules}))
    warned = service.ledger.inside("policy", "adopt", "hardware.json", "--tenant", TENANT, "--key", "alice.json")
    assert (warned.code, "no enrolled node satisfies it" in warned.err) == (3, True)
    node = service.node("hard.json", "--credential", "hard.vc", "--platform", "snp", "--slots", "2")
    eventually(lambda: service.rows("node.enrolled.v1") == 2)
    time.sleep(1)
    code, _, err = ended(node)
    assert code == 0, err
    return machine


def refused(service: Service, *more: str) -> str:
    """Run a node, which is refused; return what it says."""
    node = service.node(*more)
    _, err = node.communicate(timeout=60)
    assert (node.returncode, "Traceback" in err) == (1, False), err
    return err


def test_a_machine_that_proved_itself_runs_what_a_policy_lets_run_on_hardware_only(
    service: Service, enrolled: dict[str, Any]
) -> None:
    before, appraised = service.rows("cac.issued.v1"), service.rows("execution.evidence_appraised.v2")
    node = service.node("hard.json", "--platform", "snp")
    service.submit(2)
    eventually(lambda: service.rows("cac.issued.v1") == before + 2)
    code, said, err = ended(node)
    assert (code, said["executed"]) == (0, 2), err
    shown = service.ask("GET", "/v1/nodes/hard-1", token=service.token("hard.json")).json["facts"]
    assert (shown["evidence_class"], shown["evidence_root"]) == ("synthetic", enrolled["evidence_root"])
    assert (shown["platform_ids"], shown["slots"]) == ([enrolled["platform_id"]], 2)
    assert service.rows("execution.evidence_appraised.v2") == appraised + 2
    cacs = service.ledger.done("cac", "list", "--json").json["cacs"]
    document = service.ledger.done("cac", "show", cacs[-1]["cac"], "--json").json["cac"]
    assert (document["evidence_class"], document["node"]) == ("synthetic", "hard-1")
    assert enrolled["platform_id"] in document["hardware"]


def test_an_enrolled_machine_runs_with_its_platform_and_without_it_not_at_all(
    service: Service, enrolled: dict[str, Any]
) -> None:
    assert "name its platform" in refused(service, "hard.json")
    assert "run it without a platform" in refused(service, "node.json", "--platform", "snp")


def test_another_machines_evidence_gets_no_inputs(service: Service, enrolled: dict[str, Any]) -> None:
    appraised, released = service.rows("execution.evidence_appraised.v2"), service.rows("execution.inputs_released.v1")
    wallet, token = service.wallet("hard.json"), service.token("hard.json")
    service.submit(1)
    found: list[dict[str, Any]] = []
    while not found:
        found = service.post("/v1/assignments", {"wait_ms": 5_000}, token).json["assignments"]
    sent = read_sent(SentAssignment, found[0])
    made = sent.with_module(service.ask("GET", f"/v1/assignments/{sent.execution}/module", token=token).body)
    platform = SyntheticPlatform(service.ledger.folder / "hard.node" / DIRECTORY, 0)
    relayed = PlatformEvidence(SyntheticAttester(platform, "snp", "elsewhere", CLOCK.now_ms))
    with Keep(made.origin) as keep:
        evidence = relayed.make(made, keep.prepare(prepare_request(made)))
    chain = {"execution": made.execution_id, "seq": 0, "prev": "0" * 64}
    now = int(time.time())
    registered = {
        "iss": wallet.did(Purpose.REPORT), "aud": made.origin, "jti": SystemEntropy().bytes(16).hex(), "iat": now,
        "exp": now + 600,
    }  # fmt: skip
    report = jws.sign(REPORT, wallet.key(Purpose.REPORT), {**registered, **evidence.claims, **chain})
    answer = service.post("/v1/reports", {"report": report, **evidence.enclosed.members()}, token).json
    assert answer["accepted"]
    assert "release" not in answer
    eventually(lambda: service.ask("GET", f"/v1/assignments/{sent.execution}", token=token).json["over"])
    assert service.rows("execution.evidence_appraised.v2") == appraised + 1
    assert service.rows("execution.inputs_released.v1") == released
    before = service.rows("cac.issued.v1")
    node = service.node("hard.json", "--platform", "snp")  # placed again, its own machine's evidence is good
    eventually(lambda: service.rows("cac.issued.v1") == before + 1)
    assert ended(node)[0] == 0


@pytest.fixture(scope="module")
def askers(service: Service) -> tuple[Speaker, Speaker]:
    """A node that has a credential, and somebody of the same name who has none."""
    made = (wallets.create(service.ledger.folder / f"{name}.json", "asker", SystemEntropy()) for name in ("a", "b"))
    first, second = (speaker(service, wallet) for wallet in made)
    return first, second


def test_who_shows_no_credential_of_its_own_uses_up_no_challenge(
    service: Service, askers: tuple[Speaker, Speaker], machine: dict[str, Any]
) -> None:
    speaks, stranger = askers
    other = stranger.wallet
    good = issued(service, speaks.wallet, machine["platform_id"])
    forged = issue_node(
        NodeSubject(
            id=other.did(Purpose.REPORT), operator="X", country_of_operation="DEU", vendor="amd", platform_ids=()
        ),
        other.key(Purpose.CREDENTIAL), valid_from_ms=CLOCK.now_ms(), valid_until_ms=CLOCK.now_ms() + YEAR_MS,
        created_ms=CLOCK.now_ms(),
    )  # fmt: skip
    before = service.rows("node.challenged.v1")
    signed = stranger.signed({"act": "challenge_node", "node": "asker"})
    for refused_ in (
        challenge(service, stranger, forged),
        challenge(service, stranger, good),
        challenge(service, speaks, good, request=signed),
        challenge(service, speaks, good, request=speaks.signed({"act": "challenge_node", "node": "other"})),
        challenge(service, speaks, good, request=speaks.signed({"act": "enrol_node", "node": "asker"})),
        challenge(service, speaks, good, public_key=stranger.public.hex()),
        challenge(service, speaks, good, more=1),
    ):
        assert refused_.status == 401, refused_.body
    assert service.rows("node.challenged.v1") == before
    request = speaks.signed({"act": "challenge_node", "node": "asker"})
    first, again = (challenge(service, speaks, good, request=request) for _ in range(2))
    assert (first.status, first.json["nonce"]) == (201, again.json["nonce"])
    assert service.rows("node.challenged.v1") == before + 1


def test_evidence_counts_only_with_the_word_of_the_key_that_was_challenged(
    service: Service, askers: tuple[Speaker, Speaker], enrolled: dict[str, Any]
) -> None:
    speaks, stranger = askers
    nonce = challenge(service, speaks, issued(service, speaks.wallet, enrolled["platform_id"])).json["nonce"]
    attester = own_machine(service.ledger.folder / "hard.node", "snp", "asker", CLOCK.now_ms)
    made = attester.attest(bytes(64), "0" * 64)
    digests = made.members()
    claims = {
        "act": "prove_machine", "node": "asker", "nonce": nonce, "platform_evidence": digests["platform_evidence"],
        "endorsements": digests["endorsements"],
    }  # fmt: skip
    beside = {
        "evidence": base64.b64encode(made.evidence).decode(),
        "endorsements": [base64.b64encode(one).decode() for one in made.endorsements],
    }
    before = service.rows("node.evidence_appraised.v1")
    for proof, given in (
        (stranger.signed(claims), beside),
        (speaks.signed({**claims, "nonce": "0" * 64}), beside),
        (speaks.signed({**claims, "node": "hard-1"}), beside),
        (speaks.signed({**claims, "node": 5}), beside),
        (speaks.signed({**claims, "platform_evidence": "0" * 64}), beside),
        (speaks.signed(claims), {**beside, "endorsements": []}),
        (speaks.signed(claims), {**beside, "evidence": ""}),
        (speaks.signed(claims)[:-4], beside),
    ):
        assert service.post("/v1/nodes/evidence", {"proof": proof, **given}).status == 401
    assert service.rows("node.evidence_appraised.v1") == before
    proof = speaks.signed(claims)
    first, again = (service.post("/v1/nodes/evidence", {"proof": proof, **beside}).json for _ in range(2))
    assert (first["accepted"], first["status"]) == (False, "contraindicated")
    assert "nonce" in first["reason"]
    assert {**first, "acknowledgements": []} == again
    assert service.rows("node.evidence_appraised.v1") == before + 1
    assert service.post("/v1/nodes/evidence", {"proof": speaks.signed(claims), **beside}).status == 401


def test_a_credential_of_another_machine_enrols_nobody(service: Service, enrolled: dict[str, Any]) -> None:
    folder = service.ledger.folder
    wallet = wallets.create(folder / "wrong.json", "wrong", SystemEntropy())
    (folder / "wrong.vc").write_text(json.dumps(issued(service, wallet, enrolled["platform_id"])))
    shutil.copytree(folder / "hard.node" / DIRECTORY, folder / "wrong.node" / DIRECTORY)
    Path(folder / "wrong.node").chmod(0o700)
    before = service.rows("node.enrolled.v1")
    said = refused(service, "wrong.json", "--credential", "wrong.vc", "--platform", "snp")
    assert "names other machines" in said
    assert service.rows("node.enrolled.v1") == before


def test_the_history_of_machines_over_http_verifies(service: Service, enrolled: dict[str, Any], tmp_path: Path) -> None:
    service.stop()
    try:
        done = service.ledger.done
        done("anchor", "run", "--once")
        for log, checked in (("platform", "attestation results (EAR): signature"), (TENANT, "")):
            bundle = tmp_path / log.partition("/")[0]
            done("audit", "export", "--tenant", log, "--out", bundle, "--with-keys", "all")
            said = service.ledger.inside("audit", "verify", bundle, "--log-key", bundle / "log.vkey", "--json")
            assert said.code == 0, said
            assert any(checked in one for one in said.json["checked"]), said.json
    finally:
        service.start()
