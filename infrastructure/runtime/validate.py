"""The limited process behind `module.validate_module`: one module in, its digest or a refusal out."""

import sys

from domain.canonical import canonical
from domain.errors import MalformedError
from infrastructure.runtime.confinement import confine, shut_off
from infrastructure.runtime.engine import ClauseEngine
from infrastructure.runtime.frames import read_frame, write_frame
from infrastructure.runtime.process import leave_directory

_DATA_BYTES = 536_870_912
_CPU_SECONDS = 8


def main() -> None:
    """Answer one frame."""
    leave_directory()
    shut_off()
    engine = ClauseEngine()
    confine(data_bytes=_DATA_BYTES, cpu_seconds=_CPU_SECONDS)
    wasm = read_frame(sys.stdin.buffer)
    if wasm is None:
        return
    try:
        answer = {"digest": engine.compile(wasm).hex()}
    except MalformedError as error:
        answer = {"refused": str(error)}
    except MemoryError:
        answer = {"refused": "the module doesn't compile within its memory"}
    write_frame(sys.stdout.buffer, canonical(answer))


if __name__ == "__main__":
    main()
