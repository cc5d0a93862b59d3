"""Metering and subscriptions that the log's own entries contradict are found."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.identifiers import stream_of, subscription_stream
from domain.message import Event
from domain.payloads import StoredPayload
from domain.subscriptions.decisions import ending_claims, subscription_claims
from domain.subscriptions.events import (
    ResultDelivered,
    SubscriptionEnded,
    SubscriptionLapsed,
    SubscriptionOpened,
    Wanted,
)
from infrastructure.statements import jws
from tests.audit.past import Past, refused

METERED = "usage.metered.v1"
FORGED: list[tuple[dict[str, Any], str]] = [
    ({"slot_ms": 10**12, "memory_mib_ms": 10**12}, "more than was held"), ({"memory_mib_ms": 7}, "more than was held"),
    ({"slot_ms": -1, "memory_mib_ms": -1}, "more than was held"), ({"node": "omega"}, "another node"),
    ({"tokens": 2}, "other tokens"), ({"bytes_in": 1}, "other bytes"), ({"bytes_out": 77}, "other bytes"),
    ({"fuel": 10**15}, "more fuel"), ({"fuel": -1}, "other bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), FORGED, ids=[str(at) for at, _ in enumerate(FORGED)])
def test_usage_that_its_execution_contradicts_is_found(
    early: Past, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    entry = early.of(METERED, execution_id=early.runs["done"])
    refused(early.verdict(tmp_path / "forged", early.altered(entry, **change)), says, entry=entry.leaf_index)


def test_usage_is_metered_once_and_of_what_ended(early: Past, tmp_path: Path) -> None:
    for run in ("done", "held"):
        entry = early.of(METERED, execution_id=early.runs[run])
        again = early.verdict(tmp_path / run, early.then((entry.stream_id, entry.event)))
        refused(again, "metered in entry")
    metered = early.of(METERED, execution_id=early.runs["done"])
    running = early.until(early.of("execution.enclave_started.v1", execution_id=early.runs["done"]))
    forged = running.verdict(tmp_path / "running", running.then((stream_of(early.runs["done"]), metered.event)))
    refused(forged, "what ended and was reset")


def test_what_the_first_release_metered_still_verifies(early: Past, tmp_path: Path) -> None:
    entries = list(early.entries)
    for entry in early.history:
        if entry.event.TOPIC == METERED:
            names = ("execution_id", "slot_ms", "memory_mib_ms", "fuel")
            old = {name: value for name, value in entry.event.payload().items() if name in names}
            entries[entry.leaf_index] = early.seal(entry.stream_id, entry.version, METERED, old, entry.at_ms)
    verdict = early.verdict(tmp_path / "old", entries)
    assert verdict.ok, verdict.first_error


def opened(early: Past, signers: int = 2, **said: Any) -> SubscriptionOpened:
    """Let admins open a subscription; `said` is what they signed, where it is something else than the event says."""
    meant: dict[str, Any] = {"wanted": Wanted(outcome="PASS"), "after": 3, "commitment": "a" * 64}
    statements = early.govern(subscription_claims(**{**meant, **said}), *early.admins[:signers])
    return SubscriptionOpened(
        subscription_id=jws.peek(statements[0])[1]["jti"], statements=statements,
        address=StoredPayload(digest="b" * 64, size_bytes=60, plaintext_digest="c" * 64), **meant,
    )  # fmt: skip


def verdict_of(early: Past, out: Path, *events: Event) -> Any:
    own = early.streams()[0]

    def home(one: Event) -> UUID:
        if isinstance(one, ResultDelivered | SubscriptionLapsed):
            return subscription_stream(one.subscription_id)
        return own

    placed = [(home(one), one) for one in events]
    return early.verdict(out, early.then(*placed))


def test_a_subscription_is_what_its_admins_signed(early: Past, tmp_path: Path) -> None:
    good = opened(early)
    assert verdict_of(early, tmp_path / "good", good).ok
    for at, forged in enumerate(
        (opened(early, after=4), opened(early, commitment="0" * 64), opened(early, wanted=Wanted()), opened(early, 1))
    ):
        refused(verdict_of(early, tmp_path / f"{at}", forged))
    renamed = good.model_copy(update={"subscription_id": "0" * 32})
    refused(verdict_of(early, tmp_path / "renamed", renamed), "not what its statements say")
    ended = SubscriptionEnded(
        subscription_id=good.subscription_id,
        statements=early.govern(ending_claims(good.subscription_id), *early.admins[:2]),
    )
    assert verdict_of(early, tmp_path / "ended", good, ended).ok
    refused(verdict_of(early, tmp_path / "never", ended), "no such subscription")


def test_deliveries_are_of_a_subscription_in_order_once_and_of_results(early: Past, tmp_path: Path) -> None:
    cac = early.of("cac.issued.v1")
    one = opened(early)

    def told(leaf: int = cac.leaf_index, **changes: Any) -> ResultDelivered:
        usual = {"subscription_id": one.subscription_id, "cac_id": cac.event.payload()["cac_id"], "tries": 1}
        return ResultDelivered(leaf_index=leaf, **{**usual, **changes})

    assert verdict_of(early, tmp_path / "good", one, told()).ok
    lapsed = SubscriptionLapsed(subscription_id=one.subscription_id, leaf_index=cac.leaf_index, tries=12)
    assert verdict_of(early, tmp_path / "lapsed", one, lapsed).ok
    order = "in the order of the log"
    for at, (events, says) in enumerate(
        [
            ((told(),), "never opened"), ((one, told(), told()), order), ((one, told(2)), order),
            ((one, told(10_000)), order), ((one, lapsed, told()), "had lapsed"), ((one, told(), told(9)), order),
            ((one, told(cac_id="cac-0x" + "0" * 32)), "no result of this log"),
        ]
    ):  # fmt: skip
        refused(verdict_of(early, tmp_path / f"{at}", *events), says)
