"""Options of the commands about data keys and their end. What they do is in infrastructure.cli.keys."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.app_govern import key_app, tenant_app
from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Keys, Place, Tenant, placed

__all__ = ["key_app", "tenant_app"]

Log = Annotated[str, typer.Option("--tenant", help="Tenant: DAO/JUR or its id; or platform, or root.")]


@key_app.command("list")
def key_list(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the logs with their key generations: which there are, which are due for rotation, which are destroyed."""
    from infrastructure.cli import keys

    keys.list_keys(data_dir, as_json=as_json)


@key_app.command("rotate")
def key_rotate(tenant: Log, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Start the next generation of a log's data key. Nothing is rewritten; older entries open as before."""
    from infrastructure.cli import keys

    keys.rotate_key(data_dir, tenant, as_json=as_json)


@key_app.command("destroy")
def key_destroy(
    tenant: Tenant,
    copy: Annotated[list[Path] | None, typer.Option("--copy", help="Further copy of the keyring: its `keys`.")] = None,
    backup_days: Annotated[int, typer.Option("--backup-days", min=0, help="How long you keep database backups.")] = 35,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Carry out an erasure that the tenant's admins ordered and that has cooled off. Safe to repeat, never undone."""
    from infrastructure.cli import keys

    raise typer.Exit(keys.destroy_key(data_dir, tenant, copy or [], backup_days, as_json=as_json))


@tenant_app.command("order-erasure")
@placed
def tenant_order_erasure(
    tenant: Tenant,
    key: Keys = None,
    cooling_off_days: Annotated[int, typer.Option("--cooling-off-days", min=1, max=365, help="Time to think.")] = 7,
    *,
    place: Place,
) -> None:
    """Order that a tenant's data keys be destroyed, by its admins. From now on it takes no new work."""
    from infrastructure.cli import keys, remoting

    at = place.there()
    if at is not None:
        claims = {"act": "order_erasure", "cooling_off_ms": cooling_off_days * 86_400_000}
        lines = [f"the erasure of {tenant} is ordered; it cools off for {cooling_off_days} days"]
        remoting.act(at, "/v1/erasures", claims, key or [], tenant, lines, as_json=place.as_json)
        return
    keys.order_erasure(place.data_dir, tenant, key or [], cooling_off_days, as_json=place.as_json)


@tenant_app.command("withdraw-erasure")
@placed
def tenant_withdraw_erasure(
    tenant: Tenant,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Take an order of erasure back while it cools off, by the tenant's admins."""
    from infrastructure.cli import keys, remoting

    at = place.there()
    if at is not None:
        lines = [f"the order to erase {tenant} is taken back"]
        remoting.act(at, "/v1/erasures", {"act": "withdraw_erasure"}, key or [], tenant, lines, as_json=place.as_json)
        return
    keys.withdraw_erasure(place.data_dir, tenant, key or [], as_json=place.as_json)
