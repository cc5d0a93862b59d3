"""Options of the auditors' commands. What they do is in infrastructure.cli.auditing."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.app_anchor import RoundsRange, rounds_range
from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Keys, Place, group, instant, placed

audit_app = group("Export, verify and replay histories.")

PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="tlog-policy from outside (trust export); FILE.json beside it counts too."),
]


@audit_app.command("export")
@placed
def audit_export(
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant (DAO/JUR or id), `platform` or `root`.")],
    out: Annotated[Path, typer.Option("--out", help="Directory that is missing or empty.")],
    with_keys: Annotated[
        str | None,
        typer.Option(
            "--with-keys", help="Disclose keys: all, streams separated by commas, or public (platform: clauses, nodes)."
        ),
    ] = None,
    rounds: RoundsRange = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Export a log as a C2SP tile log that outsiders can verify, with the openings of the anchor log's rounds.

    At a server (--server, --profile) --key is an admin's or auditor's of that log, and what comes is verified at once.
    """
    from infrastructure.cli import auditing, remoting_audit

    at = place.there()
    if at is None:
        auditing.export(place.data_dir, tenant, out, with_keys, rounds_range(rounds), as_json=place.as_json)
        return
    if rounds is not None or with_keys not in {None, "all", "public"}:
        raise typer.BadParameter("a server exports all rounds, and the keys of all or of public streams")
    remoting_audit.export(at, tenant, out, with_keys, key or [], as_json=place.as_json)


@audit_app.command("verify")
def audit_verify(
    directory: Path,
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    policy: PolicyFile = None,
    max_age: Annotated[
        str | None, typer.Option("--max-age", help="How long ago a quorum may have cosigned last, e.g. 7d.")
    ] = None,
    acks: Annotated[
        Path | None, typer.Option("--acks", help="Directory of acknowledgements (*.ack) to hold it to.")
    ] = None,
    recovery_key: Annotated[
        list[str] | None, typer.Option("--recovery-key", help="Recovery key of the log's tenant, from outside.")
    ] = None,
    recovery_threshold: Annotated[
        int, typer.Option("--recovery-threshold", min=1, help="How many of their holders must sign.")
    ] = 1,
    revocation: Annotated[
        list[Path] | None, typer.Option("--revocation", help="Revocation of keys of this log.")
    ] = None,
    second_opinion: Annotated[
        bool, typer.Option("--second-opinion", help="Let merkletools find root and paths too.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=256, help="Processes (default: one for each core).")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="Private directory to keep what was found, for resuming.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify a log's directory offline, with nothing but it and, for authenticity, a key from outside."""
    from infrastructure.cli import auditing

    if max_age is not None and policy is None:
        raise typer.BadParameter("--max-age needs the witnesses of a --policy")
    if revocation and not recovery_key:
        raise typer.BadParameter("--revocation needs the recovery keys that may have signed it: --recovery-key")
    revoked = auditing.Revocations(tuple(recovery_key or ()), recovery_threshold, tuple(revocation or ()))
    max_age_s = None if max_age is None else _age_s(max_age)
    how = auditing.How(jobs, state, second_opinion)
    keys = log_key or []
    raise typer.Exit(auditing.verify(directory, keys, revoked, policy, max_age_s, how=how, acks=acks, as_json=as_json))


@audit_app.command("fork-proof")
def audit_fork_proof(
    bundles: Annotated[list[Path] | None, typer.Argument(help="One or two bundles of one log.")] = None,
    check: Annotated[Path | None, typer.Option("--check", help="A fork proof to be checked instead.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the proof goes, if there is a fork.")] = None,
    policy: PolicyFile = None,
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Hold two auditors' bundles against each other: one history, or the proof of a fork (exit 1).

    With --check: exit 0 if the proof holds, with keys from --policy or --log-key.
    """
    from infrastructure.cli import anchored_auditing
    from infrastructure.cli.auditing import verifier_keys

    keys = verifier_keys(log_key or [])
    if check is not None:
        if bundles or (policy is None and not keys):
            raise typer.BadParameter("--check takes no bundles, and keys from outside: --policy or --log-key")
        raise typer.Exit(anchored_auditing.check_proof(check, policy, keys, as_json=as_json))
    if not bundles or len(bundles) > 2:  # noqa: PLR2004
        raise typer.BadParameter("name one or two bundles, or --check FILE")
    other = bundles[1] if len(bundles) > 1 else None
    raise typer.Exit(anchored_auditing.fork_proof(bundles[0], other, out, policy, keys, as_json=as_json))


@audit_app.command("replay")
def audit_replay(
    directory: Annotated[Path | None, typer.Argument(help="A bundle with keys.json.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="From the database instead.")] = None,
    size: Annotated[int | None, typer.Option("--size", min=0, help="Fold this many entries.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Fold up to this instant: RFC 3339, or ms since 1970.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Fold a history again, at any size or time; at the head it must equal the live read models."""
    from infrastructure.cli import auditing

    if (directory is None) == (tenant is None):
        raise typer.BadParameter("name a bundle's directory, or --tenant")
    at_ms = None if at is None else instant(at)
    raise typer.Exit(auditing.replay(directory, data_dir, tenant, size=size, at_ms=at_ms, as_json=as_json))


@audit_app.command("export-cell")
def audit_export_cell(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that is missing or empty.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Export what a cell's auditor needs to decide everything again: every round's trace, without any tenant's key."""
    from infrastructure.cli import conforming

    conforming.export_cell(data_dir, out, as_json=as_json)


@audit_app.command("conform")
def audit_conform(
    bundle: Annotated[Path | None, typer.Argument(help="A tenant's bundle with keys.json.")] = None,
    cell_audit: Annotated[
        Path | None, typer.Option("--cell-audit", help="A cell audit package (audit export-cell).")
    ] = None,
    first: Annotated[int, typer.Option("--from", min=0, help="First round that is asked for.")] = 0,
    last: Annotated[int | None, typer.Option("--to", min=0, help="Last round that is asked for.")] = None,
    policy: PolicyFile = None,
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make every decision again and compare: of the live cell, of a cell audit package, or of one's own bundle.

    Exit 0: all conform. 1: something differs, and the first is named. 3: conforms as far as this program can tell.
    """
    from infrastructure.cli import conforming

    if bundle is not None and cell_audit is not None:
        raise typer.BadParameter("name a bundle, or --cell-audit DIR")
    if bundle is not None:
        raise typer.Exit(conforming.own_bundle(bundle, policy, log_key or [], as_json=as_json))
    if cell_audit is not None:
        raise typer.Exit(conforming.package(cell_audit, policy, log_key or [], first=first, last=last, as_json=as_json))
    raise typer.Exit(conforming.live(data_dir, first=first, last=last, as_json=as_json))


def _age_s(text: str) -> int:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = text[:-1], text[-1:]
    if unit not in seconds or not (number.isascii() and number.isdecimal()) or len(number) > 9:  # noqa: PLR2004
        raise typer.BadParameter("an age is a number and s, m, h or d, e.g. 7d")
    return int(number) * seconds[unit]
