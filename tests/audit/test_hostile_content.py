"""Whatever somebody with every key writes into entries: a verification answers, and never falls over."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cacs.events import CacIssued
from domain.statements import REPORT, SUBMISSION
from infrastructure.audit.verify import verify_bundle
from infrastructure.client.signing import signed_by
from infrastructure.credentials.data_integrity import canonical_bytes
from infrastructure.keys.wallet import Wallet
from infrastructure.statements import jws
from tests.audit.past import Past

SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 2**53 - 1, -(2**53) + 1, "", "x", "0" * 64, "é\u2028\x00", "wl-0x" + "0" * 32,
    "exec-0x" + "f" * 32, "a.b.c", "z" * 200, "did:key:z6Mk", [], {}, [[]], [{}], {"": ""}, "[" * 500,
]  # fmt: skip
VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for name, one in inner for found in places(one, (*path, name)))]


def mutated(data: st.DataObject, value: Any) -> Any:
    """Return a JSON value with one place replaced, removed or added to."""
    changed = json.loads(json.dumps(value))
    path = data.draw(st.sampled_from(places(changed)[1:] or [()]))
    if not path:
        return data.draw(VALUES)
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            holder[path[-1]] = data.draw(VALUES)
        case "remove":
            del holder[path[-1]]
        case _ if isinstance(holder, dict):
            holder[data.draw(st.text("ab_", min_size=1, max_size=4))] = data.draw(VALUES)
        case _:
            holder.append(data.draw(VALUES))
    return changed


def spoken(past: Past, event: dict[str, Any]) -> list[tuple[str, str, Wallet]]:
    """Return the statements in an event that one of our wallets can sign again: member, type, wallet."""
    known = {
        one.thumbprint(purpose): one
        for one in [*past.admins, *(driver.wallet for driver in past.drivers.values() if driver.wallet)]
        for purpose in ("submission", "report")
    }
    found = []
    for member in ("submission", "report", "evidence", "statement"):
        token = event.get(member)
        if isinstance(token, str):
            header = jws.peek(token)[0]
            if header["kid"] in known and header["typ"] in {SUBMISSION, REPORT}:
                found.append((member, header["typ"], known[header["kid"]]))
    return found


def said_otherwise(past: Past, data: st.DataObject, event: dict[str, Any]) -> dict[str, Any]:
    """Return an event whose statement or document was changed and signed again by who signed it."""
    if "document" in event:
        driver = next(one for one in past.drivers.values() if one.execution == event["execution_id"])
        document = {name: value for name, value in event["document"].items() if name != "proof"}
        changed = mutated(data, document)
        return {**event, "document": driver.signed(changed) if isinstance(changed, dict) else changed}
    member, typ, wallet = data.draw(st.sampled_from(spoken(past, event)))
    content = mutated(data, jws.peek(event[member])[1])
    try:
        return {**event, member: signed_by([wallet], typ, content)[0]}
    except Exception:  # noqa: BLE001 - our signer refuses what isn't of its form; then there is nothing to hand in
        return event


def answered(past: Past, out: Path, index: int, topic: str, event: Any) -> None:
    """Verify the history with one entry written again, and a little of what follows it."""
    recorded = past.history[index]
    entry = past.seal(recorded.stream_id, recorded.version, topic, event, recorded.at_ms)
    size = min(len(past.entries), index + 12)
    entries = [*past.entries[:index], entry, *past.entries[index + 1 : size]]
    verdict = verify_bundle(past.bundle(out, entries, streams=past.streams()))
    if not verdict.ok:
        assert (verdict.first_error or "").startswith("entry "), verdict.first_error
        assert (verdict.first_error or "").isprintable()


@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_an_event_with_anything_in_it_is_answered(
    past: Past, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, 59))
    event = past.history[index].event
    changed = mutated(data, event.payload())
    if isinstance(changed, dict):
        topics = [event.TOPIC, *sorted({item.event.TOPIC for item in past.history})]
        topic = data.draw(st.sampled_from(topics)) if data.draw(st.integers(0, 9)) == 0 else event.TOPIC
        answered(past, tmp_path_factory.mktemp("fuzz") / "b", index, topic, changed)


def choices(past: Past) -> st.SearchStrategy[int]:
    """Draw an entry of the first runs: half of the time a CAC, else one with a statement that we can sign again."""
    first = past.history[:60]
    cacs = [item.leaf_index for item in first if isinstance(item.event, CacIssued)]
    return st.sampled_from(cacs) | st.sampled_from(
        [item.leaf_index for item in first if spoken(past, item.event.payload())]
    )


@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_a_statement_or_document_with_anything_in_it_rightly_signed_is_answered(
    past: Past, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    index = data.draw(choices(past))
    event = past.history[index].event
    changed = said_otherwise(past, data, event.payload())
    answered(past, tmp_path_factory.mktemp("fuzz") / "b", index, event.TOPIC, changed)


DOCUMENTS: list[Callable[[dict[str, Any]], Any]] = [
    lambda _: {}, lambda d: {**d, "proof": {**d["proof"], "proofValue": 7}}, lambda d: {**d, "proof": [d["proof"]]},
    lambda d: {**d, "@context": {"a": []}}, lambda d: {**d, "cac_key": "zz"}, lambda d: {**d, "hpke_kem_id": "x"},
    lambda d: {**d, "limits": [[[[[[[[]]]]]]]]}, lambda d: {**d, "policy": 7}, lambda d: {**d, "outputs": {"a": 1}},
    lambda d: {**d, "clause_id": 7}, lambda d: {**d, "tenant_info": "x"}, lambda d: {**d, "nonce": None},
]  # fmt: skip


@pytest.mark.parametrize("alone", [False, True])
def test_a_cac_of_any_shape_is_answered_with_or_without_its_execution(past: Past, tmp_path: Path, alone: bool) -> None:
    entry = past.of("cac.issued.v1")
    assert isinstance(entry.event, CacIssued)
    streams = [entry.stream_id] if alone else past.streams()
    for number, change in enumerate(DOCUMENTS):
        altered = past.altered(entry, document=change(entry.event.document))
        verdict = past.verdict(tmp_path / f"{number}", altered, streams=streams)
        assert not verdict.ok, number
        assert (verdict.first_error or "").startswith(f"entry {entry.leaf_index}: ")
    assert canonical_bytes(entry.event.document)
