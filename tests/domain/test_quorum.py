"""Independent enclaves' results are compared whole, and who differs is told against the strict majority."""

from hypothesis import given
from hypothesis import strategies as st

from domain.cacs.events import EnclaveResult, QuorumFailed
from domain.cacs.quorum import agreed, differing
from domain.canonical import canonical
from tests.domain.samples import QUORUM, decided, hexed

GIVEN = st.lists(st.tuples(st.sampled_from(["PASS", "FAIL"]), st.integers(0, 2)), min_size=2, max_size=16)


def results(given: list[tuple[str, int]]) -> tuple[EnclaveResult, ...]:
    return tuple(
        EnclaveResult.model_validate(
            {
                "execution_id": f"exec-0x{number:032x}",
                "cac_id": f"cac-0x{number:032x}",
                "outcome": outcome,
                "output_commitment": hexed(commitment),
            }
        )
        for number, (outcome, commitment) in enumerate(given)
    )


@given(given=GIVEN)
def test_either_all_agree_or_somebody_differs(given: list[tuple[str, int]]) -> None:
    found = results(given)
    assert (agreed(found) is None) is bool(differing(found))
    assert (agreed(found) is None) is (len(set(given)) > 1)


@given(given=GIVEN)
def test_a_strict_majority_is_never_among_those_that_differ(given: list[tuple[str, int]]) -> None:
    found = results(given)
    for one in set(given):
        same = [result.execution_id for result, value in zip(found, given, strict=True) if value == one]
        if 2 * len(same) > len(given):
            assert set(differing(found)) == {result.execution_id for result in found} - set(same)
            return
    assert differing(found) == tuple(result.execution_id for result in found)


def test_outcomes_that_differ_over_one_output_differ() -> None:
    assert differing(results([("PASS", 1), ("PASS", 1), ("FAIL", 1)])) == ("exec-0x" + "0" * 31 + "2",)


def test_a_quorum_that_failed_reads_back_with_and_without_what_was_given() -> None:
    found = results([("PASS", 1), ("FAIL", 1)])
    told = QuorumFailed(**decided(**QUORUM, reason="divergence", results=found, differing=differing(found)))
    assert type(told).model_validate_json(canonical(told.payload())) == told
    silent = QuorumFailed(**decided(**QUORUM, reason="divergence"))
    assert {"results", "differing"}.isdisjoint(silent.payload())
