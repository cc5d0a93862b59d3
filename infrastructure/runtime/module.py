"""Reads a clause's module and decides, before it is registered, whether the keep would run it.

Invariants:
- Foreign bytes are compiled only in a limited process: one that takes too long or too much is refused, not waited for.
- Nothing of the module runs, its start function included.
"""

import json
from pathlib import Path
from typing import Final

import wasmtime

from domain.errors import MalformedError
from infrastructure.runtime import process
from infrastructure.runtime.abi import MAX_MODULE_BYTES
from infrastructure.runtime.frames import ProcessEndedError, exchange

COMPILE_LIMIT_MS: Final = 10_000
"""Wall-clock time within which a module must compile, start of the process included."""

_MAX_TEXT_BYTES: Final = 1_048_576


def module_bytes(path: Path) -> bytes:
    """Return the binary module of a ``.wasm`` file, or of a ``.wat`` file in the WebAssembly text format.

    Raises:
        MalformedError: for another suffix, an unreadable or overlong file, or text that is no module.
    """
    limit = {".wasm": MAX_MODULE_BYTES, ".wat": _MAX_TEXT_BYTES}.get(path.suffix)
    if limit is None:
        raise MalformedError(f"{path.name} is neither a .wasm nor a .wat file")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise MalformedError(f"cannot read {path.name}: {error.strerror}") from None
    if len(data) > limit:
        raise MalformedError(f"{path.name} has more than {limit} bytes")
    return data if path.suffix == ".wasm" else _from_text(data, path.name)


def validate_module(wasm: bytes, *, within_ms: int = COMPILE_LIMIT_MS) -> str:
    """Return the module's SHA-256 digest (64 hex), if the keep would run it.

    Raises:
        MalformedError: when it is too large, doesn't compile within its limits, or has other imports or exports.
        UnavailableError: when no process could be started.
    """
    if len(wasm) > MAX_MODULE_BYTES:
        raise MalformedError(f"the module has {len(wasm)} bytes; at most {MAX_MODULE_BYTES} are allowed")
    child = process.start("infrastructure.runtime.validate")
    try:
        answer = json.loads(exchange(child, wasm, within_ms=within_ms))
    except TimeoutError:
        raise MalformedError(f"the module doesn't compile within {within_ms} ms") from None
    except ProcessEndedError:
        raise MalformedError("the module doesn't compile within its limits of memory and CPU time") from None
    finally:
        process.end(child)
    if "refused" in answer:
        raise MalformedError(answer["refused"])
    return str(answer["digest"])


def _from_text(data: bytes, name: str) -> bytes:
    try:
        return bytes(wasmtime.wat2wasm(data.decode("utf-8")))
    except UnicodeDecodeError:
        raise MalformedError(f"{name} is not UTF-8") from None
    except wasmtime.WasmtimeError as error:
        first = (str(error).strip().splitlines() or ["no reason was given"])[0]
        raise MalformedError(f"{name} is not valid WebAssembly text: {first[:300]}") from None
