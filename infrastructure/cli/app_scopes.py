"""Options of what scopes do: quotas, tokens, levels, scopes, monitors. What they do is in infrastructure.cli.scopes."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Keys, RootKeys, Tenant, group, instant

quota_app = group("Quotas: what a tenant or scope may use, borrow and lend.")
token_app = group("Tokens: how often a tenant may start work.")
levels_app = group("Priority levels of the cell.")
scope_app = group("Scopes below the root: treaty bodies and jurisdictions.")
monitor_app = group("Monitors: who is told of a tenant's faults.")

To = Annotated[str, typer.Option("--to", help="Grantee: DAO/JUR, a scope's name, `root`, or an id.")]
AboveKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", help="Admin of the scope above the grantee; repeat it (default: the root's own from `init`)."
    ),
]
OnlyTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's: DAO/JUR or its id.")]


@quota_app.command("grant")
def quota_grant(
    to: To,
    key: AboveKeys = None,
    slots: Annotated[int | None, typer.Option("--slots", min=0, help="Own slots (default: not limited here).")] = None,
    borrow_slots: Annotated[int, typer.Option("--borrow-slots", min=0, help="Slots to borrow beyond them.")] = 0,
    lend_slots: Annotated[int, typer.Option("--lend-slots", min=0, help="Idle slots to lend to those below.")] = 0,
    memory_mib: Annotated[
        int | None, typer.Option("--memory-mib", min=0, help="Own memory in MiB (default: not limited here).")
    ] = None,
    borrow_memory_mib: Annotated[int, typer.Option("--borrow-memory-mib", min=0, help="Memory to borrow.")] = 0,
    lend_memory_mib: Annotated[int, typer.Option("--lend-memory-mib", min=0, help="Idle memory to lend.")] = 0,
    weight: Annotated[int, typer.Option("--weight", min=1, max=1000, help="Weight in fair sharing.")] = 1,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Grant quotas to a tenant or scope, signed by admins of the scope above. The newest grant counts, as a whole.

    What is granted below a limit never sums to more than its own nominal. Ends with 3 when there is a warning.
    """
    from infrastructure.cli import scopes

    asked = scopes.asked_quotas(
        slots=(slots, borrow_slots, lend_slots),
        memory_mib=(memory_mib, borrow_memory_mib, lend_memory_mib),
        weight=weight,
    )
    raise typer.Exit(scopes.grant_quota(data_dir, to, asked, key or [], as_json=as_json))


@token_app.command("grant")
def token_grant(
    to: To,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="How many in each period.")],
    burst: Annotated[int, typer.Option("--burst", min=1, help="How many at once, at most.")],
    until: Annotated[str, typer.Option("--until", help="End: RFC 3339, or ms since 1970. They expire then.")],
    from_: Annotated[str | None, typer.Option("--from", help="Begin, likewise (default: now).")] = None,
    period_ms: Annotated[int, typer.Option("--period-ms", min=1, help="Length of a period.")] = 60_000,
    key: AboveKeys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Grant tokens to a tenant, signed by admins of the scope above. A placement takes one for each slot and enclave.

    They are never handed on, and expire. A tenant that was never granted any is not limited. Ends with 3 when there
    is a warning.
    """
    from infrastructure.cli import scopes

    begins_ms, ends_ms = None if from_ is None else instant(from_), instant(until)
    code = scopes.grant_tokens(
        data_dir, to, tokens=tokens, period_ms=period_ms, burst=burst, from_ms=begins_ms, until_ms=ends_ms,
        keys=key or [], as_json=as_json,
    )  # fmt: skip
    raise typer.Exit(code)


@levels_app.command("adopt")
def levels_adopt(
    domains: Annotated[list[str], typer.Argument(metavar="DOMAIN...", help="Highest first; others come last.")],
    root_key: RootKeys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Adopt the order in which priority domains are served, by the root scope."""
    from infrastructure.cli import scopes

    scopes.adopt_levels(data_dir, domains, root_key or [], as_json=as_json)


@scope_app.command("register")
def scope_register(
    name: Annotated[str, typer.Option("--name", help="What people call it; once in a cell.")],
    kind: Annotated[str, typer.Option("--kind", help="treaty or jurisdiction.")],
    key: Keys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Admins needed for an act.")] = 1,
    parent: Annotated[str, typer.Option("--parent", help="The scope above.")] = "root",
    parent_key: Annotated[
        list[Path] | None,
        typer.Option("--parent-key", help="Admin of the scope above (default: the root's of `init`)."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Register a scope: --key are its admins, who accept; those of the scope above endorse.

    Tenants register below it with `tenant register --scope NAME`; it endorses them and issues their credentials.
    """
    from infrastructure.cli import scopes

    scopes.register_scope(
        data_dir, name=name, kind=kind, keys=key or [], threshold=threshold, parent=parent,
        parent_keys=parent_key or [], as_json=as_json,
    )  # fmt: skip


@scope_app.command("list")
def scope_list(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the scopes of this cell."""
    from infrastructure.cli import scopes

    scopes.list_scopes(data_dir, as_json=as_json)


@monitor_app.command("appoint")
def monitor_appoint(
    name: Annotated[str, typer.Option("--name", help="Who is told, as policies name it.")],
    tenant: Tenant,
    kind: Annotated[str, typer.Option("--kind", help="treaty_monitor or parent_dao.")] = "treaty_monitor",
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Appoint who is told of a tenant's faults, signed by its admins."""
    from infrastructure.cli import scopes

    scopes.appoint_monitor(data_dir, tenant, name, kind, key or [], as_json=as_json)


def quotas(tenant: OnlyTenant = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show the tree of quotas: own, to borrow, to lend, used and borrowed now (operator's view, tenants by slot)."""
    from infrastructure.cli import scopes

    scopes.show_quotas(data_dir, tenant, as_json=as_json)


def usage(tenant: OnlyTenant = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show what was metered for each tenant, by slot; for one tenant also by day."""
    from infrastructure.cli import scopes

    scopes.show_usage(data_dir, tenant, as_json=as_json)
