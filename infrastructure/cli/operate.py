"""Commands that submit, execute and show: submit, work, retry, cac, queue, nodes."""

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from domain.attestation.binding import SALT_BYTES, output_info
from domain.bounds import Bounds
from domain.errors import MalformedError, UnknownError
from domain.executions.events import ExecutionFaulted
from domain.identifiers import stream_of
from domain.message import Recorded
from domain.workloads.events import WorkloadDenied
from infrastructure.cli.acknowledged import acknowledged
from infrastructure.cli.output import result, say
from infrastructure.cli.session import ledger_at, load_wallets
from infrastructure.client import acts
from infrastructure.client.submission import read_submission_file
from infrastructure.commands.loading import find_log, find_tenant, load_execution, log_of, tenants
from infrastructure.decider import Decider
from infrastructure.deciding import keep_deciding
from infrastructure.explaining import explained
from infrastructure.keys.wallet import Wallet
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from infrastructure.work import work
from projections import audit_trail
from projections.scheduling import nodes as node_rows
from projections.scheduling import nodes_for_tenants, own_queue
from projections.scheduling import queue as queue_rows

Row = dict[str, Any]


def submit(
    data_dir: Path, file: Path, key: Path, tenant: str, *, run: bool, ack: Path | None = None, as_json: bool
) -> None:
    """Sign, seal and hand in a submission; then, unless told otherwise, work until it has come to rest."""
    content, inputs = read_submission_file(file)
    wallet = load_wallets([key])[0]
    with ledger_at(data_dir) as ledger:
        found = find_tenant(ledger, tenant)
        with acknowledged(ledger, ack) as kept:
            submission = acts.submit(ledger, found, wallet, content, inputs)
        if run:
            _work(ledger, data_dir)
        else:
            Projector(ledger).catch_up()
        row = _row(ledger, f"workload/{submission.workload}", submission.workload)
    result({**row, **kept.members()}, as_json=as_json, lines=explained(row))


def cancel(data_dir: Path, workload: str, key: Path, tenant: str, *, ack: Path | None = None, as_json: bool) -> None:
    """Take a waiting workload back."""
    wallet = load_wallets([key])[0]
    with ledger_at(data_dir) as ledger:
        with acknowledged(ledger, ack) as kept:
            acts.cancel(ledger, find_tenant(ledger, tenant), wallet, workload)
        Projector(ledger).catch_up()
        row = _row(ledger, f"workload/{workload}", workload)
    result({**row, **kept.members()}, as_json=as_json, lines=explained(row))


def run_work(data_dir: Path, *, as_json: bool) -> None:
    """Decide and execute until nothing is left to do here."""
    with ledger_at(data_dir) as ledger:
        done = _work(ledger, data_dir)
    result({"executed": done}, as_json=as_json, lines=[f"{done} executions run"])


def retry(
    data_dir: Path,
    prefixed_id: str,
    keys: Sequence[Path],
    bounds: dict[str, int],
    *,
    run: bool,
    ack: Path | None = None,
    as_json: bool,
) -> None:
    """Re-authorise a held workload (or its faulted execution), and run it again."""
    signatories = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        execution = _faulted(ledger, prefixed_id)
        reserved = load_execution(ledger, log_of(ledger, execution), execution)[0].reserved
        asked = Bounds.model_validate({**reserved.limits.model_dump(), **bounds})
        with acknowledged(ledger, ack) as kept:
            acts.authorize_retry(ledger, execution, signatories, bounds=asked)
        if run:
            _work(ledger, data_dir)
        Projector(ledger).catch_up()
        row = _row(ledger, f"workload/{reserved.workload_id}", reserved.workload_id)
    result({**row, **kept.members()}, as_json=as_json, lines=explained(row))


def refuse_retry(
    data_dir: Path, prefixed_id: str, keys: Sequence[Path], *, ack: Path | None = None, as_json: bool
) -> None:
    """Let a held workload (or its faulted execution) stay held."""
    signatories = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        execution = _faulted(ledger, prefixed_id)
        workload = load_execution(ledger, log_of(ledger, execution), execution)[0].reserved.workload_id
        with acknowledged(ledger, ack) as kept:
            acts.refuse_retry(ledger, execution, signatories)
        Projector(ledger).catch_up()
        row = _row(ledger, f"workload/{workload}", workload)
    result({**row, **kept.members()}, as_json=as_json, lines=explained(row))


def _faulted(ledger: Ledger, prefixed_id: str) -> str:
    """Return the execution that a person means: itself, or a workload's last fault that waits for a decision."""
    if not prefixed_id.startswith("wl-"):
        return prefixed_id
    log_id = log_of(ledger, prefixed_id)
    Projector(ledger).catch_up()
    known = _row(ledger, f"workload/{prefixed_id}", prefixed_id)["executions"]
    states = [load_execution(ledger, log_id, one)[0] for one in known]
    waiting = [state.id for state in states if state.faulted is not None and not state.retry_decided]
    if not waiting:
        raise UnknownError("this workload has no fault that waits for a decision")
    return waiting[-1]


def list_cacs(data_dir: Path, tenant: str | None, *, as_json: bool) -> None:
    """List CACs of one tenant, or of all tenants of this installation."""
    with ledger_at(data_dir) as ledger:
        projector = Projector(ledger)
        projector.catch_up()
        logs = (
            [find_log(ledger, tenant).log_id]
            if tenant
            else [find_log(ledger, t.log_id).log_id for t in tenants(ledger)]
        )
        rows = [
            {
                **{
                    name: row[name]
                    for name in ("cac", "outcome", "clause_id", "node", "execution", "workload", "issued_at_ms")
                },
                "overturned": row.get("overturned"),
            }
            for log_id in logs
            for key, row in projector.rows(log_id, audit_trail.NAME).items()
            if key.startswith("cac/")
        ]
    lines = [
        f"{row['cac']}  {row['outcome']:<8} {row['clause_id']}  on {row['node']}"
        + ("  OVERTURNED" if row["overturned"] else "")
        for row in rows
    ]
    result({"cacs": rows}, as_json=as_json, lines=lines or ["no CAC yet"])


def show_cac(data_dir: Path, cac_id: str, *, opened: bool, key: Path | None = None, as_json: bool) -> None:
    """Show a CAC as the enclave signed it, and if asked its output, opened with the tenant's key.

    Whose inputs are in the tenant's own custody has it in a wallet: `key`.
    """
    wallet = None if key is None else load_wallets([key])[0]
    with ledger_at(data_dir) as ledger:
        Projector(ledger).catch_up()
        row = _row(ledger, f"cac/{cac_id}", cac_id)
        output = _output(ledger, cac_id, row, wallet) if opened else None
    document = row["document"]
    overturned = row.get("overturned")
    members = {"cac": document, **({"output": output} if output is not None else {})}
    if overturned:
        members["overturned"] = overturned
    about = document["tenant_info"]
    lines = [
        f"{cac_id}  {document['outcome']}{'  OVERTURNED' if overturned else ''}",
        *([f"overturned by dispute {overturned['dispute']} in the log {overturned['scope']}"] if overturned else []),
        f"clause    {document['clause_id']}  module {document['module_digest']}",
        f"for       {about['dao']}/{about['jurisdiction']}  {about['resource_class']}  {about['workload_id']}",
        f"on        {document['node']}  evidence {document['evidence_class']}  engine {document['engine']}",
        f"policy    version {document['policy']['version']}  {document['policy']['digest']}",
        f"inputs    {', '.join(document['input_commitments'])}",
        f"output    {document['outputs'][0]['commitment']}  {document['outputs'][0]['size_bytes']} bytes",
        f"released  {document['released_by']}",
        f"signed by {document['proof']['verificationMethod']}",
        *([f"content   {output}"] if output is not None else []),
    ]
    result(members, as_json=as_json, lines=lines)


def decide(data_dir: Path) -> None:
    """Decide until interrupted, or stand by."""
    stop = threading.Event()
    with ledger_at(data_dir) as ledger:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        keep_deciding(ledger, stop=stop, told=say)


def show_queue(data_dir: Path, tenant: str | None, *, as_json: bool) -> None:
    """Show who waits and which nodes there are: the operator's view, tenants by slot; or one tenant's own."""
    with ledger_at(data_dir) as ledger:
        only = None if tenant is None else find_tenant(ledger, tenant)
        state = Decider(ledger).catch_up()
    if only is not None:
        own = own_queue(state, only.slot)
        lines = [f"{row['workload']}  attempt {row['attempt']}" for row in own]
        result({"waiting": own}, as_json=as_json, lines=lines or ["nobody waits"])
        return
    waiting, known = queue_rows(state), node_rows(state)
    lines = [
        f"{row['workload']}  slot {row['slot']}  level {row['level']}  attempt {row['attempt']}" for row in waiting
    ]
    lines = lines or ["nobody waits"]
    lines += [
        f"{row['node']}  {row['country']}  {row['operator']}  {row['free_slots']} of {row['slots']} slots free"
        for row in known
    ]
    result({"waiting": waiting, "nodes": known}, as_json=as_json, lines=lines)


def show_nodes(data_dir: Path, tenant: str | None, *, as_json: bool) -> None:
    """Show the nodes: with what is free, for the operator; with --tenant what that tenant may know of them."""
    with ledger_at(data_dir) as ledger:
        if tenant is not None:
            find_tenant(ledger, tenant)
        state = Decider(ledger).catch_up()
    known = node_rows(state) if tenant is None else nodes_for_tenants(state)
    result({"nodes": known}, as_json=as_json, lines=[_node_line(row) for row in known] or ["no node is enrolled yet"])


def _node_line(row: Row) -> str:
    free = f"{row['free_slots']} of {row['slots']} slots free" if "free_slots" in row else f"{row['slots']} slots"
    state = "drained" if row["drained"] else row["standing"]
    return f"{row['node']}  {row['country']}  {row['operator']}  {row['vendor']}  {row['pool']}  {free}  {state}"


def _work(ledger: Ledger, data_dir: Path) -> int:
    return work(ledger, data_dir, watcher=_teller(ledger), trouble=say)


def _teller(ledger: Ledger) -> Callable[[Recorded], None]:
    began = ledger.clock.now_ms()

    def tell(recorded: Recorded) -> None:
        event = recorded.event
        if recorded.at_ms < began:
            return
        if isinstance(event, WorkloadDenied):
            say(f"denied  {event.workload_id}: {event.reason}")
        elif isinstance(event, ExecutionFaulted):
            say(f"fault   {event.execution_id}: {event.kind}; held until re-authorised")

    return tell


def _row(ledger: Ledger, key: str, prefixed_id: str) -> Row:
    row = Projector(ledger).row(log_of(ledger, prefixed_id), audit_trail.NAME, key)
    if row is None:
        raise UnknownError("there is nothing of that id yet; `enclave-ledger work` brings things forward")
    return row


def _output(ledger: Ledger, cac_id: str, row: Row, wallet: Wallet | None) -> str:
    log_id = log_of(ledger, cac_id)
    execution, _ = load_execution(ledger, log_id, row["execution"])
    if execution.completed is None or execution.appraised is None:
        raise UnknownError("this execution has no output")
    sealed = ledger.attached(log_id, stream_of(execution.id), execution.completed.output.digest)
    commitment = bytes.fromhex(execution.completed.output_commitment)
    info = output_info(bytes.fromhex(execution.appraised.report_data), 0, commitment)
    held = ledger.keyring.get(log_id).output_key() if wallet is None else wallet.custody().output
    plain = held.open(sealed, info)
    try:
        return plain[SALT_BYTES:].decode()
    except UnicodeDecodeError:
        raise MalformedError("the output is not text") from None
