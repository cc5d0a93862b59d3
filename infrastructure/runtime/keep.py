"""The keep as its node sees it: a worker process per tenant's log, asked for enclaves and replaced when it fails.

Invariants:
- One keep serves one log. Whatever its worker does ends in an answer or a fault for that log's execution; no other
  keep notices.
- No call waits for ever. A run may take its wall-clock limit and a margin; then its process is killed.
- An execution id is prepared once in the keep's life, over all its workers. Executions whose worker ended before they
  ran end in a fault of their own when they are run.
"""

import threading
from typing import Final, TypeVar

from domain.errors import ConflictError, MalformedError, RefusedError, UnavailableError, UnknownError
from infrastructure.closing import Closing
from infrastructure.runtime import process
from infrastructure.runtime.abi import Fault
from infrastructure.runtime.frames import MAX_FRAME_BYTES, ProcessEndedError, exchange
from infrastructure.runtime.messages import (
    Answer,
    Begin,
    Completed,
    Faulted,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Request,
    Reset,
    Run,
    WasReset,
    decode_answer,
    encode,
)

DEFAULT_MEMORY_LIMIT_BYTES: Final = 268_435_456
"""Greatest memory bound that a keep accepts, unless it is made with another."""

_BEGIN_MS: Final = 20_000
_PREPARE_MS: Final = 15_000
_RESET_MS: Final = 5_000
_MARGIN_MS: Final = 3_000
"""What a run may take beyond its wall-clock limit: opening, sealing and signing."""

_MODULE: Final = "infrastructure.runtime.worker"
_REASONS: Final[dict[str, type[RefusedError]]] = {
    "malformed": MalformedError,
    "conflict": ConflictError,
    "unknown": UnknownError,
}
_AnswerT = TypeVar("_AnswerT", bound=Answer)


class Keep(Closing):
    """Enclaves for one log. Safe to call from several threads; calls are served one after another."""

    def __init__(
        self, origin: str, *, memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES, margin_ms: int = _MARGIN_MS
    ) -> None:
        """Start the first worker.

        Raises:
            UnavailableError: when it doesn't start.
        """
        self._origin = origin
        self._memory_limit_bytes = memory_limit_bytes
        self._margin_ms = margin_ms
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._waiting: dict[str, int] = {}
        """Wall-clock limit in ms of each execution that is prepared in the present worker and didn't run yet."""
        self._lost: set[str] = set()
        self._worker = process.start(_MODULE)
        self._closed = False
        self.ready: Ready = self._begin()

    @property
    def pid(self) -> int:
        """Process id of the present worker."""
        return self._worker.pid

    def prepare(self, request: Prepare) -> Prepared:
        """Make an enclave for an execution.

        Raises:
            MalformedError: when the request is not what a keep runs.
            ConflictError: when the execution id was prepared before.
            UnavailableError: when the worker failed; it was replaced, and the execution id is used up.
        """
        with self._lock:
            self._check_open()
            if request.execution_id in self._used:
                raise ConflictError("an execution id is prepared once")
            body = encode(request)
            try:
                prepared = _expect(Prepared, self._ask(body, _PREPARE_MS))
            except (TimeoutError, ProcessEndedError):
                self._used.add(request.execution_id)
                self._replace()
                raise UnavailableError("the enclave's process failed while it was prepared") from None
            self._used.add(request.execution_id)
            self._waiting[request.execution_id] = request.limits.wall_ms
            return prepared

    def run(self, request: Run) -> Completed | Faulted:
        """Run a prepared execution, once.

        Raises:
            UnknownError: when it is not prepared here.
            ConflictError: when it ran already.
            MalformedError: when the CAC or the output key are not what they must be; it may be run again.
        """
        with self._lock:
            self._check_open()
            if request.execution_id not in self._used:
                raise UnknownError("this execution was never prepared")
            if request.execution_id in self._lost:
                self._lost.discard(request.execution_id)
                return _fault(request, "trap", "the enclave's process ended before it ran")
            wall_ms = self._waiting.get(request.execution_id, 0)
            body = encode(request)
            try:
                answer = self._ask(body, wall_ms + self._margin_ms)
            except TimeoutError:
                return self._failed(request, "deadline", "the enclave's process was killed at its deadline")
            except ProcessEndedError:
                return self._failed(request, "trap", "the enclave's process ended during the run")
            if isinstance(answer, Completed | Faulted):
                self._waiting.pop(request.execution_id, None)
                return answer
            return _expect(Completed, answer)

    def reset(self, execution_id: str) -> None:
        """Drop an execution's enclave, whether it ran or not. Safe to repeat.

        Raises:
            UnknownError: when this id was never prepared here.
        """
        with self._lock:
            self._check_open()
            if execution_id not in self._used:
                raise UnknownError("this execution was never prepared")
            self._waiting.pop(execution_id, None)
            self._lost.discard(execution_id)
            try:
                answer = self._ask(encode(Reset(execution_id=execution_id)), _RESET_MS)
            except (TimeoutError, ProcessEndedError):
                self._replace()  # with its process, all that it held is gone
                return
            if not (isinstance(answer, Refused) and answer.reason == "unknown"):  # unknown: an earlier worker's
                _expect(WasReset, answer)

    def close(self) -> None:
        """End the worker. Safe to repeat."""
        with self._lock:
            if not self._closed:
                self._closed = True
                process.end(self._worker)

    def _begin(self) -> Ready:
        begin: Request = Begin(origin=self._origin, memory_limit_bytes=self._memory_limit_bytes)
        try:
            return _expect(Ready, self._ask(encode(begin), _BEGIN_MS))
        except (TimeoutError, ProcessEndedError):
            self._closed = True
            process.end(self._worker)
            raise UnavailableError("the enclave's process doesn't start") from None

    def _ask(self, body: bytes, within_ms: int) -> Answer:
        if len(body) > MAX_FRAME_BYTES:
            raise MalformedError(f"the request is longer than {MAX_FRAME_BYTES} bytes")
        try:
            return decode_answer(exchange(self._worker, body, within_ms=within_ms))
        except MalformedError:
            raise ProcessEndedError("the worker's answer is none") from None

    def _failed(self, request: Run, fault: Fault, detail: str) -> Faulted:
        self._waiting.pop(request.execution_id, None)
        self._replace()
        return _fault(request, fault, detail)

    def _replace(self) -> None:
        process.end(self._worker)
        self._lost |= self._waiting.keys()
        self._waiting.clear()
        self._worker = process.start(_MODULE)
        self.ready = self._begin()

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("this keep is closed")


def _expect(kind: type[_AnswerT], answer: Answer) -> _AnswerT:
    if isinstance(answer, Refused):
        raise _REASONS[answer.reason](answer.text)
    if not isinstance(answer, kind):
        raise ProcessEndedError("the worker answered something else")
    return answer


def _fault(request: Run, fault: Fault, detail: str) -> Faulted:
    return Faulted(execution_id=request.execution_id, fault=fault, detail=detail, fuel_used=0, peak_memory_bytes=0)
