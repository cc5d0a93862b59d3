"""What a scope grants at a server, and what a tenant puts in force there: policies, clauses, quotas, tokens."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from domain.clauses.decisions import registration_claims
from domain.hashing import sha256_hex
from domain.policies.kinds import MAX_POLICY_BYTES, parse_policy
from domain.quotas.tree import Quotas
from infrastructure.cli.govern import clause_of
from infrastructure.cli.remoting import There, act
from infrastructure.client.files import read_bounded
from infrastructure.clock import SystemClock


def adopt_policy(at: There, file: Path, keys: Sequence[Path], tenant: str, *, as_json: bool) -> None:
    """Put a policy in force. Its consequences are not told: that takes the scheduler's state."""
    with at.asked(keys, tenant) as (remote, _):
        jurisdiction = remote.own()["jurisdiction"]
    policy = parse_policy(read_bounded(file, MAX_POLICY_BYTES), jurisdiction)
    claims = {"act": "adopt_policy", "policy_digest": policy.digest()}
    lines = [f"a policy of {tenant} is in force: {policy.digest()}"]
    shown = {"digest": policy.digest(), "rules": [rule.kind for rule in policy.rules]}
    act(
        at, "/v1/policies", claims, keys, tenant, lines, as_json=as_json, shown=shown,
        policy=policy.model_dump(mode="json"),
    )  # fmt: skip


def register_clause(at: There, file: Path, keys: Sequence[Path], tenant: str, *, as_json: bool) -> None:
    """Register a clause."""
    metadata, module = clause_of(file)
    digest = sha256_hex(module)
    lines = [f"{metadata.clause_id} registered, module sha256 {digest}"]
    act(
        at, "/v1/clauses", registration_claims(metadata, digest), keys, tenant, lines, as_json=as_json,
        metadata=metadata.model_dump(mode="json"), module=base64.b64encode(module).decode(),
    )  # fmt: skip


def grant_quota(at: There, to: str, asked: Quotas, keys: Sequence[Path], scope: str, *, as_json: bool) -> None:
    """Grant quotas."""
    given = {name: None if one is None else one.model_dump() for name, one in (
        ("slots", asked.slots), ("memory_bytes", asked.memory_bytes)
    )}  # fmt: skip
    claims = {"act": "grant_quota", "to": to, **given, "weight": asked.weight}
    act(at, "/v1/quotas", claims, keys, scope, [f"quota of {to} granted"], as_json=as_json, shown={"to": to, **given})


def grant_tokens(
    at: There, to: str, rate: Mapping[str, int], from_ms: int | None, until_ms: int, keys: Sequence[Path],
    scope: str, *, as_json: bool,
) -> None:  # fmt: skip
    """Grant tokens: from now on, unless `from_ms` says when."""
    begins_ms = SystemClock().now_ms() if from_ms is None else from_ms
    claims = {"act": "grant_tokens", "to": to, **rate, "from_ms": begins_ms, "until_ms": until_ms}
    lines = [f"tokens of {to}: {rate['tokens']} each {rate['period_ms']} ms, at most {rate['burst']} at once"]
    act(at, "/v1/bandwidths", claims, keys, scope, lines, as_json=as_json, shown={"to": to, **rate})
