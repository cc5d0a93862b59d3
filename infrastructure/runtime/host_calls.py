"""The mediated imports of one execution: read its inputs, append to its output. Nothing else leaves or enters.

Invariants:
- A pointer or length outside the guest's memory traps, and copies nothing.
- The output never passes its bound; an attempt is remembered even if the clause ignores the answer.
- Calls are counted; one beyond their bound traps.
"""

from collections.abc import Sequence

from infrastructure.runtime.abi import MAX_CALLS, MAX_OUTPUT_BYTES
from infrastructure.runtime.linear_memory import LinearMemory

_U32 = 0xFFFF_FFFF


class GuestError(Exception):
    """The guest called an import in a way that ends its run. Never leaves the engine."""


class HostCalls:
    """Serves the imports of one run. Arguments are i32, read as unsigned."""

    def __init__(self, inputs: Sequence[bytes | bytearray], memory: LinearMemory) -> None:
        self.output = bytearray()
        self.overflowed = False
        self.count = 0
        self._inputs = inputs
        self._memory = memory

    def counted(self) -> None:
        """Count one call.

        Raises:
            GuestError: when there were too many.
        """
        self.count += 1
        if self.count > MAX_CALLS:
            raise GuestError("more calls of imports than a run may make")

    def input_size(self, index: int) -> int:
        """Return the length of an input in bytes, -1 if there is none."""
        data = self._input(index)
        return -1 if data is None else len(data)

    def input_read(self, index: int, offset: int, pointer: int, length: int) -> int:
        """Copy part of an input to the guest; return the bytes copied, 0 past the end, -1 if there is no such input."""
        data = self._input(index)
        if data is None:
            return -1
        offset, pointer, length = offset & _U32, pointer & _U32, length & _U32
        if pointer + length > self._memory.size:
            raise GuestError("input_read: the buffer is outside the memory")
        part = memoryview(data)[offset : offset + length]
        self._memory.write(pointer, part)
        return len(part)

    def output_write(self, pointer: int, length: int) -> int:
        """Append to the output; return `length`, or -1 and append nothing if the output would pass its bound."""
        pointer, length = pointer & _U32, length & _U32
        if length > MAX_OUTPUT_BYTES - len(self.output):
            self.overflowed = True
            return -1
        data = self._memory.read(pointer, length)
        if data is None:
            raise GuestError("output_write: the bytes are outside the memory")
        self.output += data
        return length

    def _input(self, index: int) -> bytes | bytearray | None:
        return self._inputs[index] if 0 <= index < len(self._inputs) else None
