"""The files that auditors are given, and who counts as the operator's own witness."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConflictError, MalformedError, RefusedError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, parse_note
from domain.transparency.tlog_policy import PolicyGroup, PolicyLog, PolicyWitness, TlogPolicy
from infrastructure.anchors.trust import write_trust
from infrastructure.audit.trust import Trust, read_trust, trust_beside
from infrastructure.audit.witnessed import own_witnesses, witnessing
from infrastructure.tlog.cosigning import Cosigner
from infrastructure.tlog.signing import LogSigner

TRUST = Trust("ledger.example/t/5", b"k" * 32, b"a" * 32)
SIGNER = LogSigner.from_seeds("ledger.example/anchors", b"E" * 32, b"M" * 32)
CHECKPOINT = Checkpoint(SIGNER.name, 3, bytes(32))
COSIGNERS = [
    Cosigner.from_seeds(name, bytes([at]) * 32, bytes([at + 9]) * 32)
    for at, name in enumerate(("one.example", "two.example", "ledger.example/w", "four.example"))
]


def policy(threshold: int, *, own: bool = False) -> TlogPolicy:
    """Return a policy of four witnesses; the third is under the ledger's host, the fourth in `own` if asked."""
    lines = tuple(PolicyWitness(f"w{at}", one.verifier_keys()[0]) for at, one in enumerate(COSIGNERS))
    nested = PolicyGroup("own" if own else "others", 1, ("w3",))
    quorum = PolicyGroup("q", threshold, ("w0", "w1", "w2", nested.name))
    return TlogPolicy(tuple(PolicyLog(key) for key in SIGNER.verifier_keys()), lines, (nested, quorum), "q")


@given(st.dictionaries(st.integers(0, 3), st.integers(1, 10**9)), st.integers(1, 4), st.booleans())
def test_independence_needs_the_quorum_and_one_witness_that_is_not_the_operators(
    cosigned: dict[int, int], threshold: int, own: bool
) -> None:
    note = parse_note(SIGNER.sign_checkpoint(CHECKPOINT.to_text(), 1))
    for at, time in cosigned.items():
        note = Note(note.text, (*note.signatures, COSIGNERS[at].cosign(note.text, time)[0]))
    found = witnessing(policy(threshold, own=own), "ledger.example", note, CHECKPOINT)
    others = [time for at, time in cosigned.items() if at not in ({2, 3} if own else {2})]
    if len(cosigned) >= threshold and others:
        newest = sorted(cosigned.values(), reverse=True)[threshold - 1]
        assert (found.independent, found.since_unix_s) == (True, min(newest, max(others)))
    else:
        assert (found.independent, found.since_unix_s) == (False, None)
        assert found.why_not


def test_a_host_that_only_begins_alike_is_not_the_operators() -> None:
    assert own_witnesses(policy(1), "ledger.example") == {"w2"}
    assert own_witnesses(policy(1, own=True), "ledger.example") == {"w2", "w3"}
    assert own_witnesses(policy(1), "ledger.exam") == frozenset()
    assert own_witnesses(policy(1), "two.example") == {"w1"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"slot":5', b'"slot":6'), (b"t/5", b"t/6"), (b"ledger.example/anchors", b"other.example/anchors"),
        (b"6b", b"6B"), (b'"format"', b'"formal"'), (b"ledger-trust/v1", b"ledger-trust/v2"), (b"6b6b", b"6b"),
        (b"{", b'{"a":1,'), (b"}", b"} "), (b'"slot":5', b'"slot":"5"'), (b'"ledger.example/t/5"', b"7"),
        (b"ledger.example/t/5", b"nowhere"),
    ],
)  # fmt: skip
def test_a_file_of_trust_has_one_spelling(old: bytes, new: bytes) -> None:
    data = TRUST.to_bytes()
    assert Trust.parse(data) == TRUST
    assert old in data
    with pytest.raises(MalformedError):
        Trust.parse(data.replace(old, new, 1))


def test_both_files_are_written_once_and_the_secret_one_for_its_owner_alone(tmp_path: Path) -> None:
    out = tmp_path / "sub/a.policy"
    assert write_trust(out, policy(2), TRUST) == [out, trust_beside(out)]
    assert read_trust(out) == TRUST
    assert read_trust(tmp_path / "none") is None
    with pytest.raises(ConflictError):
        write_trust(out, policy(2), None)
    out.unlink()
    with pytest.raises(ConflictError):
        write_trust(out, policy(2), TRUST)
    assert not out.exists()
    trust_beside(out).chmod(0o644)
    with pytest.raises(RefusedError, match="chmod 600"):
        read_trust(out)
    trust_beside(out).write_bytes(b"{}")
    trust_beside(out).chmod(0o600)
    with pytest.raises(MalformedError, match=r"a\.policy\.json: not of the format"):
        read_trust(out)
