"""The appraiser: pure, and never better than the weakest claim."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.attestation.appraiser import AppraisalPolicy, ReferenceValues, appraise, rejected
from domain.attestation.claims import EvidenceClass, TcbStatus, VerifiedClaims, Weakness
from domain.attestation.numbers import admit
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.attestation.trust_vector import Tier, TrustVector, tier_of, weakest
from domain.errors import MalformedError
from tests.attestation.scene import AT_S, ISSUED_S, MEASUREMENT, REPORT_DATA, Intel, Snp

ORDER = list(Tier)
CLAIM = st.none() | st.integers(-128, 127)


@pytest.fixture(scope="session")
def claims(snp: Snp) -> VerifiedClaims:
    return snp.claims(snp.good)


@given(st.lists(CLAIM, min_size=8, max_size=8))
def test_a_vector_is_as_good_as_its_weakest_claim(values: list[int | None]) -> None:
    vector = TrustVector(**dict(zip(TrustVector.model_fields, values, strict=True)))
    tiers = [tier_of(value) for value in values if value is not None]
    assert vector.tier() is weakest(*tiers)
    assert all(ORDER.index(vector.tier()) >= ORDER.index(tier) for tier in tiers)


@pytest.mark.parametrize(
    ("claim", "tier"),
    [
        (-1, Tier.NONE), (0, Tier.NONE), (1, Tier.NONE), (2, Tier.AFFIRMING), (31, Tier.AFFIRMING),
        (-2, Tier.AFFIRMING), (-32, Tier.AFFIRMING), (32, Tier.WARNING), (95, Tier.WARNING), (-33, Tier.WARNING),
        (-96, Tier.WARNING), (96, Tier.CONTRAINDICATED), (127, Tier.CONTRAINDICATED), (-97, Tier.CONTRAINDICATED),
        (-128, Tier.CONTRAINDICATED),
    ],
)  # fmt: skip
def test_tiers_are_those_of_ar4si(claim: int, tier: Tier) -> None:
    assert tier_of(claim) is tier


@given(
    status=st.none() | st.sampled_from(TcbStatus),
    weaknesses=st.lists(st.sampled_from(Weakness), unique=True).map(tuple),
    measured=st.booleans() | st.none(),
    machine=st.booleans() | st.none(),
    fresh=st.booleans() | st.none(),
)
def test_more_expectations_never_make_it_better(
    claims: VerifiedClaims,
    status: TcbStatus | None,
    weaknesses: tuple[Weakness, ...],
    measured: bool | None,
    machine: bool | None,
    fresh: bool | None,
) -> None:
    given_claims = claims.model_copy(update={"tcb_status": status, "weaknesses": weaknesses})
    reference = ReferenceValues(
        measurements=None if measured is None else frozenset({MEASUREMENT.hex() if measured else "00"}),
        platform_ids=None if machine is None else frozenset({claims.platform_id or "" if machine else "amd:00"}),
    )
    nonce = None if fresh is None else (REPORT_DATA if fresh else b"other")
    alone, result = appraise(given_claims), appraise(given_claims, reference, None, nonce)
    assert ORDER.index(result.status) >= ORDER.index(alone.status)
    assert result.status is result.trust_vector.tier()
    bad = False in {measured, machine, fresh}
    if bad or weaknesses:
        assert result.status is Tier.CONTRAINDICATED
    assert (result.reason is None) == (result.status is Tier.AFFIRMING)
    unjudged = {"reference_values": measured, "platform": machine, "nonce": fresh}
    assert {name for name, value in unjudged.items() if value is None} == set(result.not_appraised) - {"revocation"}


def test_a_nonce_is_report_data_up_to_zeros(snp: Snp) -> None:
    short = snp.claims(snp.machine.report(b"short"))
    assert appraise(short, nonce=b"short").status is Tier.AFFIRMING
    assert appraise(short, nonce=b"short".ljust(64, b"\0")).status is Tier.AFFIRMING
    for wrong in (b"shor", b"shorts", b"\0", b"short".ljust(64, b"\1")):
        assert appraise(short, nonce=wrong).status is Tier.CONTRAINDICATED
    for never in (b"", b"x" * 65):
        with pytest.raises(MalformedError):
            appraise(short, nonce=never)


def test_signers_of_enclaves_are_reference_values(intel: Intel, claims: VerifiedClaims) -> None:
    sgx = intel.claims(intel.sgx)
    assert appraise(sgx, ReferenceValues(signers=frozenset({"00" * 32}))).status is Tier.AFFIRMING
    assert appraise(sgx, ReferenceValues(signers=frozenset({"11" * 32}))).status is Tier.CONTRAINDICATED
    assert appraise(claims, ReferenceValues(signers=frozenset({"00" * 32}))).status is Tier.CONTRAINDICATED


def test_a_synthetic_root_counts_where_the_policy_names_it(claims: VerifiedClaims) -> None:
    assert claims.evidence_class is EvidenceClass.SYNTHETIC
    assert appraise(claims, policy=AppraisalPolicy(policy_id="p")).status is Tier.CONTRAINDICATED
    named = AppraisalPolicy(policy_id="p", roots=frozenset({claims.root}))
    assert appraise(claims, policy=named).status is Tier.AFFIRMING
    assert appraise(claims, policy=named).policy_ids == ("p",)


def test_a_policy_may_refuse_warnings_advisories_and_chains_without_lists(claims: VerifiedClaims) -> None:
    weak = claims.model_copy(
        update={"tcb_status": TcbStatus.SW_HARDENING_NEEDED, "advisories": ("INTEL-SA-1",), "revocation": True}
    )
    policy = AppraisalPolicy(policy_id="p", roots=frozenset({claims.root}))
    assert appraise(weak, policy=policy).status is Tier.WARNING
    for stricter in ({"warning_accepted": False}, {"advisories_refused": frozenset({"INTEL-SA-1"})}):
        assert appraise(weak, policy=policy.model_copy(update=stricter)).status is Tier.CONTRAINDICATED
    listed = policy.model_copy(update={"revocation_required": True})
    assert appraise(weak, policy=listed).status is Tier.WARNING
    assert appraise(claims, policy=listed).status is Tier.CONTRAINDICATED


@pytest.mark.parametrize(("age_s", "tier"), [(3600, Tier.AFFIRMING), (3599, Tier.CONTRAINDICATED)])
def test_a_policy_may_demand_young_collateral(snp: Snp, intel: Intel, age_s: int, tier: Tier) -> None:
    crl = snp.authority.revocation_list(ISSUED_S, AT_S + 5)
    listed = snp.claims(snp.good, snp.authority.endorsements(snp.machine), crl)
    for claims in (intel.claims(intel.sgx), listed):
        policy = AppraisalPolicy(policy_id="p", roots=frozenset({claims.root}), maximum_collateral_age_s=age_s)
        assert appraise(claims, policy=policy).status is tier
        none = claims.model_copy(update={"collateral_issued_s": None})
        assert appraise(none, policy=policy).status is Tier.CONTRAINDICATED


def test_what_is_rejected_proves_nothing() -> None:
    for kind in Refusal:
        result = rejected(kind, "why")
        assert result.status is (Tier.CONTRAINDICATED if kind is Refusal.REVOKED else Tier.REJECTED)
        assert (result.platform_id, result.evidence_class, result.reason) == (None, None, "why")


def test_claims_can_be_stored_and_appraised_again(claims: VerifiedClaims, intel: Intel) -> None:
    for one in (claims, intel.claims(intel.sgx), intel.claims(intel.tdx)):
        again = VerifiedClaims.model_validate_json(one.model_dump_json())
        assert again == one
        assert appraise(again) == appraise(one)


@given(st.lists(st.integers(0, 20), min_size=1))
def test_a_number_never_falls(intel: Intel, numbers: list[int]) -> None:
    (one, *_) = intel.claims(intel.sgx).collateral
    seen: dict[str, int] = {"another": 99}
    highest = 0
    for number in numbers:
        more = [one.model_copy(update={"number": number})]
        if number < highest:
            with pytest.raises(EvidenceRefusedError, match="rolled_back"):
                admit(seen, more)
        else:
            seen, highest = admit(seen, more), number
    assert seen == {"another": 99, one.source: highest}
