"""Runs one clause at a time: a fresh store and instance per execution, bounded in fuel, memory and wall-clock time.

Invariants:
- Nothing but the mediated imports is linked: no files, network, clock or randomness. Same module, inputs and bounds
  give the same outcome, output, fuel and peak memory on every run; only a deadline depends on the machine.
- Every run ends in exactly one outcome, or exactly one fault of a closed kind. Whatever a module does, it raises
  nothing else. `memory` is a trap after the bound refused memory, at the start or in `memory.grow`; a clause that
  copes with a refusal goes on.
- After a run its instance is gone and its linear memory is overwritten. Compiled code is kept, by digest, within
  bounds; it holds nothing of any input.
"""

import ctypes
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple, NoReturn

import wasmtime
from wasmtime import _bindings, _ffi
from wasmtime._func import enter_wasm

from domain.bounds import Bounds
from domain.errors import MalformedError
from infrastructure.runtime.abi import (
    IMPORT_MODULE,
    IMPORTS,
    MAX_CALLS,
    MAX_MODULE_BYTES,
    OUTCOMES,
    REFUSALS,
    RUN_EXPORT,
    Fault,
    Outcome,
)
from infrastructure.runtime.deadline import Deadline
from infrastructure.runtime.host_calls import GuestError, HostCalls
from infrastructure.runtime.linear_memory import LinearMemory, MemoryHost
from infrastructure.runtime.measurement import CONFIG, MAX_TABLE_ELEMENTS, MAX_TABLES
from infrastructure.runtime.signature import check_signature

_RUN: Final = RUN_EXPORT.encode()
_NO_FINALIZER: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)()
_CACHED_MODULES: Final = 64
_CACHED_BYTES: Final = 8_388_608


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended: `outcome` with `output`, or `fault` with a short `detail` and no output.

    Fuel is counted in the engine's units (about one per instruction), after a deadline only as far as it was written
    down; memory in bytes of linear memory; `calls` are those of imports.
    """

    outcome: Outcome | None
    fault: Fault | None
    detail: str
    output: bytes
    fuel_used: int
    peak_memory_bytes: int
    calls: int


class _Ending(NamedTuple):
    """What `run` returned, or the fault that ended it, and the fuel used until then."""

    code: int | None
    fault: Fault | None
    detail: str
    fuel_used: int


class ClauseEngine:
    """One wasmtime engine with its compiled clauses. Runs are serialised: one clause at a time."""

    def __init__(self) -> None:
        config = wasmtime.Config()
        for name, value in CONFIG.items():
            setattr(config, name, value)
        self._memories = MemoryHost()
        self._memories.install(config)
        self._engine = wasmtime.Engine(config)
        self._deadline = Deadline(self._engine.increment_epoch)
        self._one_at_a_time = threading.Lock()
        self._linker = wasmtime.Linker(self._engine)
        self._calls: HostCalls | None = None
        self._raised: Exception | None = None
        self._imports: list[object] = []  # which the linker may call as long as it lives
        for name in IMPORTS:
            self._define(name)
        self._compiled: OrderedDict[bytes, tuple[wasmtime.InstancePre, int]] = OrderedDict()

    def compile(self, wasm: bytes) -> bytes:
        """Compile a module, check its imports and exports, keep it, and return its SHA-256 digest. Runs nothing of it.

        Raises:
            MalformedError: when it is too large, no valid module, or its imports or exports are not the agreed ones.
        """
        if len(wasm) > MAX_MODULE_BYTES:
            raise MalformedError(f"the module has {len(wasm)} bytes; at most {MAX_MODULE_BYTES} are allowed")
        digest = sha256(wasm).digest()
        if digest in self._compiled:
            self._compiled.move_to_end(digest)
            return digest
        if not wasm.startswith(b"\0asm"):
            raise MalformedError("not a WebAssembly module: it doesn't begin with \\0asm")
        try:
            module = wasmtime.Module(self._engine, wasm)
        except wasmtime.WasmtimeError as error:
            raise MalformedError(f"the module doesn't compile: {_first_line(error)}") from None
        check_signature(module)
        self._keep(digest, self._linker.instantiate_pre(module), len(wasm))
        return digest

    def run(self, wasm: bytes, inputs: Sequence[bytes | bytearray], bounds: Bounds) -> RunResult:
        """Run a clause over its inputs.

        Raises:
            MalformedError: as `compile`; never because of what the module does while it runs.
        """
        prepared = self._compiled[self.compile(wasm)][0]
        with self._one_at_a_time, self._memories.bounded(bounds.memory_bytes) as memory:
            calls = HostCalls(inputs, memory)
            with self._serving(calls):
                ending = self._execute(prepared, memory, bounds)
            return _judge(ending, calls, memory.size)

    def close(self) -> None:
        """Stop the deadline's thread."""
        self._deadline.close()

    def _execute(self, prepared: wasmtime.InstancePre, memory: LinearMemory, bounds: Bounds) -> _Ending:
        """Instantiate and run in a store that is gone on return."""
        store = wasmtime.Store(self._engine)
        try:
            # The memory bound is kept by LinearMemory, which also tells; -1 leaves the engine's own limit unset.
            store.set_limits(
                memory_size=-1, table_elements=MAX_TABLE_ELEMENTS, instances=1, tables=MAX_TABLES, memories=1
            )
            store.set_fuel(bounds.fuel)
            store.set_epoch_deadline(1)
            try:
                with self._deadline.armed(bounds.wall_ms):
                    code = _call(prepared, store)
            except (wasmtime.Trap, wasmtime.WasmtimeError, GuestError) as error:
                fault, detail = _classify(self._cause(error), refused=memory.refused)
                return _Ending(None, fault, detail, bounds.fuel - store.get_fuel())
            return _Ending(code, None, "", bounds.fuel - store.get_fuel())
        finally:
            store.close()

    def _cause(self, error: Exception) -> Exception:
        """Return what a run ended with: what an import raised, if one did.

        Raises:
            Exception: what an import raised that is no fault of the guest.
        """
        raised, self._raised = self._raised, None
        if raised is not None and not isinstance(raised, GuestError):
            raise raised
        return raised or error

    @contextmanager
    def _serving(self, calls: HostCalls) -> Iterator[None]:
        self._calls = calls
        try:
            yield
        finally:
            self._calls = None

    def _define(self, name: str) -> None:
        """Link an import through the C API: in a fifth of the time that wasmtime-py takes to convert its values."""
        parameters = range(IMPORTS[name])

        def served(_data: object, _caller: object, values: Any, _count: int) -> int:
            try:
                if self._calls is None:
                    _unserved()
                self._calls.counted()
                values[0].i32 = getattr(self._calls, name)(*[values[at].i32 for at in parameters])
            except Exception as error:  # noqa: BLE001 - ctypes would swallow it, and let the guest go on
                self._raised = error
                trap = wasmtime.Trap("import")._consume()  # noqa: SLF001
                return ctypes.cast(trap, ctypes.c_void_p).value or 0
            return 0

        i32 = wasmtime.ValType.i32
        kind = wasmtime.FuncType([i32() for _ in parameters], [i32()])
        callback = _bindings.wasmtime_func_unchecked_callback_t(served)
        self._imports.append(callback)
        module, field = IMPORT_MODULE.encode(), name.encode()
        error = _bindings.wasmtime_linker_define_func_unchecked(
            self._linker.ptr(), module, len(module), field, len(field), kind.ptr(), callback, None, _NO_FINALIZER
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)  # noqa: SLF001

    def _keep(self, digest: bytes, prepared: wasmtime.InstancePre, size: int) -> None:
        self._compiled[digest] = (prepared, size)
        while len(self._compiled) > _CACHED_MODULES or sum(n for _, n in self._compiled.values()) > _CACHED_BYTES:
            self._compiled.popitem(last=False)


def _call(prepared: wasmtime.InstancePre, store: wasmtime.Store) -> int:
    """Instantiate and call `run`, whose type `check_signature` has seen: through the C API, in half the time."""
    instance = prepared.instantiate(store)
    context, found = store._context(), _bindings.wasmtime_extern_t()  # noqa: SLF001 - wasmtime-py has no other way
    there = _bindings.wasmtime_instance_export_get(
        context, ctypes.byref(instance._instance), _RUN, len(_RUN), ctypes.byref(found)  # noqa: SLF001
    )  # fmt: skip
    if not there or found.kind != _ffi.WASMTIME_EXTERN_FUNC.value:  # type: ignore[comparison-overlap] # it reads as int
        raise GuestError("run is not a function")
    result = _bindings.wasmtime_val_raw_t()
    with enter_wasm(store) as trap:
        error = _bindings.wasmtime_func_call_unchecked(
            context, ctypes.byref(found.of.func), ctypes.byref(result), 1, trap
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)  # noqa: SLF001
    code: int = result.i32
    return code


def _classify(error: Exception, *, refused: bool) -> tuple[Fault, str]:
    """Name the fault that ended a run, with a detail that holds nothing of its inputs."""
    if isinstance(error, GuestError):
        return ("memory" if refused else "trap"), str(error)
    code = error.trap_code if isinstance(error, wasmtime.Trap) else None
    if code is wasmtime.TrapCode.OUT_OF_FUEL:
        return "fuel", "the fuel is used up"
    if code is wasmtime.TrapCode.INTERRUPT:
        return "deadline", "the wall-clock time is over"
    name = "instantiation failed" if code is None else code.name.lower().replace("_", " ")
    if refused:
        return "memory", f"{name}, after the memory bound was reached"
    return "trap", name


def _judge(ending: _Ending, calls: HostCalls, peak: int) -> RunResult:
    fault, detail = _fault_of(ending, calls)
    return RunResult(
        outcome=None if fault else OUTCOMES[ending.code or 0],
        fault=fault,
        detail=detail,
        output=b"" if fault else bytes(calls.output),
        fuel_used=ending.fuel_used,
        peak_memory_bytes=peak,
        calls=min(calls.count, MAX_CALLS),
    )


def _fault_of(ending: _Ending, calls: HostCalls) -> tuple[Fault | None, str]:
    if ending.fault is not None:
        return ending.fault, ending.detail
    code = ending.code if ending.code is not None else -1
    if code in REFUSALS:
        return REFUSALS[code], f"the clause returned {code}"
    if code not in OUTCOMES:
        return "output_invalid", f"the clause returned {code}, which is no outcome"
    problem = _output_problem(bytes(calls.output), overflowed=calls.overflowed)
    return ("output_invalid", problem) if problem else (None, "")


def _output_problem(output: bytes, *, overflowed: bool) -> str:
    """Tell why bytes are no valid output, or nothing."""
    if overflowed:
        return "the output passed its bound"
    try:
        value = json.loads(output.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return "the output is not UTF-8 JSON"
    return "" if isinstance(value, dict) else "the output is not a JSON object"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _unserved() -> NoReturn:
    raise GuestError("an import was called outside a run")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith("Caused by")]
    return ": ".join(causes[:2])[:300] or "unknown reason"
