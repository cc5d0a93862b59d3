"""Holds a compiled module against the agreed imports and exports (see `abi`)."""

import wasmtime

from domain.errors import MalformedError
from infrastructure.runtime.abi import IMPORT_MODULE, IMPORTS, MEMORY_EXPORT, RUN_EXPORT

_I32 = wasmtime.ValType.i32()


def check_signature(module: wasmtime.Module) -> None:
    """Accept exactly the agreed imports (or fewer) and exports.

    Raises:
        MalformedError: naming what is unknown, missing or of another type.
    """
    for wanted in module.imports:
        _check_import(wanted)
    exports = {export.name: export.type for export in module.exports}
    for name in sorted(exports.keys() - {MEMORY_EXPORT, RUN_EXPORT}):
        raise MalformedError(f"the module exports {_shown(name)}; only {MEMORY_EXPORT} and {RUN_EXPORT} may be")
    if not isinstance(exports.get(MEMORY_EXPORT), wasmtime.MemoryType):
        raise MalformedError(f"the module must export its memory as {MEMORY_EXPORT}")
    run = exports.get(RUN_EXPORT)
    if not isinstance(run, wasmtime.FuncType) or run.params or list(run.results) != [_I32]:
        raise MalformedError(f"the module must export a function {RUN_EXPORT}() -> i32")


def _check_import(wanted: wasmtime.ImportType) -> None:
    name = wanted.name or ""
    place = f"{_shown(wanted.module)}.{_shown(name)}"
    if wanted.module != IMPORT_MODULE or name not in IMPORTS:
        known = ", ".join(f"{IMPORT_MODULE}.{known}" for known in IMPORTS)
        raise MalformedError(f"the module imports {place}; only {known} are given")
    kind = wanted.type
    if (
        not isinstance(kind, wasmtime.FuncType)
        or list(kind.params) != [_I32] * IMPORTS[name]
        or list(kind.results) != [_I32]
    ):
        raise MalformedError(f"the module imports {place} with another type: it takes {IMPORTS[name]} i32, gives one")


def _shown(name: str) -> str:
    return ascii(name[:64])[1:-1]
