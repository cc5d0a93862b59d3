"""Commands of scopes: quota, token, levels, scope, monitor, and the lists of quotas and usage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from domain.bounds import MEBIBYTE
from domain.errors import MalformedError, RefusedError
from domain.quotas.events import Quota
from domain.quotas.tree import Quotas
from domain.tenants.events import MonitorKind, ScopeKind
from domain.time import rfc3339
from infrastructure.cli.output import GOOD, WARNING, result, say
from infrastructure.cli.session import ledger_at, load_wallets, root_wallets
from infrastructure.client import acts, governance
from infrastructure.commands import scopes
from infrastructure.commands.consequences import quota_consequences, token_consequences
from infrastructure.commands.loading import everybody, find_tenant
from infrastructure.commands.shown import scope_rows
from infrastructure.decider import Decider
from infrastructure.keys.wallet import Wallet
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import directory
from projections import quotas as quota_rows

Row = dict[str, Any]


def asked_quotas(*, slots: tuple[int | None, int, int], memory_mib: tuple[int | None, int, int], weight: int) -> Quotas:
    """Return the quotas that a person asks for: (own, to borrow, to lend) of each resource.

    Raises:
        MalformedError: when something may be borrowed or lent of what is not limited.
    """
    return Quotas(_asked("slots", slots, 1), _asked("memory-mib", memory_mib, MEBIBYTE), weight)


def _asked(name: str, given: tuple[int | None, int, int], unit: int) -> Quota | None:
    nominal, borrow, lend = given
    if nominal is None:
        if borrow or lend:
            raise MalformedError(f"to borrow or lend there must be a limit: name --{name} too")
        return None
    return Quota(nominal=nominal * unit, borrow=borrow * unit, lend=lend * unit)


def grant_quota(data_dir: Path, to: str, asked: Quotas, keys: Sequence[Path], *, as_json: bool) -> int:
    """Grant quotas; return the exit code."""
    admins = _scope_wallets(data_dir, keys)
    with ledger_at(data_dir) as ledger:
        grantee = find_tenant(ledger, to)
        governance.grant_quota(
            ledger, admins, grantee, slots=asked.slots, memory_bytes=asked.memory_bytes, weight=asked.weight
        )
        now = find_tenant(ledger, to)
        warnings = quota_consequences(ledger, Decider(ledger).catch_up(), now)
    grant = now.quota
    if grant is None:
        raise RefusedError("nothing was granted")
    members = grant.model_dump(mode="json", exclude={"statements"})
    lines = [f"quota {grant.version} of {to}: {_told(grant.slots, 'slots')}, {_told(grant.memory_bytes, 'bytes')}"]
    return _with_warnings({"to": to, **members}, lines, warnings, as_json=as_json)


def grant_tokens(
    data_dir: Path,
    to: str,
    *,
    tokens: int,
    period_ms: int,
    burst: int,
    from_ms: int | None,
    until_ms: int,
    keys: Sequence[Path],
    as_json: bool,
) -> int:
    """Grant tokens; return the exit code."""
    admins = _scope_wallets(data_dir, keys)
    with ledger_at(data_dir) as ledger:
        governance.grant_tokens(
            ledger, admins, find_tenant(ledger, to),
            tokens=tokens, period_ms=period_ms, burst=burst, from_ms=from_ms, until_ms=until_ms,
        )  # fmt: skip
        now = find_tenant(ledger, to)
        warnings = token_consequences(ledger, Decider(ledger).catch_up(), now, registered_clauses(ledger))
    grant = now.bandwidth
    if grant is None:
        raise RefusedError("nothing was granted")
    members = grant.model_dump(mode="json", exclude={"statements"})
    rate = f"{grant.tokens} each {grant.period_ms} ms, at most {grant.burst} at once"
    lines = [f"tokens {grant.version} of {to}: {rate}, {rfc3339(grant.from_ms)} to {rfc3339(grant.until_ms)}"]
    return _with_warnings({"to": to, **members}, lines, warnings, as_json=as_json)


def adopt_levels(data_dir: Path, domains: Sequence[str], root_keys: Sequence[Path], *, as_json: bool) -> None:
    """Adopt priority levels."""
    root = root_wallets(data_dir, root_keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.adopt_levels(ledger, root, domains).answer
    result(dict(answer), as_json=as_json, lines=[f"priority: {' > '.join(domains)}, then all others"])


def register_scope(
    data_dir: Path,
    *,
    name: str,
    kind: str,
    keys: Sequence[Path],
    threshold: int,
    parent: str,
    parent_keys: Sequence[Path],
    as_json: bool,
) -> None:
    """Register a scope with its admins' acceptance and the endorsement of the scope above."""
    known: dict[str, ScopeKind] = {one: one for one in get_args(ScopeKind)}
    if kind not in known:
        raise MalformedError(f"--kind is treaty or jurisdiction, not {kind[:32]!a}")
    admins, above = load_wallets(keys), _scope_wallets(data_dir, parent_keys)
    with ledger_at(data_dir) as ledger:
        scope = governance.register_scope(
            ledger, name=name, kind=known[kind], admins=admins, threshold=threshold,
            parent=find_tenant(ledger, parent), parent_admins=above,
        )  # fmt: skip
    members = {"scope": scope.log_id, "name": name, "kind": kind, "origin": scope.origin, "parent": scope.parent}
    result(members, as_json=as_json, lines=[f"{kind} {name} registered below {parent}, log {scope.origin}"])


def enrol_issuer(data_dir: Path, scope: str, did: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """Enrol an issuer of a scope."""
    admins = _scope_wallets(data_dir, keys)
    with ledger_at(data_dir) as ledger:
        governance.enrol_issuer(ledger, find_tenant(ledger, scope), admins, did)
    result({"scope": scope, "did": did}, as_json=as_json, lines=[f"{did} issues in the name of {scope}"])


def revoke_issuer(data_dir: Path, scope: str, did: str, reason: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """Withdraw an issuer of a scope."""
    admins = _scope_wallets(data_dir, keys)
    with ledger_at(data_dir) as ledger:
        governance.revoke_issuer(ledger, find_tenant(ledger, scope), admins, did, reason)
    lines = [f"{did} issues nothing more in the name of {scope}; what it issued has ended"]
    result({"scope": scope, "did": did}, as_json=as_json, lines=lines)


def list_scopes(data_dir: Path, *, as_json: bool) -> None:
    """List the scopes of this cell."""
    with ledger_at(data_dir) as ledger:
        rows = scope_rows(scopes.scopes(ledger))
    lines = [f"{row['name']}  {row['kind']}  {row['origin']}  below {row['parent'] or 'nothing'}" for row in rows]
    result({"scopes": rows}, as_json=as_json, lines=lines)


def appoint_monitor(data_dir: Path, tenant: str, name: str, kind: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """Appoint a monitor."""
    known: dict[str, MonitorKind] = {one: one for one in get_args(MonitorKind)}
    if kind not in known:
        raise MalformedError(f"--kind is treaty_monitor or parent_dao, not {kind[:32]!a}")
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        governance.appoint_monitor(ledger, find_tenant(ledger, tenant), admins, name, known[kind])
    lines = [f"{name} is told of faults of {tenant}"]
    result({"tenant": tenant, "name": name, "kind": kind}, as_json=as_json, lines=lines)


def show_quotas(data_dir: Path, tenant: str | None, *, as_json: bool) -> None:
    """Show the tree of quotas, or one tenant's own row."""
    with ledger_at(data_dir) as ledger:
        only = None if tenant is None else find_tenant(ledger, tenant)
        rows = quota_rows.quotas(Decider(ledger).catch_up(), everybody(ledger))
    if only is not None:
        rows = [{**row, "name": only.called, "above": None, "depth": 0} for row in rows if row["slot"] == only.slot]
    result({"quotas": rows}, as_json=as_json, lines=[_quota_line(row) for row in rows])


def registered_clauses(ledger: Ledger) -> list[str]:
    """Return the ids of the clauses of this cell."""
    projector = Projector(ledger)
    projector.catch_up()
    rows = projector.rows(ledger.platform().log_id, directory.NAME)
    return [key.partition("/")[2] for key in sorted(rows) if key.startswith("clause/")]


def _quota_line(row: Row) -> str:
    name = row["name"] or f"slot {row['slot']}"
    tokens = row["tokens"]
    line = f"{'  ' * row['depth']}{name}  slots {_use(row['slots'])}  memory {_use(row['memory_bytes'])} bytes"
    if row["weight"] != 1:
        line += f"  weight {row['weight']}"
    if tokens:
        line += f"  tokens {tokens['tokens']} each {tokens['period_ms']} ms until {rfc3339(tokens['until_ms'])}"
    return line


def _use(use: Row) -> str:
    if use["nominal"] is None:
        return f"{use['used']} used"
    more = f", borrowed {use['borrowed']} of {use['borrow']}" if use["borrow"] or use["borrowed"] else ""
    lends = f", lent {use['lent']} of {use['lend']}" if use["lend"] or use["lent"] else ""
    return f"{use['used']} of {use['nominal']} used{more}{lends}"


def _told(quota: Quota | None, unit: str) -> str:
    if quota is None:
        return f"{unit} not limited here"
    return f"{quota.nominal} {unit}, borrows {quota.borrow}, lends {quota.lend}"


def _scope_wallets(data_dir: Path, paths: Sequence[Path]) -> list[Wallet]:
    """Load the wallets of a scope's admins: those named, or the root's own that `init` made."""
    return load_wallets(paths) if paths else root_wallets(data_dir, paths)


def _with_warnings(members: Row, lines: list[str], warnings: Sequence[str], *, as_json: bool) -> int:
    for warning in warnings:
        say(f"warning: {warning}")
    result({**members, "warnings": list(warnings)}, as_json=as_json, lines=lines)
    return WARNING if warnings else GOOD
