"""Software evidence: one claim that doesn't hold makes it contraindicated, and the reason is said."""

from typing import Any

import pytest

from domain.attestation.appraise import appraise, binding_of, platform_id
from domain.attestation.binding import report_data
from domain.attestation.release import release_info
from tests.domain import samples
from tests.domain.results import bound, evidence, expected
from tests.domain.samples import NOW, hexed, reserved


def test_evidence_over_this_executions_binding_affirms() -> None:
    assert appraise(expected(), evidence(expected()), NOW) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"evidence_class": "vendor"}, "software evidence only"),
        ({"nonce": hexed(77)}, "another nonce"),
        ({"measurement": hexed(77)}, "runtime"),
        ({"report_data": hexed(77, 64)}, "binding"),
        ({"cac_key": hexed(77)}, "binding"),
        ({"hpke_key": hexed(77)}, "binding"),
        ({"hpke_kem_id": 5}, "binding"),
    ],
)
def test_a_claim_that_does_not_hold_is_said(changes: dict[str, Any], says: str) -> None:
    reason = appraise(expected(), evidence(expected(), **changes), NOW)
    assert reason is not None
    assert says in reason


def test_an_expired_nonce_and_a_foreign_machine_are_refused() -> None:
    of = expected()
    assert appraise(of, evidence(of), of.challenge.expires_ms - 1) is None
    assert appraise(of, evidence(of), of.challenge.expires_ms) == "the nonce has expired"
    for foreign in (samples.node(platform_ids=()), samples.node(platform_ids=("software:other",))):
        elsewhere = expected(node=foreign)
        assert appraise(elsewhere, evidence(elsewhere), NOW) == "the machine is not one of this node's"


@pytest.mark.parametrize(
    "other",
    [
        {"host": "other.example"},
        {"origin": f"{samples.HOST}/t/8"},
        {"reserved": reserved(execution_id="exec-0x" + "0" * 32)},
        {"reserved": reserved(module_digest=hexed(77))},
        {"reserved": reserved(policy_digest=hexed(77))},
        {"reserved": reserved(limits=samples.BOUNDS.model_copy(update={"fuel": 1}))},
        {"node": samples.node("node-b", platform_ids=(platform_id(samples.KID),))},
        {"challenge": samples.challenged(nonce=hexed(77))},
        {"submission_digest": hexed(77)},
    ],
)
def test_evidence_of_another_execution_never_affirms(other: dict[str, Any]) -> None:
    assert bound(expected(**other)) != bound(expected())
    assert appraise(expected(**other), evidence(expected()), NOW) is not None


def test_the_binding_is_hashed_as_the_wire_format_says() -> None:
    of, sample = expected(), samples.appraised()
    binding = binding_of(of, sample.cac_key, sample.hpke_kem_id, sample.hpke_key)
    assert report_data(binding).hex() == bound(of)
    assert binding.node_id == of.node.node
    assert binding.nonce.hex() == of.challenge.nonce


def test_an_input_on_its_way_to_the_releaser_is_bound_to_log_place_and_commitment() -> None:
    info = release_info("h/t/1", 2, b"c" * 32)
    assert info == b"ledger release v1\0h/t/1\0\0\0\0\2" + b"c" * 32
    assert len({info, release_info("h/t/2", 2, b"c" * 32), release_info("h/t/1", 3, b"c" * 32)}) == 3
