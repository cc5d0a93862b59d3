"""Orders of erasure, rotations and ends of keys that nobody gave: what an audit says of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.executions.decisions import refusal_claims
from domain.executions.events import RetryRefused
from domain.identifiers import erasure_stream
from domain.message import Event
from domain.platform.events import KeyDestroyed
from domain.tenants.erasure import order_claims, withdrawal_claims
from domain.tenants.events import DataKeyRotated, ErasureOrdered, ErasureWithdrawn
from domain.tenants.state import evolve
from domain.time import DAY_MS
from domain.workloads.events import WorkloadDenied
from tests.audit.past import Past, refused

Forged = list[tuple[UUID, Event]]


def own(early: Past) -> UUID:
    """Return the log's own stream."""
    return UUID(early.tenant.log_id)


def settled(early: Past) -> Forged:
    """Return the refusal of the retry that waits for a decision."""
    fault = early.of("execution.faulted.v1", execution_id=early.runs["held"])
    reserved: Any = early.of("execution.reserved.v1", execution_id=early.runs["held"]).event
    claims = refusal_claims(early.tenant, early.runs["held"], fault, reserved.workload_id)
    event = RetryRefused(
        execution_id=early.runs["held"], workload_id=reserved.workload_id, fault_entry=fault.leaf_hash.hex(),
        statements=early.govern(claims, *early.admins[:2]),
    )  # fmt: skip
    return [(fault.stream_id, event)]


def ordered(early: Past, signatories: int = 2, *, at_ms: int = 0, said_ms: int = 7 * DAY_MS) -> tuple[UUID, Any]:
    """Return an order as some admins sign it, as given `at_ms` before it was recorded."""
    tokens = early.govern(order_claims(early.tenant, said_ms), *early.admins[:signatories])
    not_before_ms = early.at_ms - at_ms + 7 * DAY_MS
    return own(early), ErasureOrdered(cooling_off_ms=7 * DAY_MS, not_before_ms=not_before_ms, statements=tokens)


def withdrawn(early: Past, signatories: int = 2) -> tuple[UUID, Event]:
    """Return the withdrawal of that order."""
    tenant = evolve(ordered(early)[1], early.tenant)
    tokens = early.govern(withdrawal_claims(tenant), *early.admins[:signatories])
    return own(early), ErasureWithdrawn(statements=tokens)


def waiting(early: Past) -> Past:
    """Return the past up to where the first workload was queued: it waits."""
    return early.until(early.of("workload.queued.v1"))


def denied(waiting: Past) -> tuple[UUID, Event]:
    """Return a denial for an erasure, of the workload that waits."""
    item = waiting.history[-1]
    queued: Any = item.event
    policy = waiting.tenant.policy
    event = WorkloadDenied(
        workload_id=queued.workload_id, gate="queue", rule="erasure_ordered", reason="r", have="h", need="n", nodes=0,
        filtered=(), engine="e", policy_version=waiting.tenant.policy_version, policy_digest=policy.digest(), seen=0,
        tick=0,
    )  # fmt: skip
    return item.stream_id, event


def test_true_ones_verify(early: Past, tmp_path: Path) -> None:
    rotations: Forged = [(own(early), DataKeyRotated(generation=number)) for number in (1, 2)]
    acts = [*rotations, *settled(early), ordered(early), withdrawn(early), ordered(early)]
    verdict = early.verdict(tmp_path / "true", early.then(*acts))
    assert verdict.ok, verdict.first_error


def test_what_waits_when_an_erasure_is_ordered_is_denied(early: Past, tmp_path: Path) -> None:
    past = waiting(early)
    verdict = past.verdict(tmp_path / "true", past.then(ordered(past), denied(past)))
    assert verdict.ok, verdict.first_error
    refused(past.verdict(tmp_path / "forged", past.then(denied(past))), "not ordered")
    twice = past.then(ordered(past), denied(past), denied(past))
    refused(past.verdict(tmp_path / "twice", twice), "after the end of its workload")


FORGED: dict[str, tuple[Callable[[Past], Forged], str]] = {
    "below the threshold": (lambda early: [*settled(early), ordered(early, 1)], "1 of 2 signatures"),
    "by nobody": (lambda early: [*settled(early), ordered(early, 0)], "no signature"),
    "with a shorter cooling-off than signed": (
        lambda early: [*settled(early), ordered(early, said_ms=8 * DAY_MS)],
        "cooling_off_ms",
    ),
    "as if given later": (lambda early: [*settled(early), ordered(early, at_ms=-1)], "after it was recorded"),
    "while a fault waits": (lambda early: [ordered(early)], "held after a fault"),
    "twice": (lambda early: [*settled(early), ordered(early), ordered(early)], "ordered already"),
    "withdrawn below the threshold": (
        lambda early: [*settled(early), ordered(early), withdrawn(early, 1)],
        "1 of 2 signatures",
    ),
    "withdrawn without an order": (lambda early: [withdrawn(early)], "no erasure is ordered"),
    "a rotation left out": (lambda early: [(own(early), DataKeyRotated(generation=2))], "not what its statements say"),
    "an end of keys in a tenant's log": (
        lambda _: [(erasure_stream(7), KeyDestroyed(slot=7, size=1, root="0" * 64, round=None))],
        "in the platform log",
    ),
    "an end of keys in another slot's stream": (
        lambda _: [(erasure_stream(8), KeyDestroyed(slot=7, size=1, root="0" * 64, round=None))],
        "another stream",
    ),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_one_is_refused(early: Past, tmp_path: Path, what: str) -> None:
    forge, says = FORGED[what]
    refused(early.verdict(tmp_path / "forged", early.then(*forge(early))), says)
