"""What ran: the engine's name and the measurement of engine, configuration and keep protocol.

Invariants:
- `CONFIG` is the whole configuration: the engine is built from this table, so what is measured is what runs.
- Every value in it keeps the same module, inputs and limits at the same outputs and fuel on every machine: NaNs are
  canonical, and there are no threads, no relaxed SIMD and nothing that asks the host for time or chance.
"""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from typing import Final

from domain.canonical import canonical
from infrastructure.runtime.abi import IMPORTS, MAX_CALLS, MAX_OUTPUT_BYTES, PROTOCOL

CONFIG: Final[dict[str, bool | int | str]] = {
    "consume_fuel": True,
    "cranelift_nan_canonicalization": True,
    "cranelift_opt_level": "speed",
    "debug_info": False,
    "epoch_interruption": True,
    "gc_support": False,
    "max_wasm_stack": 524_288,
    # No address space is reserved ahead and no guard pages are laid: the process runs under resource limits.
    "memory_guard_size": 0,
    "memory_init_cow": False,
    "memory_reservation": 0,
    "memory_reservation_for_growth": 0,
    "parallel_compilation": False,
    "shared_memory": False,
    # Traps are explicit checks in the code, not signals: the interpreter's own handlers stay as they are.
    "signals_based_traps": False,
    "strategy": "cranelift",
    "wasm_bulk_memory": True,
    "wasm_custom_page_sizes": False,
    "wasm_exceptions": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "wasm_memory64": False,
    "wasm_multi_memory": False,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    "wasm_relaxed_simd": False,
    "wasm_simd": False,
    "wasm_stack_switching": False,
    "wasm_tail_call": False,
    "wasm_threads": False,
    "wasm_wide_arithmetic": False,
}

MAX_TABLES: Final = 4
MAX_TABLE_ELEMENTS: Final = 16_384


@cache
def engine_identity() -> str:
    """Return name and version of the engine, e.g. ``wasmtime 50.0.1 cranelift``."""
    return f"wasmtime {version('wasmtime')} {CONFIG['strategy']}"


@cache
def runtime_measurement() -> str:
    """Return SHA-256 (64 hex) over the JCS of engine, configuration, store limits, imports and keep protocol."""
    measured = {
        "config": CONFIG,
        "engine": engine_identity(),
        "imports": IMPORTS,
        "limits": {
            "calls": MAX_CALLS,
            "output_bytes": MAX_OUTPUT_BYTES,
            "table_elements": MAX_TABLE_ELEMENTS,
            "tables": MAX_TABLES,
        },
        "protocol": PROTOCOL,
    }
    return sha256(canonical(measured)).hexdigest()
