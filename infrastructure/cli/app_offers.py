"""Options of standing offers. What they do is in infrastructure.cli.offers."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import Place, RootKeys, group, instant, placed

offer_app = group("Standing offers: whose nodes of a secondary pool take overflow, and how much.")

Pool = Annotated[str, typer.Option("--pool", help="The pool, as its nodes were enrolled; not `primary`.")]
Operator = Annotated[str, typer.Option("--operator", help="Who runs these nodes, as their credentials say.")]


@offer_app.command("stand")
@placed
def offer_stand(
    pool: Pool,
    operator: Operator,
    key: Annotated[Path, typer.Option("--key", help="The operator's wallet: it signs the offer.")],
    until: Annotated[str, typer.Option("--until", help="End: RFC 3339, or ms since 1970.")],
    slots: Annotated[int | None, typer.Option("--slots", min=1, help="At once at most (default: all).")] = None,
    memory_mib: Annotated[int | None, typer.Option("--memory-mib", min=1, help="The same of memory.")] = None,
    root_key: RootKeys = None,
    *,
    place: Place,
) -> None:
    """Take work that no primary node has room for, on an operator's nodes of a pool; instead of its offer before.

    The operator's key signs; the root scope's admins say that it is the operator's.
    """
    from infrastructure.cli import offers, remoting_registrations

    memory = None if memory_mib is None else memory_mib * 1024 * 1024
    at = place.there()
    if at is not None:
        remoting_registrations.stand_offer(
            at, pool, operator, key, root_key or [], until_ms=instant(until), slots=slots, memory_bytes=memory,
            as_json=place.as_json,
        )  # fmt: skip
        return
    offers.stand(
        place.data_dir, pool, operator, key, root_key or [], until_ms=instant(until), slots=slots, memory_bytes=memory,
        as_json=place.as_json,
    )  # fmt: skip


@offer_app.command("withdraw")
@placed
def offer_withdraw(
    pool: Pool,
    operator: Operator,
    key: Annotated[
        Path | None, typer.Option("--key", help="The operator's wallet (default: the root's admins).")
    ] = None,
    root_key: RootKeys = None,
    *,
    place: Place,
) -> None:
    """Take no more overflow there. What runs ends by itself."""
    from infrastructure.cli import offers, remoting_registrations

    at = place.there()
    if at is not None:
        remoting_registrations.withdraw_offer(at, pool, operator, key, root_key or [], as_json=place.as_json)
        return
    offers.withdraw(place.data_dir, pool, operator, key, root_key or [], as_json=place.as_json)
