"""Options of the releaser's command. What it does is in infrastructure.cli.releasing."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, Json, Key, Tenant, group

release_app = group("Releases: a tenant's own releaser (custody: tenant).")


@release_app.callback()
def release() -> None:
    """Releases: a tenant's own releaser (custody: tenant)."""


@release_app.command("run")
def release_run(
    tenant: Tenant,
    key: Key,
    server: Annotated[str | None, typer.Option("--server", help="URL of the ledger: http://127.0.0.1:8080.")] = None,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", envvar="LEDGER_DATA_DIR", help="Where the ledger lives, without --server.")
    ] = DEFAULT_DATA_DIR,
    once: Annotated[bool, typer.Option("--once", help="Release what waits now, and end.")] = False,
    admin: Annotated[
        list[str] | None,
        typer.Option("--admin", help="Thumbprint of a tenant's admin key (default: --key's own)."),
    ] = None,
    demands: Annotated[Path | None, typer.Option("--demands", help="What else must hold: JSON (see README).")] = None,
    trust_root: Annotated[
        Path | None, typer.Option("--trust-root", help="Certificates of hardware roots that count beside the vendors'.")
    ] = None,
    node_issuer: Annotated[
        list[str] | None,
        typer.Option("--node-issuer", help="DID whose node credentials count; repeat it for several."),
    ] = None,
    any_node: Annotated[
        bool, typer.Option("--any-node", help="Believe any node that the ledger offers, without a credential.")
    ] = False,
    status: Annotated[
        Path | None, typer.Option("--status", help="Status list of node credentials, or a directory of lists (*.json).")
    ] = None,
    did: Annotated[
        Path | None, typer.Option("--did", help="DID documents: HOST/PATH/did.json as in their URLs, or *.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Release this tenant's inputs to enclaves that stand up to its own checks, until TERM.

    It verifies evidence, binding, nonce, certificate and submission by itself, opens the inputs with the wallet's
    release key and seals them to the enclave's. Whose node credentials count has to be named (--node-issuer, or
    `node_issuers` in --demands), or --any-node: there is no default. Nothing is fetched. Exit 1: something was not
    released; stderr says what and why.
    """
    from infrastructure.cli import releasing

    raise typer.Exit(
        releasing.run(
            tenant, key, server=server, data_dir=data_dir, once=once, admins=admin or [], demands=demands,
            trust_root=trust_root, believed=releasing.Believed(tuple(node_issuer or ()), any_node, status, did),
            as_json=as_json,
        )
    )  # fmt: skip
