"""Options of the commands about CACs. What they do is in infrastructure.cli.operate and infrastructure.cli.cacs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.app_audit import PolicyFile
from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Keys, OnlyTenant, Place, group, instant, placed

cac_app = group("CACs: signed results.")


class Form(StrEnum):
    """The forms in which a CAC leaves."""

    JSON = "json"
    VC = "vc"
    SCITT = "scitt"


@cac_app.command("list")
@placed
def cac_list(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """List CACs. At a server --key and --tenant say who asks."""
    from infrastructure.cli import operate, remoting

    at = place.there()
    if at is not None:
        remoting.list_cacs(at, key or [], tenant, as_json=place.as_json)
        return
    operate.list_cacs(place.data_dir, tenant, as_json=place.as_json)


@cac_app.command("show")
@placed
def cac_show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="cac-0x...")],
    output: Annotated[bool, typer.Option("--output", help="Open the output with the tenant's key.")] = False,
    key: Annotated[
        Path | None, typer.Option("--key", help="Wallet with the tenant's output key (custody: tenant), or who asks.")
    ] = None,
    tenant: OnlyTenant = None,
    *,
    place: Place,
) -> None:
    """Show a CAC as its enclave signed it. What a server gives is held against the log first."""
    from infrastructure.cli import operate, remoting

    at = place.there()
    if at is not None:
        if output:
            raise typer.BadParameter("--output is for a data directory")
        remoting.show_cac(at, id_, [key] if key else [], tenant, as_json=place.as_json)
        return
    operate.show_cac(place.data_dir, id_, opened=output, key=key, as_json=place.as_json)


@cac_app.command("export")
def cac_export(
    id_: Annotated[str, typer.Argument(metavar="CAC_ID", help="cac-0x...")],
    out: Annotated[Path, typer.Option("--out", help="A file that is not there yet.")],
    form: Annotated[
        Form, typer.Option("--format", help="As its enclave signed it, as a W3C VC, or as a SCITT statement.")
    ] = Form.JSON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Export a CAC, to be verified anywhere without this ledger (`cac verify`)."""
    from infrastructure.cli import cacs

    cacs.export(data_dir, id_, form.value, out, as_json=as_json)


@cac_app.command("verify")
def cac_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CAC: JSON, credential or statement.")],
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A bundle of its log.")] = None,
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    policy: PolicyFile = None,
    tenant_key: Annotated[
        str | None, typer.Option("--tenant-key", help="The tenant's attestation key from outside: hex or did:key.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="As of this instant: RFC 3339, or ms since 1970.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify a CAC offline: by itself, or with a bundle against the log that issued it.

    Exit 0: it stands. 1: refused, with the reason. 3: it stands by itself, and the bundle does not show who issued it.
    """
    from infrastructure.cli import cacs

    if bundle is None and (policy is not None or log_key):
        raise typer.BadParameter("--policy and --log-key are about a BUNDLE: name one")
    at_ms = None if at is None else instant(at)
    keys = log_key or []
    raise typer.Exit(cacs.verify(file, bundle, keys, policy, tenant_key, at_ms=at_ms, as_json=as_json))
