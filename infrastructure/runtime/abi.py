"""What a clause and its keep agree on: the mediated imports, the exports, the codes of `run`, and fixed bounds.

A clause is a WebAssembly module that
- may import, from module ``enclave``, only these functions (all parameters and results are i32):
  ``input_size(index)`` bytes of that input, -1 if there is none;
  ``input_read(index, offset, ptr, len)`` copies at most `len` bytes from `offset` to `ptr`; bytes copied, -1 if there
  is no such input; ``output_write(ptr, len)`` appends to the output; `len`, or -1 once the output would pass its bound;
- exports exactly ``memory`` (its one memory, 32 bit, not shared) and ``run() -> i32``;
- leaves a UTF-8 JSON object in the output and returns 0 PASS, 1 FAIL, 2 TRIGGER or 3 ESCALATE; -1 says that the input
  is not what it reads, -2 that its simulation failed; any other code is an invalid output.

A pointer outside its memory in one of these calls is a trap, as it is in any other memory access.
"""

from typing import Final, Literal

Outcome = Literal["PASS", "FAIL", "TRIGGER", "ESCALATE"]
Fault = Literal["input_error", "simulation_failure", "trap", "fuel", "memory", "deadline", "output_invalid"]

PROTOCOL: Final = "enclave-ledger keep v1"
"""Version of this contract and of what an enclave does around it; part of the runtime measurement."""

IMPORT_MODULE: Final = "enclave"
IMPORTS: Final = {"input_size": 1, "input_read": 4, "output_write": 2}
"""Mediated imports and how many i32 parameters each takes; each returns one i32."""

MEMORY_EXPORT: Final = "memory"
RUN_EXPORT: Final = "run"

OUTCOMES: Final[dict[int, Outcome]] = {0: "PASS", 1: "FAIL", 2: "TRIGGER", 3: "ESCALATE"}
REFUSALS: Final[dict[int, Fault]] = {-1: "input_error", -2: "simulation_failure"}

MAX_MODULE_BYTES: Final = 1_048_576
MAX_INPUT_BYTES: Final = 1_048_576
MAX_INPUTS: Final = 8
MAX_OUTPUT_BYTES: Final = 32_768
MAX_CALLS: Final = 262_144
"""Calls of imports in one run: what they cost the host is no fuel. One more is a trap."""
PAGE_BYTES: Final = 65_536
