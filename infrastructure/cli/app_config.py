"""The option --config, and `config show`. What they do is in infrastructure.settings."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, group

config_app = group("Settings: what is in force, and where it comes from.")


def take_config(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", envvar="LEDGER_CONFIG", help="File of settings (TOML); the environment goes before it."
        ),
    ] = None,
) -> None:
    """Event-sourced, verifiable ledger for secure multitenancy in trusted execution environments."""
    if config is not None:
        from infrastructure.cli import configuring

        context.obj = configuring.take(config)


@config_app.command("show")
def config_show(context: typer.Context, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show every setting with its source; secrets are masked. Exit 3 where a variable looks like ours and is none."""
    from infrastructure.cli import configuring

    raise typer.Exit(configuring.show(context.obj, as_json=as_json))
