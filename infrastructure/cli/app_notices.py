"""Options of the commands about notices of faults. What they do is in infrastructure.cli.noticing."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, group

notices_app = group("Notices of faults: who is told, and whether it arrived.")

Recipient = Annotated[str, typer.Option("--recipient", help="Name, as the tenant's policy or appointment has it.")]


@notices_app.command("list")
def notices_list(
    recipient: Annotated[str | None, typer.Option("--recipient", help="Only this one's.")] = None,
    delivered: Annotated[bool, typer.Option("--delivered", help="Those that were delivered too.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List notices that are not delivered yet (operator's view)."""
    from infrastructure.cli import noticing

    noticing.list_notices(data_dir, recipient, delivered=delivered, as_json=as_json)


@notices_app.command("fetch")
def notices_fetch(
    recipient: Recipient,
    out: Annotated[Path | None, typer.Option("--out", help="Directory for the signed notices (*.jwt).")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Hand a recipient its notices, signed, and record that it has them."""
    from infrastructure.cli import noticing

    noticing.fetch_notices(data_dir, recipient, out, as_json=as_json)


@notices_app.command("webhook")
def notices_webhook(
    recipient: Recipient,
    url: Annotated[str | None, typer.Option("--url", help="http(s) address that takes a POST.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Post to it no more.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Say where a recipient is told."""
    from infrastructure.cli import noticing

    noticing.set_address(data_dir, recipient, url, remove=remove, as_json=as_json)


@notices_app.command("deliver")
def notices_deliver(
    for_s: Annotated[float, typer.Option("--for", min=0, help="Go on for so many seconds (0: try all once).")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Post open notices to the webhooks; who does not answer is tried again, with longer and longer pauses."""
    from infrastructure.cli import noticing

    raise typer.Exit(noticing.deliver(data_dir, None if follow else for_s, as_json=as_json))
