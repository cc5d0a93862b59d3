"""What an enclave binds, opens, refuses, seals and signs."""

import json
from hashlib import sha256
from typing import Any

import pytest

from domain.attestation.binding import Binding, input_info, output_info, report_data, salted_commitment
from domain.bounds import Bounds
from domain.canonical import canonical
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, UnknownError
from infrastructure.credentials.data_integrity import verify_proof
from infrastructure.demo import observations
from infrastructure.keys import did_key, hpke
from infrastructure.runtime.enclave import MAX_PREPARED, Enclaves
from infrastructure.runtime.engine import ClauseEngine
from infrastructure.runtime.messages import Completed, Faulted, decode_answer, decode_request, encode
from infrastructure.statements import jws
from tests.runtime.scenario import ENTROPY, HOST, ORIGIN, OUTPUT_KEY, Scenario, clause, hostile, opened_output

ROWS = observations.text(observations.load("nile").rows)
PARAMETERS = observations.parameters(1000)


@pytest.fixture
def enclaves(engine: ClauseEngine) -> Enclaves:
    """Return the enclaves of one log, in this process."""
    return Enclaves(ORIGIN, memory_limit_bytes=2_097_152, engine=engine, entropy=ENTROPY)


def flood(**replaced: Any) -> Scenario:
    """Return a flood workload over the Nile."""
    return Scenario(clause("flood"), ROWS, PARAMETERS, **replaced)


def test_report_data_is_recomputed_from_public_facts(enclaves: Enclaves) -> None:
    scenario = flood()
    prepared = enclaves.prepare(scenario.prepare())
    expected = Binding(
        host=HOST,
        origin=ORIGIN,
        execution_id=scenario.execution_id,
        node_id="node-1",
        nonce=scenario.nonce,
        module_digest=sha256(scenario.module).digest(),
        limits_digest=sha256(canonical(scenario.bounds.model_dump())).digest(),
        policy_digest=sha256(b"policy").digest(),
        submission_digest=sha256(scenario.submission.encode()).digest(),
        cac_key=prepared.cac_public_key,
        kem_id=hpke.KEM_ID,
        hpke_key_digest=sha256(prepared.hpke_public_key).digest(),
    )
    assert prepared.report_data == report_data(expected)


def test_the_output_opens_with_the_tenants_key_and_fits_its_commitment(enclaves: Enclaves) -> None:
    scenario = flood()
    prepared = enclaves.prepare(scenario.prepare())
    done = enclaves.run(scenario.run(prepared))
    assert isinstance(done, Completed)
    salt, output = opened_output(done, output_info(prepared.report_data, 0, done.output_commitment))
    assert salted_commitment(salt, output) == done.output_commitment
    assert (done.outcome, json.loads(output)["newest"]) == ("PASS", 740)
    assert done.output_size_bytes == len(output)


def test_the_cac_verifies_under_the_enclaves_key_origin_and_nonce_and_under_no_other(enclaves: Enclaves) -> None:
    scenario = flood()
    prepared = enclaves.prepare(scenario.prepare())
    done = enclaves.run(scenario.run(prepared))
    assert isinstance(done, Completed)
    expected = {
        "at_ms": 1_000,
        "controller": did_key.did_key(prepared.cac_public_key),
        "domain": ORIGIN,
        "challenge": scenario.nonce.hex(),
    }
    verified = verify_proof(done.cac, **expected)  # type: ignore[arg-type] # several types in one dict
    assert verified == {
        "cac_id": "cac-1",
        "execution_id": scenario.execution_id,
        "report_data": prepared.report_data.hex(),
        "outcome": "PASS",
        "outputs": [{"commitment": done.output_commitment.hex(), "size_bytes": done.output_size_bytes}],
    }
    other = flood()
    foreign = enclaves.prepare(other.prepare())
    for name, value in (
        ("controller", did_key.did_key(foreign.cac_public_key)),
        ("domain", "ledger.example/t/6"),
        ("challenge", other.nonce.hex()),
    ):
        with pytest.raises(NotAuthorisedError):
            verify_proof(done.cac, **{**expected, name: value})  # type: ignore[arg-type] # as above
    with pytest.raises(NotAuthorisedError):
        verify_proof({**done.cac, "outcome": "TRIGGER"}, **expected)  # type: ignore[arg-type] # as above


def test_no_two_executions_share_a_key_or_salt(enclaves: Enclaves) -> None:
    first, second = flood(), flood()
    one, two = enclaves.prepare(first.prepare()), enclaves.prepare(second.prepare())
    assert one.cac_public_key != two.cac_public_key
    assert one.hpke_public_key != two.hpke_public_key
    done = [enclaves.run(first.run(one)), enclaves.run(second.run(two))]
    assert len({answer.output_commitment for answer in done if isinstance(answer, Completed)}) == 2


def test_swapped_missing_or_foreign_inputs_are_an_input_error(enclaves: Enclaves) -> None:
    def swapped(scenario: Scenario, sealed: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return sealed[::-1]

    def missing(scenario: Scenario, sealed: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return sealed[:1]

    def changed(scenario: Scenario, sealed: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return (sealed[0][:-1] + bytes([sealed[0][-1] ^ 1]), sealed[1])

    for replace in (swapped, missing, changed):
        scenario = flood()
        request = scenario.run(enclaves.prepare(scenario.prepare()))
        sealed = replace(scenario, request.sealed_inputs)
        answer = enclaves.run(request.model_copy(update={"sealed_inputs": sealed}))
        assert isinstance(answer, Faulted)
        assert (answer.fault, answer.fuel_used) == ("input_error", 0)


def test_an_input_that_was_not_submitted_is_refused_though_it_is_sealed_rightly(enclaves: Enclaves) -> None:
    scenario = flood()
    prepared = enclaves.prepare(scenario.prepare())
    request = scenario.run(prepared)
    info = input_info(prepared.report_data, 1, scenario.commitments[1])
    for plain in (scenario.salted[1][:32] + observations.parameters(1), b"short", b""):
        forged = hpke.seal(prepared.hpke_public_key, plain, info)
        answer = enclaves.run(request.model_copy(update={"sealed_inputs": (request.sealed_inputs[0], forged)}))
        assert isinstance(answer, Faulted)
        assert answer.detail == "input 1 is not the one that was submitted"
        scenario = flood()
        prepared = enclaves.prepare(scenario.prepare())
        request = scenario.run(prepared)
        info = input_info(prepared.report_data, 1, scenario.commitments[1])


def test_an_input_sealed_to_another_execution_does_not_open(enclaves: Enclaves) -> None:
    first = flood()
    prepared = enclaves.prepare(first.prepare())
    second = flood()
    request = second.run(enclaves.prepare(second.prepare()))
    answer = enclaves.run(request.model_copy(update={"sealed_inputs": first.run(prepared).sealed_inputs}))
    assert isinstance(answer, Faulted)
    assert answer.detail == "input 0 is not sealed to this execution"


def test_an_execution_is_prepared_once_and_run_once(enclaves: Enclaves) -> None:
    scenario = flood()
    request = scenario.run(enclaves.prepare(scenario.prepare()))
    with pytest.raises(ConflictError):
        enclaves.prepare(scenario.prepare())
    enclaves.run(request)
    with pytest.raises(ConflictError):
        enclaves.run(request)
    enclaves.reset(scenario.execution_id)
    enclaves.reset(scenario.execution_id)
    with pytest.raises(UnknownError):
        enclaves.run(request)
    with pytest.raises(ConflictError):
        enclaves.prepare(scenario.prepare())
    with pytest.raises(UnknownError):
        enclaves.reset("exec-0x00")


@pytest.mark.parametrize(
    "replaced",
    [
        {"outcome": "PASS"},
        {"outputs": []},
        {"proof": {}},
        {"execution_id": "exec-0x00"},
        {"report_data": "00" * 64},
        {"window": float("nan")},
        {"notes": "x" * 300_000},
    ],
)
def test_a_cac_that_is_not_this_enclaves_is_refused_before_anything_runs(
    enclaves: Enclaves, replaced: dict[str, object]
) -> None:
    scenario = flood()
    request = scenario.run(enclaves.prepare(scenario.prepare()))
    with pytest.raises(MalformedError):
        enclaves.run(request.model_copy(update={"cac": request.cac | replaced}))
    with pytest.raises(MalformedError):
        enclaves.run(request.model_copy(update={"output_public_key": b"none"}))
    assert isinstance(enclaves.run(request), Completed)


def test_another_log_a_foreign_submission_or_too_much_memory_are_refused(enclaves: Enclaves) -> None:
    scenario = flood()
    request = scenario.prepare()
    scenario.commitments = [scenario.commitments[0]] * 9
    too_many = scenario.sign_submission()
    for replaced in (
        {"origin": "ledger.example/t/6"},
        {"submission": scenario.sign_submission(aud="ledger.example/t/6")},
        {"submission": scenario.sign_submission(typ=jws.REPORT)},
        {"submission": too_many},
        {"submission": "a.b.c"},
        {"module": hostile("bad_import")},
        {"limits": Bounds(memory_bytes=4_194_304, fuel=1, wall_ms=1)},
    ):
        with pytest.raises(MalformedError):
            enclaves.prepare(request.model_copy(update=replaced))
    enclaves.prepare(request)


def test_only_so_many_enclaves_wait_at_once(enclaves: Enclaves) -> None:
    waiting = [flood() for _ in range(MAX_PREPARED)]
    for scenario in waiting:
        enclaves.prepare(scenario.prepare())
    late = flood()
    with pytest.raises(ConflictError, match="wait already"):
        enclaves.prepare(late.prepare())
    enclaves.reset(waiting[0].execution_id)
    enclaves.prepare(late.prepare())


def test_a_fault_yields_no_cac_and_no_output(enclaves: Enclaves) -> None:
    scenario = Scenario(hostile("trap"))
    answer = enclaves.run(scenario.run(enclaves.prepare(scenario.prepare())))
    assert isinstance(answer, Faulted)
    assert answer.model_dump().keys() == {
        "kind",
        "execution_id",
        "fault",
        "detail",
        "fuel_used",
        "peak_memory_bytes",
    }


def test_messages_come_back_as_they_were_sent_and_others_are_refused(enclaves: Enclaves) -> None:
    scenario = flood()
    request = scenario.prepare()
    prepared = enclaves.prepare(request)
    run = scenario.run(prepared)
    assert decode_request(encode(request)) == request
    assert decode_request(encode(run)) == run
    assert decode_answer(encode(prepared)) == prepared
    done = enclaves.run(run)
    assert decode_answer(encode(done)) == done
    for bad in (b"", b"{}", b'{"kind":"reset"}', b'{"execution_id":"e","kind":"reset","more":1}', b"[]"):
        with pytest.raises(MalformedError):
            decode_request(bad)


def test_keys_show_nothing_of_themselves(enclaves: Enclaves) -> None:
    scenario = flood()
    enclaves.prepare(scenario.prepare())
    enclave = enclaves._waiting[scenario.execution_id]
    shown = repr(enclave)
    assert "cac_key" not in shown
    assert "hpke_key=" not in shown
    assert enclave.hpke_key.to_bytes().hex() not in shown


def test_an_output_key_that_the_submission_does_not_name_gets_no_output(enclaves: Enclaves) -> None:
    other = sha256(b"another").hexdigest()
    for digest, good in ((other, False), (sha256(OUTPUT_KEY.public).hexdigest(), True)):
        scenario = flood()
        scenario.submission = scenario.sign_submission(output_key_digest=digest)
        request = scenario.run(enclaves.prepare(scenario.prepare()))
        if good:
            assert isinstance(enclaves.run(request), Completed)
        else:
            with pytest.raises(MalformedError, match="another output key"):
                enclaves.run(request)
