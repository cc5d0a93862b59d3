"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="LEDGER_DATA_DIR", help="Where this ledger lives.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
Keys = Annotated[list[Path] | None, typer.Option("--key", help="Acting wallet; repeat it for several signatures.")]
Key = Annotated[Path, typer.Option("--key", help="Acting wallet.")]
RootKeys = Annotated[list[Path] | None, typer.Option("--root-key", help="Root scope's wallet (default: init's).")]
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant: DAO/JUR or its id.")]
NoRun = Annotated[bool, typer.Option("--no-run", help="Only hand it in; `work` or a later command executes.")]
Ack = Annotated[Path | None, typer.Option("--ack", help="Directory for the signed acknowledgements (*.ack).")]
DEFAULT_DATA_DIR = Path("data")


def group(help_text: str) -> typer.Typer:
    """Return a group of commands. Without rich markup: `--help` stays fast."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def instant(text: str) -> int:
    """Return an instant that a person wrote, in ms since 1970.

    Raises:
        BadParameter: when it is none.
    """
    from datetime import datetime  # noqa: PLC0415 - `--help` stays fast

    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("an instant is RFC 3339 (2026-01-31T12:00:00Z) or milliseconds since 1970") from None
    if instant.tzinfo is None:
        raise typer.BadParameter("an instant needs its offset, e.g. 2026-01-31T12:00:00Z")
    return int(instant.timestamp() * 1000)
