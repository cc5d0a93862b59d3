"""`audit verify` of a bundle with openings: what it says of honest ones, and how each falsehood is named."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from domain.transparency.anchor_evidence import AnchoredOpening
from domain.transparency.anchors import slot_key
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, parse_note
from domain.transparency.tlog_policy import NO_QUORUM, PolicyGroup, TlogPolicy, parse_policy
from infrastructure.anchors.exporting import bundle_files
from infrastructure.anchors.openings import RoundRange
from infrastructure.anchors.trust import log_trust
from infrastructure.audit.anchored import Anchored, Expected, verify_anchored
from infrastructure.audit.bundle_openings import opening_path
from infrastructure.audit.export import export_bundle
from infrastructure.audit.trust import Trust
from infrastructure.audit.verify import verify_bundle
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from tests.anchoring.stage import Stage, policy_of, staged
from tests.database import TestServer

Change = Callable[["Told"], Iterator[tuple[str, bytes]]]


@dataclass
class Told:
    """A cell with two tenants, six rounds under two witnesses, and the first tenant's bundle."""

    stage: Stage
    bundle: Path

    def files(self, of: int = 0) -> Iterator[tuple[str, bytes]]:
        """Yield what goes into a tenant's bundle of the anchor log."""
        return bundle_files(self.stage.ledger, self.stage.log(self.stage.members[of]))

    def opening(self, index: int, of: int = 0) -> AnchoredOpening:
        return AnchoredOpening.parse(dict(self.files(of))[opening_path(index)])

    def with_opening(self, index: int, changed: AnchoredOpening) -> Iterator[tuple[str, bytes]]:
        for path, data in self.files():
            yield path, changed.to_bytes() if path == opening_path(index) else data

    def audited(
        self, tmp_path: Path, files: Iterator[tuple[str, bytes]], expected: Expected | None = None
    ) -> tuple[Verification, Anchored | None]:
        """Write a bundle with other files, signed by the true keys, and audit it."""
        export_bundle(self.stage.ledger, self.stage.log().log_id, tmp_path / "bundle", further=files)
        return self.stage.verify(tmp_path / "bundle", expected)


@pytest.fixture(scope="module")
def told(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with postgres.database() as name, staged(tmp_path_factory.mktemp("cell"), postgres.conninfo(name), tenants=2) as it:
        it.policy = policy_of([it.witness("w1.example"), it.witness("w2.example")])
        it.turn(publish=False)
        for _ in range(5):
            for member in it.members:
                it.grow(member)
            it.turn()
        yield Told(it, it.export())


def test_an_honest_bundle_has_one_history_under_independent_witnesses(told: Told) -> None:
    verdict, anchored = told.stage.verify(told.bundle)
    assert (verdict.ok, verdict.trust, verdict.first_error) == (True, "verified", None)
    assert anchored is not None
    assert (anchored.history, anchored.covered) == ("one history in rounds 0..5", verdict.size)
    assert (anchored.witnessing.independent, anchored.fork, anchored.head_round) == (True, None, 5)
    assert any(line.startswith("one history in rounds 0..5: ") for line in verdict.checked)
    assert any(line.startswith("a quorum of witnesses cosigned at 2023-11-14T") for line in verdict.checked)
    assert not any("witnessed" in line for line in verdict.not_checked)


def test_every_log_of_the_cell_is_covered(told: Told, tmp_path: Path) -> None:
    for log in told.stage.ledger.logs():
        out = tmp_path / str(log.slot)
        export_bundle(told.stage.ledger, log.log_id, out, further=bundle_files(told.stage.ledger, log))
        verdict, anchored = verify_anchored(out, verify_bundle(out), Expected())
        assert verdict.ok, verdict.first_error
        assert anchored is not None
        assert anchored.history == "one history in rounds 0..5"


def test_without_a_policy_it_is_self_consistent_and_said_not_to_be_witnessed(told: Told) -> None:
    verdict, anchored = told.stage.verify(told.bundle, Expected())
    assert verdict.ok
    assert verdict.trust == "self-consistent; origin not authenticated"
    assert anchored is not None
    assert anchored.history == "one history in rounds 0..5"
    assert (anchored.witnessing.independent, anchored.head_round) == (False, None)
    assert any("not independently witnessed: no policy names a witness" in line for line in verdict.not_checked)
    assert any("whose the keys of ledger.example/anchors are" in line for line in verdict.not_checked)


def test_entries_after_the_last_round_and_rounds_left_out_are_not_vouched_for(told: Told, tmp_path: Path) -> None:
    kept = [0, 1, 3]
    files = ((path, data) for path, data in told.files() if path not in {opening_path(at) for at in (2, 4, 5)})
    verdict, anchored = told.audited(tmp_path, files)
    assert anchored is not None
    assert anchored.history == "one history in rounds 0..1; only round 3 checked"
    covered = told.opening(kept[-1]).opening.checkpoint(told.stage.log().origin)
    assert covered is not None
    assert anchored.covered == covered.size < (verdict.size or 0)
    left = (verdict.size or 0) - covered.size
    assert f"that {left} entries after the last round are everybody's" in verdict.not_checked


def test_a_greatest_age_is_held_against_the_newest_quorum(told: Told, tmp_path: Path) -> None:
    stage = told.stage
    assert stage.verify(told.bundle, stage.expected(max_age_s=0))[0].ok
    later = replace(stage.expected(max_age_s=3600), now_unix_s=stage.expected().now_unix_s + 3601)
    verdict, anchored = stage.verify(told.bundle, later)
    assert (verdict.ok, verdict.trust, anchored) == (False, "not verified", None)
    assert "too old: a quorum of witnesses last cosigned 3601 s ago, more than 3600 s" in (verdict.first_error or "")
    earlier = replace(stage.expected(max_age_s=3600), now_unix_s=stage.expected().now_unix_s - 3600)
    assert "compare the clocks" in (stage.verify(told.bundle, earlier)[0].first_error or "")
    nobody = replace(
        stage.expected(max_age_s=3600), policy=replace(stage.expected().policy or stage.policy, quorum=NO_QUORUM)
    )
    assert "never witnessed" in (stage.verify(told.bundle, nobody)[0].first_error or "")
    files = ((path, data) for path, data in told.files() if path != opening_path(5))
    hidden, _ = told.audited(tmp_path, files, stage.expected(max_age_s=3600))
    assert "round 4 is the newest that is shown of 6 rounds" in (hidden.first_error or "")


def without_witness(told: Told, *names: str) -> Iterator[tuple[str, bytes]]:
    def stripped(note: Note) -> Note:
        return Note(note.text, tuple(line for line in note.signatures if line.name not in names))

    for path, data in told.files():
        if path.endswith(".tlog-proof"):
            opening = AnchoredOpening.parse(data)
            yield path, AnchoredOpening(replace(opening.proof, note=stripped(opening.proof.note))).to_bytes()
        elif path == "anchors/checkpoint":
            yield path, stripped(parse_note(data)).to_bytes()
        else:
            yield path, data


def test_a_stripped_cosignature_is_no_quorum_and_said(told: Told, tmp_path: Path) -> None:
    verdict, anchored = told.audited(tmp_path, without_witness(told, "w2.example"))
    assert verdict.ok
    assert verdict.trust == "verified; not independently witnessed"
    assert anchored is not None
    assert not anchored.witnessing.independent
    assert verdict.not_checked[0].startswith("not independently witnessed: no quorum: cosigned by 'w0-ed25519'")
    old, _ = told.stage.verify(tmp_path / "bundle", told.stage.expected(max_age_s=10**8))
    assert not old.ok


def test_one_stripped_proof_takes_the_witness_from_all(told: Told, tmp_path: Path) -> None:
    stripped = dict(without_witness(told, "w1.example", "w2.example"))
    files = ((path, stripped[path] if path == opening_path(2) else data) for path, data in told.files())
    verdict, anchored = told.audited(tmp_path, files)
    assert anchored is not None
    assert (verdict.trust, anchored.witnessing.independent) == ("verified; not independently witnessed", False)


def test_the_operators_own_witnesses_alone_are_not_independent(told: Told, tmp_path: Path) -> None:
    stage = told.stage
    policy = stage.expected().policy
    assert policy is not None
    named = TlogPolicy(policy.logs, policy.witnesses, (*policy.groups[:2], PolicyGroup("own", 2, ("w0", "w1"))), "own")
    verdict, anchored = stage.verify(told.bundle, replace(stage.expected(), policy=named))
    assert verdict.trust == "verified; not independently witnessed"
    assert anchored is not None
    assert anchored.witnessing.why_not == "only the operator's own witnesses cosigned"
    one_own = TlogPolicy(
        policy.logs, policy.witnesses,
        (policy.groups[0], replace(policy.groups[1], name="own"), PolicyGroup("q", 2, ("w0", "own"))), "q",
    )  # fmt: skip
    assert stage.verify(told.bundle, replace(stage.expected(), policy=one_own))[0].trust == "verified"


def test_a_witness_under_the_ledgers_host_is_the_operators_own(stage: Stage) -> None:
    stage.policy = policy_of([stage.witness("ledger.example/witness")])
    stage.turn()
    verdict, _ = stage.verify(stage.export())
    assert verdict.trust == "verified; not independently witnessed"
    assert "only the operator's own witnesses cosigned" in verdict.not_checked[0]


def test_a_policy_of_other_keys_refuses(told: Told) -> None:
    stage = told.stage
    expected = stage.expected()
    assert expected.policy is not None
    others = {
        "another anchor log": [LogSigner.from_seeds("ledger.example/anchors", b"x" * 32, b"y" * 32), 2],
        "another log": [LogSigner.from_seeds(stage.log().origin, b"x" * 32, b"y" * 32), 0],
    }
    for signer, place in others.values():
        assert isinstance(signer, LogSigner)
        assert isinstance(place, int)
        logs = list(expected.policy.logs)
        logs[place : place + 2] = [replace(logs[0], key=key) for key in signer.verifier_keys()]
        verdict, anchored = stage.verify(
            told.bundle, replace(expected, policy=replace(expected.policy, logs=tuple(logs)))
        )
        assert (verdict.ok, verdict.trust, anchored) == (False, "not verified", None)
    for kept, missing in ((expected.policy.logs[:2], "anchors"), (expected.policy.logs[2:], "/t/")):
        policy = replace(expected.policy, logs=kept)
        verdict, _ = stage.verify(told.bundle, replace(expected, policy=policy))
        assert not verdict.ok
        assert missing in (verdict.first_error or "")


def relabelled_size(told: Told) -> Iterator[tuple[str, bytes]]:
    opening = told.opening(3)
    text = opening.opening.text.split(b"\n")
    text[1] = b"%d" % (int(text[1]) + 1)
    changed = replace(opening.opening, text=b"\n".join(text))
    return told.with_opening(3, AnchoredOpening(replace(opening.proof, extra=changed.to_extra())))


def another_tenants(told: Told) -> Iterator[tuple[str, bytes]]:
    return told.with_opening(3, told.opening(3, of=1))


def another_rounds(told: Told) -> Iterator[tuple[str, bytes]]:
    return told.with_opening(3, told.opening(2))


def another_rounds_relabelled(told: Told) -> Iterator[tuple[str, bytes]]:
    return told.with_opening(3, AnchoredOpening(replace(told.opening(2).proof, index=3)))


def wrong_blind(told: Told) -> Iterator[tuple[str, bytes]]:
    opening = told.opening(3)
    changed = replace(opening.opening, blinding=bytes(32))
    return told.with_opening(3, AnchoredOpening(replace(opening.proof, extra=changed.to_extra())))


def fewer_slots(told: Told) -> Iterator[tuple[str, bytes]]:
    opening = told.opening(3)
    changed = replace(opening.opening, slots=32, path=opening.opening.path[:5], slot=opening.opening.slot % 32)
    return told.with_opening(3, AnchoredOpening(replace(opening.proof, extra=changed.to_extra())))


def wrong_signature(told: Told) -> Iterator[tuple[str, bytes]]:
    opening = told.opening(3)
    lines = list(opening.proof.note.signatures)
    lines[-1] = replace(lines[-1], signature=lines[-1].signature[:-1] + bytes([lines[-1].signature[-1] ^ 1]))
    return told.with_opening(
        3, AnchoredOpening(replace(opening.proof, note=Note(opening.proof.note.text, tuple(lines))))
    )


def stripped_log_signature(told: Told) -> Iterator[tuple[str, bytes]]:
    note = told.opening(3).proof.note
    return told.with_opening(
        3, AnchoredOpening(replace(told.opening(3).proof, note=Note(note.text, note.signatures[1:])))
    )


def another_anchor_root(told: Told) -> Iterator[tuple[str, bytes]]:
    proof = told.opening(3).proof
    text = Checkpoint("ledger.example/anchors", 6, bytes(32)).to_text()
    return told.with_opening(3, AnchoredOpening(replace(proof, note=Note(text, proof.note.signatures))))


def not_an_opening(told: Told) -> Iterator[tuple[str, bytes]]:
    for path, data in told.files():
        yield path, b"c2sp.org/tlog-proof@v1\n" if path == opening_path(3) else data


FALSEHOODS: dict[str, tuple[Change, str]] = {
    "a relabelled size": (relabelled_size, "round 3: "),
    "the opening of another tenant": (another_tenants, "round 3: the opening is of slot "),
    "the opening of another round": (another_rounds, "openings/3.tlog-proof: it is the opening of round 2"),
    "another round relabelled": (another_rounds_relabelled, "round 3: the blind is not that of the slot's key"),
    "a wrong blind": (wrong_blind, "round 3: the blind is not that of the slot's key"),
    "fewer slots": (fewer_slots, "round 3: a round has a power of two of slots, from 64"),
    "a wrong cosignature": (wrong_signature, "round 3: the signature of ML-DSA-44"),
    "a stripped signature of the log": (stripped_log_signature, "round 3: signature stripped"),
    "an anchor tree that nobody signed": (another_anchor_root, "round 3: "),
    "a file that is no opening": (not_an_opening, "openings/3.tlog-proof: "),
}


@pytest.mark.parametrize("falsehood", FALSEHOODS)
def test_a_falsehood_in_an_opening_is_found_and_its_round_named(told: Told, tmp_path: Path, falsehood: str) -> None:
    change, named = FALSEHOODS[falsehood]
    verdict, anchored = told.audited(tmp_path, change(told))
    assert (verdict.ok, verdict.trust, verdict.checked, anchored) == (False, "not verified", (), None)
    assert named in (verdict.first_error or ""), verdict.first_error


@pytest.mark.parametrize("falsehood", ["a wrong blind", "another round relabelled", "a relabelled size"])
def test_without_the_slots_key_the_same_falsehoods_fail_at_the_anchor_tree(
    told: Told, tmp_path: Path, falsehood: str
) -> None:
    expected = replace(told.stage.expected(), trust=None)
    verdict, _ = told.audited(tmp_path, FALSEHOODS[falsehood][0](told), expected)
    assert "round 3: the inclusion proof leads to another root" in (verdict.first_error or "")


def test_names_in_the_openings_folder_are_rounds(told: Told, tmp_path: Path) -> None:
    for name in ("03.tlog-proof", "x", "3.tlog-proof.bak"):
        out = tmp_path / name
        files = ((f"openings/{name}" if path == opening_path(3) else path, data) for path, data in told.files())
        export_bundle(told.stage.ledger, told.stage.log().log_id, out, further=files)
        verdict, _ = told.stage.verify(out)
        assert f"openings/{name}: not named for a round" in (verdict.first_error or "")


def test_a_bundle_without_openings_is_told_so(told: Told, tmp_path: Path) -> None:
    verdict, anchored = told.audited(tmp_path, iter(()))
    assert verdict.ok
    assert verdict.trust == "verified; not independently witnessed"
    assert anchored is not None
    assert anchored.history == "no round checked"
    assert "not independently witnessed: no round of the anchor log is shown" in verdict.not_checked


def test_chosen_rounds_are_exported_and_no_others(told: Told) -> None:
    out = told.stage.export(rounds=RoundRange(2, 4))
    assert sorted(path.name for path in (out / "openings").iterdir()) == [f"{at}.tlog-proof" for at in (2, 3, 4)]
    _, anchored = told.stage.verify(out)
    assert anchored is not None
    assert anchored.history == "one history in rounds 2..4"
    notes = {AnchoredOpening.parse(path.read_bytes()).proof.note for path in (out / "openings").iterdir()}
    assert notes == {parse_note((out / "anchors/checkpoint").read_bytes())}


def test_the_policy_and_the_file_beside_it_read_back_and_hold_no_other_tenant(told: Told) -> None:
    policy = told.stage.expected().policy
    assert policy is not None
    assert parse_policy(policy.to_bytes()) == policy
    assert {log.key.name for log in policy.logs} == {told.stage.log().origin, "ledger.example/anchors"}
    trust = log_trust(told.stage.ledger, told.stage.log())
    assert Trust.parse(trust.to_bytes()) == trust
    assert trust.slot_key == slot_key(told.stage.ledger.keyring.platform_secrets().anchor, told.stage.log().slot)
    assert trust.slot_key.hex() not in repr(trust)


def test_a_bundle_whose_openings_were_taken_out_by_hand_fails_by_its_manifest(told: Told, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(told.bundle, copy)
    (copy / opening_path(3)).unlink()
    verdict, _ = told.stage.verify(copy)
    assert "openings/3.tlog-proof: missing" in (verdict.first_error or "")
