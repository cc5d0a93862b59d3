"""A node at work: makes the enclave of each reservation, reports signed and in order, resets to zero.

Invariants:
- Reports form a chain per execution; a lost answer is safe to repeat, because the same token is sent again.
- Inputs enter the keep sealed to the enclave's own key; this process never sees them or the output in the clear.
- The slot is reported free only after the keep has dropped instance and keys.
"""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from domain.canonical import canonical
from domain.errors import LedgerError, RefusedError, UnknownError
from domain.executions.state import NO_REPORT
from domain.nodes.telemetry import telemetry_claims
from domain.scheduling.state import Scheduling
from domain.statements import REPORT
from infrastructure.attestation.attesting import Attester
from infrastructure.client.signing import signed_by
from infrastructure.commands.context import load_context
from infrastructure.commands.executions import assign, report
from infrastructure.commands.provisioning import released_inputs
from infrastructure.commands.telemetry import load_reported, telemetry
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Ledger
from infrastructure.node.assignment import Assignment
from infrastructure.node.claims import LOST, RESET, STARTED, Claims, ended, evidence_of, prepare_request
from infrastructure.node.enclosed import Enclosed
from infrastructure.runtime.keep import Keep
from infrastructure.runtime.messages import Completed, Faulted, Run
from infrastructure.runtime.pool import KeepPool
from infrastructure.statements.payload import payload


@dataclass
class Chain:
    """The reports of one execution so far: which comes next, and what it names as its predecessor."""

    origin: str
    execution_id: str
    seq: int = 0
    prev: str = NO_REPORT


@dataclass
class Running:
    """One execution on this node, between its start and its reset."""

    assignment: Assignment
    keep: Keep
    chain: Chain
    result: Completed | Faulted | None = None


class NodeAgent:
    """One enrolled node.

    Args:
        ledger: the ledger that it reports to.
        wallet: the node's own keys.
        keeps: where its enclaves run.
        attester: makes its evidence; None: its key's word.
    """

    def __init__(self, ledger: Ledger, wallet: Wallet, keeps: KeepPool, attester: Attester | None = None) -> None:
        self._ledger = ledger
        self._evidence = evidence_of(attester)
        self._wallet = wallet
        self._keeps = keeps

    def start(self, cell: Scheduling, execution_id: str) -> Running | None:
        """Provision an enclave, have it appraised, take its inputs and run the clause.

        The result is held until `finish`: in virtual time the clause ends later than it ran. Returns None when evidence
        or provisioning gate refused; the ledger has recorded why. Where a tenant's releaser is waited for there is no
        result yet: `resume` looks again.
        """
        assignment = assign(self._ledger, execution_id)
        chain = Chain(assignment.origin, execution_id)
        running = Running(assignment, self._keeps.keep(assignment.origin), chain)
        prepared = running.keep.prepare(prepare_request(assignment))
        made = self._evidence.make(assignment, prepared)
        if not self._tell(cell, chain, made.claims, made.enclosed):
            running.keep.reset(execution_id)
            return None
        return running if self.resume(cell, running) else None

    def resume(self, cell: Scheduling, running: Running) -> bool:
        """Run the clause if its inputs are there. Returns False when they never come: the runtime is back at zero then.

        While the tenant's releaser is waited for, nothing changes.
        """
        execution_id, chain = running.assignment.execution_id, running.chain
        try:
            inputs, cac, output_key = released_inputs(self._ledger, execution_id)
        except RefusedError:
            known = load_context(self._ledger, execution_id).execution
            if known.status == "provisioned":
                return True
            running.keep.reset(execution_id)
            if known.faulted is not None and not known.reset:
                self._tell(cell, chain, RESET)
            return False
        self._tell(cell, chain, STARTED)
        request = Run(
            execution_id=execution_id,
            sealed_inputs=inputs,
            output_public_key=output_key,
            cac=cac,
            created_ms=self._ledger.clock.now_ms(),
        )
        running.result = running.keep.run(request)
        return True

    def finish(self, cell: Scheduling, running: Running, duration_ms: int) -> None:
        """Report how the clause ended, and only after that that the runtime is back at zero."""
        result, execution_id = running.result, running.assignment.execution_id
        if result is None:
            raise LedgerError("an execution is finished after it was started")
        enclosed = None
        if isinstance(result, Completed):
            enclosed = Enclosed(output=result.sealed_output, cac=canonical(result.cac))
        self._tell(cell, running.chain, ended(result, duration_ms), enclosed)
        running.keep.reset(execution_id)
        self._tell(cell, running.chain, RESET)

    def recover(self, cell: Scheduling, execution_id: str) -> None:
        """End an execution that this node left in the middle, when its process died or could not report.

        What the enclave held is gone with it: one that had its inputs has faulted; one that had ended is reset. The
        ledger knows the last report that counted.
        """
        context = load_context(self._ledger, execution_id)
        known = context.execution
        chain = Chain(context.tenant.origin, execution_id, known.reports, known.last_report)
        with suppress(UnknownError):  # an enclave of an earlier process
            self._keeps.keep(chain.origin).reset(execution_id)
        if known.completed is None and known.faulted is None:
            self._tell(cell, chain, LOST)
        if known.status != "provisioned" or load_context(self._ledger, execution_id).execution.faulted is not None:
            self._tell(cell, chain, RESET)

    def heartbeat(self, node: str, load_percent: int, free_slots: int, free_memory_bytes: int) -> bool:
        """Report that the node is alive, and its load. Returns whether that was recorded: one report in an interval is.

        Raises:
            LedgerError: when the ledger refuses it.
        """
        seq, prev = load_reported(self._ledger, node).following
        claims = telemetry_claims(
            node, seq, prev, load_percent=load_percent, free_slots=free_slots, free_memory_bytes=free_memory_bytes
        )
        content = payload(
            iss=self._wallet.did(Purpose.REPORT),
            aud=self._ledger.platform().origin,
            claims=claims,
            now_ms=self._ledger.clock.now_ms(),
            entropy=self._ledger.entropy,
        )
        answer = telemetry(self._ledger, signed_by([self._wallet], REPORT, content)[0])
        return bool(answer.answer["accepted"])

    def _tell(self, cell: Scheduling, chain: Chain, claims: Claims, enclosed: Enclosed | None = None) -> bool:
        said = {**claims, "execution": chain.execution_id, "seq": chain.seq, "prev": chain.prev}
        content = payload(
            iss=self._wallet.did(Purpose.REPORT),
            aud=chain.origin,
            claims=said,
            now_ms=self._ledger.clock.now_ms(),
            entropy=self._ledger.entropy,
        )
        token = signed_by([self._wallet], REPORT, content)[0]
        answer = report(self._ledger, cell, token, enclosed)
        accepted = bool(answer.answer["accepted"])
        if accepted:  # a refused report is no link of the chain
            chain.seq += 1
            chain.prev = sha256(token.encode()).hexdigest()
        return accepted
