"""What the commands about usage do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from domain.canonical import canonical
from domain.errors import MalformedError
from domain.time import rfc3339
from domain.usage.statements import UsageStatement, read_statement
from infrastructure.audit.anchored import verify_anchored
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli import remoting
from infrastructure.cli.anchored_auditing import expectations, keys_from_outside
from infrastructure.cli.auditing import verifier_keys
from infrastructure.cli.output import GOOD, WARNING, WRONG, result
from infrastructure.cli.remoting import There
from infrastructure.cli.session import ledger_at
from infrastructure.client.files import read_bounded, write_new
from infrastructure.commands.loading import find_tenant, tenants
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from infrastructure.tlog.verdict import Verification
from infrastructure.usage.making import make_statement
from infrastructure.usage.operators import NodeUsage, days_of, told
from infrastructure.usage.verifying import verify_statement
from projections import usage as usage_rows

Row = dict[str, Any]

MAX_STATEMENT_BYTES = 64 << 20
_WRAPPED = "statement"


def show_usage(data_dir: Path, tenant: str | None, *, as_json: bool) -> None:
    """Show what was metered: in all, and for one tenant by day."""
    with ledger_at(data_dir) as ledger:
        projector = Projector(ledger)
        projector.catch_up()
        concerned = tenants(ledger) if tenant is None else [find_tenant(ledger, tenant)]
        rows = [_usage(ledger, projector, one.log_id, one.slot, by_day=tenant is not None) for one in concerned]
    lines = [_line(f"slot {row['slot']}", row) for row in rows]
    lines += [_line(f"  {day['day']}", day) for row in rows for day in row.get("days", ())]
    result({"usage": rows}, as_json=as_json, lines=lines or ["no tenant is registered yet"])


def show_nodes(data_dir: Path, operator: str | None, period: tuple[int | None, int | None], *, as_json: bool) -> None:
    """Show what nodes were used for, all tenants together."""
    with ledger_at(data_dir) as ledger:
        days = days_of(*period, ledger.clock.now_ms())
        rows = NodeUsage(ledger).rows(days, lambda one: operator in {None, one})
    found = told(rows)
    lines = [_line(f"operator {row['operator'] or '?'}", row) for row in found["operators"]]
    lines += [_line(f"node {row['node'] or '?'}", row) for row in found["nodes"]]
    result({"usage": found}, as_json=as_json, lines=lines or ["nothing was metered"])


def state_usage(data_dir: Path, tenant: str, period: tuple[int, int], out: Path | None, *, as_json: bool) -> None:
    """Make a statement."""
    with ledger_at(data_dir) as ledger:
        said = make_statement(ledger, UUID(find_tenant(ledger, tenant).log_id), *period)
    _told(said, out, as_json=as_json)


def fetch_statement(
    at: There, keys: Sequence[Path], tenant: str, period: tuple[int, int], out: Path | None, *, as_json: bool
) -> None:
    """Ask a server for a statement. It has to add up, and be of the tenant and period that were asked for."""
    with at.asked(keys, tenant) as (remote, _):
        found = remoting.get_as_admin(remote, "/v1/usage/statement", **{"from": str(period[0]), "to": str(period[1])})
    said = read_statement(orjson.dumps(found.get(_WRAPPED)))
    if (said.from_ms, said.to_ms) != period:
        raise MalformedError("the server's statement is of another period than was asked for")
    _told(said, out, as_json=as_json)


def verify_usage(file: Path, directory: Path, log_keys: Sequence[str], policy: Path | None, *, as_json: bool) -> int:
    """Verify a statement; return the exit code."""
    said, expected = _read(file), expectations(policy, verifier_keys(log_keys))

    def verified() -> Verification:
        verdict = verify_bundle(directory, log_keys=keys_from_outside(expected))
        return verify_anchored(directory, verdict, expected)[0]

    verdict = verify_statement(said, directory, verified)
    lines = [f"{'ok' if verdict.ok else 'NOT OK'}: {verdict.trust}", *_head(said)]
    lines += [f"refused: {verdict.error}"] if verdict.error is not None else []
    lines += [f"  checked      {item}" for item in verdict.checked]
    lines += [f"  not checked  {item}" for item in verdict.not_checked]
    lines += [f"  key          {item}" for item in verdict.fingerprints]
    about = {"origin": said.origin, "tenant": said.tenant, "size": said.size, "lines": len(said.lines)}
    result({**verdict.to_json(), **about}, as_json=as_json, lines=lines)
    if not verdict.ok:
        return WRONG
    return GOOD if verdict.whole else WARNING


def _read(file: Path) -> UsageStatement:
    """Read a statement as it was written, or as --json and a server give it."""
    data = read_bounded(file, MAX_STATEMENT_BYTES)
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise MalformedError(f"{file} is not JSON") from None
    if isinstance(found, dict) and found.keys() == {_WRAPPED}:
        data = orjson.dumps(found[_WRAPPED])
    return read_statement(data)


def _told(said: UsageStatement, out: Path | None, *, as_json: bool) -> None:
    members = said.model_dump(mode="json")
    if out is not None:
        write_new(out, canonical(members))
    lines = [
        *_head(said),
        *(_line(f"  {one.execution}  entry {one.leaf_index}", one.sums.model_dump()) for one in said.lines),
    ]
    result({_WRAPPED: members}, as_json=as_json, lines=lines)


def _head(said: UsageStatement) -> list[str]:
    lines = [f"{said.tenant}  {rfc3339(said.from_ms)} to {rfc3339(said.to_ms)}  {said.origin} at size {said.size}"]
    lines.append(_line("in all", said.totals.model_dump()))
    return lines + [_line(f"  node {one.node or '?'} of {one.operator or '?'}", one.model_dump()) for one in said.nodes]


def _usage(ledger: Ledger, projector: Projector, log_id: str, slot: int, *, by_day: bool) -> Row:
    rows = projector.rows(ledger.log(UUID(log_id)).log_id, usage_rows.NAME)
    row: Row = {"slot": slot, **usage_rows.total(rows).model_dump(mode="json")}
    days = [{"day": day, **sums.model_dump(mode="json")} for day, sums in usage_rows.days(rows)]
    return {**row, "days": days} if by_day else row


def _line(who: str, row: Row) -> str:
    return (
        f"{who}  {row['executions']} executions  {row['slot_ms']} slot-ms  {row['memory_mib_ms']} MiB-ms  "
        f"{row['fuel']} fuel  {row['tokens']} tokens  {row['bytes_in']} bytes in  {row['bytes_out']} bytes out"
    )
