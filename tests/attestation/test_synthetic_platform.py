"""The synthetic vendors of a data directory: made once, the same for ever, nobody else's."""

import stat
from pathlib import Path

import pytest

from domain.attestation.appraiser import appraise
from domain.attestation.claims import EvidenceClass
from domain.attestation.trust_vector import Tier
from domain.errors import MalformedError, VerificationError
from infrastructure.attestation.endorsements import sort_endorsements
from infrastructure.attestation.roots import named_roots
from infrastructure.attestation.synthetic.platform import Kind, SyntheticPlatform
from infrastructure.attestation.verify import verify
from tests.attestation.scene import AT_S, BEGIN_S, ISSUED_S, REPORT_DATA

SIZES: dict[Kind, int] = {"sgx": 32, "tdx": 48, "snp": 48}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> SyntheticPlatform:
    return SyntheticPlatform(tmp_path_factory.mktemp("data") / "synthetic", BEGIN_S, bits=2048)


@pytest.mark.parametrize("kind", SIZES)
def test_machines_answer_and_are_the_same_next_time(platform: SyntheticPlatform, kind: Kind) -> None:
    again = SyntheticPlatform(platform.root_path.parent, BEGIN_S + 5)
    roots = named_roots(platform.root_path.read_bytes())
    ids = set()
    for one, name in ((platform, "berlin-1"), (again, "berlin-1"), (again, "berlin-2")):
        evidence = one.quote(kind, name, REPORT_DATA, b"m" * SIZES[kind])
        claims = verify(evidence, sort_endorsements(one.endorsements(kind, name, ISSUED_S)), AT_S, roots)
        assert claims.evidence_class is EvidenceClass.SYNTHETIC
        assert claims.revocation
        assert appraise(claims, nonce=REPORT_DATA).status is Tier.AFFIRMING
        ids.add(claims.platform_id)
    assert len(ids) == 2
    assert None not in ids


def test_another_directorys_evidence_counts_nowhere_else(platform: SyntheticPlatform, tmp_path: Path) -> None:
    other = SyntheticPlatform(tmp_path / "synthetic", BEGIN_S, bits=2048)
    for kind, size in SIZES.items():
        evidence = other.quote(kind, "berlin-1", REPORT_DATA, b"m" * size)
        given = sort_endorsements(other.endorsements(kind, "berlin-1", ISSUED_S))
        for roots in (platform.roots, None):
            with pytest.raises(VerificationError, match="untrusted_root"):
                verify(evidence, given, AT_S, roots)


def test_keys_are_private_and_names_are_plain(platform: SyntheticPlatform) -> None:
    platform.snp_machine("berlin-1")
    for file in platform.root_path.parent.iterdir():
        if file.suffix == ".json":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            continue
        assert b"PRIVATE" not in file.read_bytes()
    for name in ("", "../x", "a/b", "ä", "a b"):
        with pytest.raises(MalformedError):
            platform.snp_machine(name)
