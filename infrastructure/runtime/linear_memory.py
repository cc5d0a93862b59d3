"""The one linear memory of an execution, held by us instead of by the engine.

Invariants:
- It never holds more than the execution's bound; what the bound refuses, at the start or in `memory.grow`, is
  remembered. The engine's own limiter refuses silently, so a trap that follows could not be told from any other.
- It is mapped once, private and zeroed by the kernel, at the size of the bound: it never moves, and its unused pages
  cost nothing. After the execution every page that was used is overwritten with zeros and given back to the kernel,
  whose next page is a fresh one. A mapping is used again at most by an execution of the same tenant and bound.
- One memory per bound: the engine asks for it while `MemoryHost.bounded` is open, and for nothing else.

A callback that fails must answer with an error and never raise: ctypes would swallow the exception and report success.
"""

import ctypes
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import wasmtime
from wasmtime import _bindings, _ffi

from infrastructure.runtime.abi import PAGE_BYTES

_THERE = re.compile(b"[" + b"".join(re.escape(bytes((one,))) for one in range(1, 256, 2)) + b"]+")
"""Bytes of mincore(2) whose lowest bit is set; the others' meaning is not ours to know."""
_mincore = ctypes.CDLL(None).mincore
_mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_Finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class LinearMemory:
    """Linear memory of at most `bound_bytes`; `size` grows in whole pages and never shrinks."""

    def __init__(self, bound_bytes: int, spare: "Mapping | None" = None) -> None:
        self.size = 0
        self.refused = False
        self._bound = bound_bytes - bound_bytes % PAGE_BYTES
        self._capacity = 0
        self._spare = spare
        self._map: Mapping | None = None

    def allocate(self, minimum: int, maximum: int) -> bool:
        """Map the memory; False (and `refused`) if its initial size is above the bound or the process's own limit."""
        if self._map is not None or minimum > self._bound:
            self.refused = True
            return False
        self._capacity = max(min(self._bound, maximum), PAGE_BYTES)
        spare, self._spare = self._spare, None
        if spare is not None and spare.capacity == self._capacity:
            self._map = spare
        else:
            if spare is not None:
                spare.close()
            try:
                self._map = Mapping(self._capacity)
            except (OSError, MemoryError):
                self.refused = True
                return False
        self.size = minimum
        return True

    def grow(self, size: int) -> bool:
        """Let the memory stand at `size` bytes; False (and `refused`) above the bound."""
        if size > self._capacity:
            self.refused = True
            return False
        self.size = size
        return True

    def read(self, offset: int, length: int) -> bytes | None:
        """Return `length` bytes at `offset`, or None if they are not all inside."""
        if self._map is None or offset + length > self.size:
            return None
        return self._map.pages[offset : offset + length]

    def write(self, offset: int, data: bytes | memoryview) -> bool:
        """Write `data` at `offset`; False, and nothing written, if it does not fit inside."""
        if self._map is None or offset + len(data) > self.size:
            return False
        self._map.pages[offset : offset + len(data)] = data
        return True

    def address(self) -> tuple[int, int, int]:
        """Return base address, size and capacity in bytes."""
        return self._map.base if self._map is not None else 0, self.size, self._capacity

    def wipe(self) -> "Mapping | None":
        """Overwrite all that the guest wrote, and give its pages back; return the mapping. The store must be gone."""
        found, self._map = self._map or self._spare, None
        self._spare = None
        if found is not None:
            found.wipe(self.size)
        return found


class Mapping:
    """Anonymous private memory, zeroed by the kernel."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.pages = mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        anchor = ctypes.c_char.from_buffer(self.pages)
        self.base = ctypes.addressof(anchor)  # mmap objects never move; `anchor` goes so that close() may succeed

    def wipe(self, size: int) -> None:
        """Overwrite the pages that are there, of the first `size` bytes, then give all pages back to the kernel."""
        if size:
            count = -(-size // mmap.PAGESIZE)
            there = ctypes.create_string_buffer(count)
            if _mincore(self.base, size, there) != 0:
                ctypes.memset(self.base, 0, size)
            else:
                for at, end in _runs(there.raw[:count]):
                    ctypes.memset(self.base + at * mmap.PAGESIZE, 0, (end - at) * mmap.PAGESIZE)
        self.pages.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap."""
        self.pages.close()


def _runs(there: bytes) -> Iterator[tuple[int, int]]:
    """Yield the runs (first, end) of pages that are in memory: one that never was holds nothing."""
    for found in _THERE.finditer(there):
        yield found.span()


class MemoryHost:
    """Gives the engine its memories through `wasmtime_config_host_memory_creator_set` (C API)."""

    def __init__(self) -> None:
        self._current: LinearMemory | None = None
        self._spare: Mapping | None = None
        # Kept alive here for as long as the engine may call them.
        self._get = _bindings.wasmtime_memory_get_callback_t(self._on_get)
        self._grow = _bindings.wasmtime_memory_grow_callback_t(self._on_grow)
        self._new = _bindings.wasmtime_new_memory_callback_t(self._on_new)
        self._none = _Finalizer()  # a null pointer: nothing to finalise

    def install(self, config: wasmtime.Config) -> None:
        """Make engines of this configuration ask us for linear memory. This object must outlive them."""
        creator = _bindings.wasmtime_memory_creator_t(None, self._new, self._none)
        _bindings.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(creator))

    @contextmanager
    def bounded(self, bound_bytes: int) -> Iterator[LinearMemory]:
        """Hold the memory of one execution; it is wiped at the end. Stores must be dropped before that."""
        memory = self._current = LinearMemory(bound_bytes, self._spare)
        try:
            yield memory
        finally:
            self._current = None
            self._spare = memory.wipe()

    def _on_new(
        self, _env: object, _type: object, minimum: int, maximum: int, _reserved: int, _guard: int, out: Any
    ) -> int:
        memory = self._current
        if memory is None or not memory.allocate(minimum, maximum):
            return _refusal()
        slot = out[0]
        slot.env, slot.get_memory, slot.grow_memory, slot.finalizer = None, self._get, self._grow, self._none
        return 0

    def _on_get(self, _env: object, size: Any, maximum: Any) -> int:
        memory = self._current
        if memory is None:
            return 0
        base, size[0], maximum[0] = memory.address()
        return base

    def _on_grow(self, _env: object, size: int) -> int:
        memory = self._current
        return 0 if memory is not None and memory.grow(size) else _refusal()


def _refusal() -> int:
    """Return a new engine error, which the caller then owns."""
    error = _ffi.wasmtime_error_new(b"over the memory bound")
    return ctypes.cast(error, ctypes.c_void_p).value or 1
