"""Commands about policies: adopt one, or say what it would do."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from domain.errors import RefusedError
from domain.policies.kinds import MAX_POLICY_BYTES, Policy, parse_policy
from domain.policies.lint import Against
from domain.tenants.state import Tenant
from infrastructure.cli.output import GOOD, WARNING, WRONG, result, say
from infrastructure.cli.session import ledger_at, load_wallets
from infrastructure.client import acts
from infrastructure.client.files import read_bounded
from infrastructure.commands.consequences import Examination, examine_policy
from infrastructure.commands.loading import find_tenant
from infrastructure.decider import Decider
from infrastructure.ledger import Ledger

_SHOWN = 10


def adopt(data_dir: Path, file: Path, keys: Sequence[Path], tenant: str, *, strict: bool, as_json: bool) -> int:
    """Put a policy in force; return the exit code.

    Raises:
        RefusedError: for a contradiction; with `strict` also for a warning.
    """
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        found = find_tenant(ledger, tenant)
        policy, told = _examined(ledger, found, file)
        stops = _stops(told)
        if strict and stops:
            raise RefusedError(f"not adopted (--strict): {'; '.join(stops)}")
        acts.adopt_policy(ledger, found, admins, policy)
        now = find_tenant(ledger, tenant)
    members = {"version": now.policy_version, **_members(policy, told)}
    lines = [f"policy {now.policy_version} of {tenant} in force: {policy.digest()}"]
    return _end(members, lines, told, as_json=as_json)


def check(data_dir: Path, file: Path, tenant: str, *, as_json: bool) -> int:
    """Say what a policy would do; return the exit code."""
    with ledger_at(data_dir) as ledger:
        policy, told = _examined(ledger, find_tenant(ledger, tenant), file)
    lines = [f"policy {policy.digest()}: nothing was adopted"]
    members = {"contradictions": list(told.contradictions), **_members(policy, told)}
    for text in told.contradictions:
        say(f"contradiction: {text}")
    code = _end(members, lines, told, as_json=as_json)
    return WRONG if told.contradictions else code


def _examined(ledger: Ledger, tenant: Tenant, file: Path) -> tuple[Policy, Examination]:
    policy = parse_policy(read_bounded(file, MAX_POLICY_BYTES), tenant.jurisdiction)
    return policy, examine_policy(ledger, Decider(ledger).catch_up(), tenant, policy)


def _stops(told: Examination) -> list[str]:
    """Return every warning in words: those of the examination, and what waits that would be denied."""
    return [*told.warnings, *(f"{one.name} would be denied: {_why(one)}" for one in told.held)]


def _end(members: dict[str, Any], lines: list[str], told: Examination, *, as_json: bool) -> int:
    stops = _stops(told)
    runs = [f"{one.name} runs against it: {_why(one)}" for one in told.running]
    for text in (*stops[:_SHOWN], *runs[:_SHOWN]):
        say(f"warning: {text}")
    more = max(0, len(stops) - _SHOWN) + max(0, len(runs) - _SHOWN)
    if more:
        say(f"warning: and {more} more (--json shows all)")
    result(members, as_json=as_json, lines=lines)
    return WARNING if stops or runs else GOOD


def _members(policy: Policy, told: Examination) -> dict[str, Any]:
    return {
        "digest": policy.digest(),
        "rules": [rule.kind for rule in policy.rules],
        "warnings": list(told.warnings),
        "held": [asdict(one) for one in told.held],
        "running": [asdict(one) for one in told.running],
    }


def _why(one: Against) -> str:
    return f"{one.rule}: have {one.have}, need {one.need}"
