"""The limited process of one tenant's enclaves: ``python -m infrastructure.runtime.worker``, frames on its two pipes.

Invariants:
- Its first request names its one log; it never sees anything of another.
- It is limited before it sees any content; a start that can't be limited ends it.
- It ends when its parent closes the pipe or ends: a thread of its own waits for that, so a running clause doesn't
  outlive it. (Linux's parent-death signal isn't used: it fires when the starting *thread* ends.)
- A request that is refused changes nothing. Anything unforeseen ends the process; nothing is written anywhere else.
"""

import os
import queue
import sys
import threading
from typing import Final, NoReturn

from domain.errors import ConflictError, RefusedError, UnknownError
from infrastructure.credentials.data_integrity import add_proof
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import ed25519, hpke
from infrastructure.runtime.confinement import confine, shut_off
from infrastructure.runtime.enclave import Enclaves
from infrastructure.runtime.engine import ClauseEngine
from infrastructure.runtime.frames import read_frame, write_frame
from infrastructure.runtime.measurement import engine_identity, runtime_measurement
from infrastructure.runtime.messages import (
    Answer,
    Begin,
    Prepare,
    Ready,
    Refused,
    Request,
    Reset,
    Run,
    WasReset,
    decode_request,
    encode,
)
from infrastructure.runtime.process import leave_directory

_OWN_BYTES: Final = 671_088_640
"""Writable memory beside a clause's own; more than `validate` has, so what compiled there compiles here."""


def main() -> NoReturn:
    """Serve until the parent is gone."""
    leave_directory()
    identity, measurement = engine_identity(), runtime_measurement()
    _rehearse()
    shut = shut_off()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    engine = ClauseEngine()
    threading.Thread(target=_listen, args=(requests,), name="requests", daemon=True).start()
    begin = decode_request(requests.get())
    if not isinstance(begin, Begin):
        raise SystemExit(1)
    confined = confine(data_bytes=_OWN_BYTES + begin.memory_limit_bytes)
    ready = Ready(engine=identity, measurement=measurement, confined=(*shut, *confined))
    enclaves = Enclaves(
        begin.origin, memory_limit_bytes=begin.memory_limit_bytes, engine=engine, entropy=SystemEntropy()
    )
    write_frame(sys.stdout.buffer, encode(ready))
    while True:
        write_frame(sys.stdout.buffer, encode(_answer(enclaves, decode_request(requests.get()))))


def _rehearse() -> None:
    """Use every library once that reads files of its own when it is first used: later it can't."""
    entropy = SystemEntropy()
    key = hpke.generate(entropy)
    key.open(hpke.seal(key.public, b"rehearsed", b""), b"")
    signing = ed25519.private_key(entropy.bytes(ed25519.KEY_BYTES))
    add_proof({"rehearsed": True}, signing, created_ms=0, domain="", challenge="")


def _listen(requests: queue.SimpleQueue[bytes]) -> NoReturn:
    while (body := read_frame(sys.stdin.buffer)) is not None:
        requests.put(body)
    os._exit(0)  # the parent is gone; nobody waits for what may be running


def _answer(enclaves: Enclaves, request: Request) -> Answer:
    try:
        return _serve(enclaves, request)
    except ConflictError as error:
        return Refused(reason="conflict", text=str(error))
    except UnknownError as error:
        return Refused(reason="unknown", text=str(error))
    except RefusedError as error:
        return Refused(reason="malformed", text=str(error))


def _serve(enclaves: Enclaves, request: Request) -> Answer:
    if isinstance(request, Prepare):
        return enclaves.prepare(request)
    if isinstance(request, Run):
        return enclaves.run(request)
    if isinstance(request, Reset):
        enclaves.reset(request.execution_id)
        return WasReset(execution_id=request.execution_id)
    raise ConflictError("this worker has begun already")


if __name__ == "__main__":
    main()
