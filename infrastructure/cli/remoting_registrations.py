"""Registrations and standing offers at a server, by an admin of the scope above, or of the root."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from domain.errors import MalformedError
from domain.tenants.events import ScopeKind
from domain.time import DAY_MS
from infrastructure.cli.custody import own_custody
from infrastructure.cli.govern import credential_file
from infrastructure.cli.offers import stood, withdrawn
from infrastructure.cli.remoting import There, told
from infrastructure.cli.session import load_wallets
from infrastructure.client import offering
from infrastructure.client.granting import Wanted
from infrastructure.client.registering import Admins, register_scope, register_tenant
from infrastructure.clock import SystemClock
from infrastructure.keys.wallet import Purpose


def tenant(
    at: There, *, dao: str, jurisdiction: str, keys: Sequence[Path], scope_keys: Sequence[Path],
    families: Sequence[str], classes: Sequence[str], issued: Path | None, threshold: int, valid_days: int, scope: str,
    custody: str, release_key: str | None, output_key: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Register a tenant below the scope whose admin asks."""
    admins = load_wallets(keys)
    held, releaser = own_custody(custody, release_key, output_key, admins[0])
    wanted = Wanted(families, classes, valid_ms=valid_days * DAY_MS, issued=credential_file(issued))
    with at.asked(scope_keys, scope) as (remote, endorsers):
        made, written = register_tenant(
            remote, dao=dao, jurisdiction=jurisdiction, admins=Admins(admins, threshold), endorsers=endorsers,
            wanted=wanted, now_ms=SystemClock().now_ms(), custody=held, releaser=releaser,
        )  # fmt: skip
    governing = [one.kid for one in made.admins]
    shown = {
        "tenant": made.tenant_id, "dao": made.dao, "jurisdiction": made.jurisdiction, "origin": made.origin,
        "admins": sorted([*governing, admins[0].thumbprint(Purpose.SUBMISSION)]), "custody": custody,
    }  # fmt: skip
    lines = [f"{made.dao}/{made.jurisdiction} registered, log {made.origin}, id {made.tenant_id}"]
    told(written, lines, None, as_json=as_json, shown=shown)


def scope(
    at: There, *, name: str, kind: str, keys: Sequence[Path], threshold: int, parent: str,
    parent_keys: Sequence[Path], as_json: bool,
) -> None:  # fmt: skip
    """Register a scope below the one whose admin asks."""
    known: dict[str, ScopeKind] = {one: one for one in get_args(ScopeKind)}
    if kind not in known:
        raise MalformedError(f"--kind is treaty or jurisdiction, not {kind[:32]!a}")
    admins = Admins(load_wallets(keys), threshold)
    with at.asked(parent_keys, parent) as (remote, parents):
        made, written = register_scope(remote, name=name, kind=known[kind], admins=admins, parents=parents)
    shown = {"scope": made.scope_id, "name": name, "kind": kind, "origin": made.origin, "parent": made.parent}
    lines = [f"{kind} {name} registered below {parent}, log {made.origin}"]
    told(written, lines, None, as_json=as_json, shown=shown)


def stand_offer(
    at: There, pool: str, operator: str, key: Path, root_keys: Sequence[Path], *, until_ms: int, slots: int | None,
    memory_bytes: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Let an offer stand."""
    (wallet,) = load_wallets([key])
    with at.asked(root_keys, "root") as (remote, root):
        written = offering.stand(
            remote, root, wallet, pool=pool, operator=operator, until_ms=until_ms, slots=slots,
            memory_bytes=memory_bytes,
        )  # fmt: skip
    shown, lines = stood(pool, operator, slots, memory_bytes, until_ms)
    told(written, lines, None, as_json=as_json, shown=shown)


def withdraw_offer(
    at: There, pool: str, operator: str, key: Path | None, root_keys: Sequence[Path], *, as_json: bool
) -> None:
    """Withdraw an offer."""
    wallet = None if key is None else load_wallets([key])[0]
    with at.asked(root_keys, "root") as (remote, root):
        written = offering.withdraw(remote, root, wallet, pool=pool, operator=operator)
    shown, lines = withdrawn(pool, operator)
    told(written, lines, None, as_json=as_json, shown=shown)
