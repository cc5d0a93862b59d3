"""Exported disputes and CACs, verified offline against what the logs say."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.cacs.claims import Refusal
from domain.cacs.events import CacIssued, CacOverturned
from domain.canonical import canonical
from domain.disputes.decisions import NOTHING
from domain.disputes.state import Dispute
from domain.errors import ConflictError, UnknownError, VerificationError
from domain.identifiers import stream_of
from domain.message import Recorded
from domain.time import DAY_MS
from domain.transparency.tlog_proof import TlogProof
from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.cacs.export import export_cac
from infrastructure.cacs.verify import Bundle, verify_cac
from infrastructure.client import disputes
from infrastructure.commands.involved import every
from infrastructure.commands.voices import load_dispute
from infrastructure.disputes.exporting import export_dispute
from infrastructure.disputes.holding import Held, hold_tenants
from infrastructure.disputes.verifying import verify_case
from tests.commands.cell import Cell, MakeCell, Member
from tests.commands.court import about, court, executed


def test_cac_verify_tells_what_was_overturned_and_from_when_on(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    there, member = court(cell), cell.join()
    _, cac = executed(cell, member)
    document = export_cac(cell.ledger, cac, "json")
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    opened = _bundle(cell, member, tmp_path / "opened")
    verdict = verify_cac(document, bundle=opened)
    assert verdict.ok
    assert any(dispute in text for text in verdict.not_checked), verdict.not_checked
    assert "no dispute overturned it (by then)" in verdict.checked
    stood_ms = cell.clock.now_ms()
    cell.advance(14 * DAY_MS)
    disputes.decide(there.bench(), dispute, "overturned", "wrong")
    after = _bundle(cell, member, tmp_path / "overturned")
    for form in ("json", "vc", "scitt"):
        verdict = verify_cac(export_cac(cell.ledger, cac, form), bundle=after)
        assert (verdict.ok, verdict.reason) == (False, Refusal.OVERTURNED), (form, verdict.error)
        assert dispute in (verdict.error or "")
    assert verify_cac(document, bundle=after, at_ms=stood_ms).ok, "by then it stood"
    shut = tmp_path / "shut"
    export_bundle(cell.ledger, member.log_id, shut)
    verdict = verify_cac(document, bundle=Bundle(shut, lambda: verify_bundle(shut)))
    assert any("that no dispute overturned it" in text for text in verdict.not_checked)


def _bundle(cell: Cell, member: Member, out: Path) -> Bundle:
    export_bundle(cell.ledger, member.log_id, out, with_keys="all")
    return Bundle(out, lambda: verify_bundle(out))


def test_a_disputes_bundle_verifies_offline_and_holds_no_key_of_another_stream(
    make_cell: MakeCell, tmp_path: Path
) -> None:
    cell = make_cell()
    there, member, bystander = court(cell), cell.join(), cell.join()
    execution, cac = executed(cell, member)
    executed(cell, member)
    executed(cell, bystander)
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    disputes.attach(there.bench(), dispute, "gauge", b"1871,1")
    earlier = tmp_path / "earlier"
    before = export_dispute(cell.ledger, there.scope, dispute, earlier)
    assert verify_case(earlier).ok
    cell.advance(14 * DAY_MS)
    disputes.decide(there.bench(), dispute, "overturned", "wrong")
    topics = len(cell.topics(member))
    out = tmp_path / "case"
    document = export_dispute(cell.ledger, there.scope, dispute, out, recipient="court")
    assert json.loads((out / "dispute.json").read_bytes()) == document
    names = {path.name for path in out.iterdir()}
    slot = f"t-{member.tenant.slot}"
    assert names == {"scope", slot, "platform", "proofs", "evidence", "dispute.json"}
    workload = next(one.workload_id for one in every(cell.ledger, there.scope, about(cac), most=1))
    expected = {
        "scope": {UUID(there.scope.log_id), UUID(dispute)},
        slot: {stream_of(name) for name in (execution, cac, workload)},
    }
    for directory in ("scope", slot, "platform"):
        verdict = verify_bundle(out / directory)
        assert verdict.ok, (directory, verdict.first_error)
        _, keys = read_keys(out / directory)
        streams = {key.stream_id for key in keys.values()}
        assert streams == expected.get(directory, streams), directory
    assert (out / "evidence" / "0").read_bytes() == b"1871,1"
    after = cell.history(member)[topics:]
    assert [one.event.TOPIC for one in after] == ["tenant.key_disclosed.v1"], "recorded before, in the log itself"
    assert after[0].event.payload()["recipient"] == f"dispute {dispute} for court"
    assert sum(len(log["entries"]) for log in document["logs"]) == len(list((out / "proofs").iterdir())) > 20
    for log in document["logs"]:
        for entry in log["entries"]:
            proof = TlogProof.parse((out / "proofs" / entry["proof"]).read_bytes())
            proof.verify(bytes.fromhex(entry["leaf_hash"]))
            assert proof.index == entry["leaf_index"]
    _held_together(out, document, tmp_path)
    rmtree(out / slot)  # a tenant's log of before the decision, signed as any: it does not say what the decision says
    copytree(earlier / slot, out / slot)
    rows = [next(one for one in before["logs"] if one["directory"] == slot)] + [
        one for one in document["logs"] if one["directory"] != slot
    ]
    for entry in rows[0]["entries"]:
        (out / "proofs" / entry["proof"]).write_bytes((earlier / "proofs" / entry["proof"]).read_bytes())
    (out / "dispute.json").write_bytes(canonical({**document, "logs": rows}))
    assert "is not what the decision says" in (verify_case(out).first_error or "")
    with cell.nothing_written(), pytest.raises(ConflictError, match="holds something"):
        export_dispute(cell.ledger, there.scope, dispute, out)
    with cell.nothing_written(), pytest.raises(UnknownError, match=NOTHING):
        export_dispute(cell.ledger, there.scope, str(uuid4()), tmp_path / "none")


def _held_together(out: Path, document: dict[str, Any], folder: Path) -> None:
    """Whatever is changed of a case is noticed, and nothing that lies in it raises."""
    vkeys = [key for log in document["logs"] for key in log["log_keys"]]
    alone, known = verify_case(out), verify_case(out, log_keys=vkeys)
    assert (alone.ok, alone.first_error, alone.status) == (True, None, "overturned")
    assert "self-consistent" in alone.trust
    assert (known.ok, known.trust) == (True, "verified")
    slot = next(log["directory"] for log in document["logs"] if log["directory"].startswith("t-"))
    proof = document["logs"][0]["entries"][0]["proof"]
    index = out / "dispute.json"
    told = json.loads(index.read_bytes())
    tenant = next(log for log in told["logs"] if log["directory"] == slot)
    first, *rest = tenant["entries"]

    def with_tenants(**changes: Any) -> bytes:
        return canonical({**told, "logs": [told["logs"][0], {**tenant, **changes}]})

    forged: list[tuple[str, Path, bytes]] = [
        ("evidence/0", out / "evidence/0", b"1871,2"), ("checkpoint", out / slot / "checkpoint", b"x"),
        ("manifest", out / "scope/keys.json", b"{}"), ("proof", out / "proofs" / proof, b"c2sp"),
        ("format", index, canonical({**told, "format": "x"})),
        ("otherwise", index, canonical({**told, "status": "open"})),
        ("canonical", index, index.read_bytes() + b" "), ("not of its form", index, b"{}"),
        ("no case has", index, canonical({**told, "logs": [{**told["logs"][0], "directory": "../scope"}]})),
        ("other documents", index, canonical({**told, "documents": []})),
        ("nothing of that id", index, canonical({**told, "dispute": str(uuid4())})),
        ("is not the log", index, canonical({**told, "logs": [{**told["logs"][0], "size": 1}, *told["logs"][1:]]})),
        ("other streams", index, canonical({**told, "logs": [{**told["logs"][0], "streams": []}, *told["logs"][1:]]})),
        ("belongs there", index, canonical({**told, "scope": "ledger.example/t/1"})),
        ("belongs there", index, with_tenants(directory="t-1")),
        ("belongs there", index, with_tenants(directory="platform")),
        ("other things of its entries", index, with_tenants(entries=rest)),
        *(
            ("other things of its entries", index, with_tenants(entries=[{**first, **said}, *rest]))
            for said in ({"topic": "cac.issued.v1"}, {"at_ms": 1}, {"stream": str(uuid4())}, {"origin": "x"})
        ),
        ("by another name", index, with_tenants(entries=[{**first, "proof": proof}, *rest])),
    ]  # fmt: skip
    for text, path, data in forged:
        kept = path.read_bytes()
        path.write_bytes(data)
        verdict = verify_case(out)
        path.write_bytes(kept)
        assert not verdict.ok, text
        assert text in (verdict.first_error or ""), (text, verdict.first_error)
    without = canonical({**told, "logs": [log for log in told["logs"] if log["directory"] != slot]})
    kept = index.read_bytes()
    index.write_bytes(without)
    verdict = verify_case(out)
    index.write_bytes(kept)
    assert verdict.ok
    assert any("did not come along" in one for one in verdict.not_checked)
    missing = verify_case(folder / "nowhere")
    assert (missing.ok, missing.trust) == (False, "not verified")


def test_of_every_cac_in_a_case_it_is_told_whether_the_decision_reached_it(make_cell: MakeCell) -> None:
    cell = make_cell()
    there, member = court(cell), cell.join()
    execution, cac = executed(cell, member)
    executed(cell, member)
    dispute_id = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    cell.advance(14 * DAY_MS)
    disputes.decide(there.bench(), dispute_id, "overturned", "wrong")
    name, scope = f"t-{member.tenant.slot}", there.scope.origin
    own = [one for one in cell.history(UUID(there.scope.log_id)) if one.stream_id == UUID(dispute_id)]
    dispute = load_dispute(cell.ledger, there.scope, dispute_id)
    history = cell.history(member)
    (reached,) = [one for one in history if isinstance(one.event, CacOverturned)]

    def held(of: Dispute, events: Sequence[Recorded], decision: Sequence[Recorded] = own) -> Held:
        return hold_tenants(scope, of, decision, {name: events})

    assert held(dispute, history) == Held((), ())
    without = [one for one in history if one is not reached]
    with pytest.raises(VerificationError, match="not what the decision says"):
        held(dispute, without)
    spared = [own[0], own[-1]._replace(event=own[-1].event.model_copy(update={"cacs": ()}))]
    assert held(dispute, without, spared).stands == (cac,)
    opening = dispute.opened.affected[0]
    unnamed = dispute.opened.model_copy(update={"affected": (opening.model_copy(update={"cac_id": None}),)})
    later = replace(dispute, opened=unnamed)
    assert held(later, history) == Held((), ()), "one that was issued after the opening is held alike"
    with pytest.raises(VerificationError, match="not what the decision says"):
        held(later, without)
    with pytest.raises(VerificationError, match="not what the decision says"):
        held(later, history, spared)
    for_another = reached.event.model_copy(update={"cac_id": "cac-0x" + "1" * 32})
    with pytest.raises(VerificationError, match="not what the decision says"):
        held(dispute, [*history, reached._replace(event=for_another)])
    with pytest.raises(VerificationError, match="no log of the case issued"):
        held(later, [one for one in without if not isinstance(one.event, CacIssued)])
    for changed, text in (
        ({"node": "elsewhere"}, "did not run where"), ({"cac_id": "cac-0x" + "1" * 32}, "is not the CAC of"),
        ({"execution_id": "exec-0x" + "1" * 32}, "does not refer"),
    ):  # fmt: skip
        other = dispute.opened.model_copy(update={"affected": (opening.model_copy(update=changed),)})
        with pytest.raises(VerificationError, match=text):
            held(replace(dispute, opened=other), history)
    with pytest.raises(VerificationError, match="not about"):
        hold_tenants(scope, dispute, own, {name: history, "t-1": []})
    assert hold_tenants(scope, dispute, own, {}).left
    assert execution == opening.execution_id
