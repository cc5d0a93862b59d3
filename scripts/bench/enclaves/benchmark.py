"""The benchmark `enclaves`: what the keep makes of one core, and how many enclaves live at once.

Invariants:
- Rates are per core: executions over the processor's time of the one process that makes them.
- `instance` is a fresh instance with a fresh memory, one call, and the memory overwritten, of a module that was
  compiled before. `full` is an enclave as the worker makes it: keys, binding, inputs opened and held against the
  submission, the demo's flood clause over a hundred years of the Nile, output sealed, CAC signed, everything dropped;
  not the sealing of inputs, which is the releaser's work. A run without an outcome is no result.
- `alive` are enclaves with their keys, bound and waiting for inputs, in real worker processes, one for each tenant;
  what each takes is how much the workers' resident memory grew.
"""

import os
import time
from itertools import count
from pathlib import Path

import wasmtime

from domain.bounds import Bounds
from domain.errors import UnavailableError, VerificationError
from infrastructure.entropy import SystemEntropy
from infrastructure.runtime.enclave import Enclaves
from infrastructure.runtime.engine import ClauseEngine
from infrastructure.runtime.keep import DEFAULT_MEMORY_LIMIT_BYTES
from infrastructure.runtime.messages import Completed
from infrastructure.runtime.pool import KeepPool
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.enclaves.executions import HOST, Execution, flood, inputs
from scripts.bench.machine import load_average
from scripts.bench.metrics import Metric, Result
from scripts.bench.rounds import clean_heap, repeat, rounds_of

INSTANCE = Metric("enclaves.instance", "/s", floor="12000")
FULL = Metric("enclaves.full", "/s", floor="1500", aim="3000")
ALIVE = Metric("enclaves.alive", "enclaves", floor="5000")
KIB_EACH = Metric("enclaves.kib_each", "KiB", floor="60", less_is_better=True)

TENANTS = 10
_WAT = '(module (memory (export "memory") 1) (func (export "run") (result i32) (i32.const 1)))'
"""Answers FAIL without an output: an invalid one, but the call is what is measured."""
_SMALL = Bounds(memory_bytes=65_536, fuel=1_000_000, wall_ms=10_000)


def measure(options: Options) -> Measured:
    """Measure everything."""
    load_before = load_average()
    rounds = rounds_of(quick=options.quick)
    calls, executions = (3_000, 300) if options.quick else (20_000, 2_000)
    each = 100 if options.quick else 500
    engine = ClauseEngine()
    try:
        options.say("instances")
        instance = repeat(rounds, lambda: measure_instances(engine, calls))
        options.say("whole executions")
        full = repeat(rounds, lambda: measure_full(engine, executions))
    finally:
        engine.close()
    options.say("enclaves alive at once")
    alive, kib_each = measure_alive(each)
    sizes = {
        "instances": f"{rounds} rounds of {calls}",
        "executions": f"{rounds} rounds of {executions}",
        "alive": f"{TENANTS} tenants' processes of {each}",
    }
    results = (Result(INSTANCE, instance), Result(FULL, full), Result(ALIVE, alive), Result(KIB_EACH, kib_each))
    return Measured(results, {"load_before": load_before}, sizes)


def measure_instances(engine: ClauseEngine, calls: int) -> float:
    """Return fresh instances that were called, per second of processor time.

    Raises:
        VerificationError: when one ended otherwise than it must.
    """
    module = bytes(wasmtime.wat2wasm(_WAT))
    engine.compile(module)
    with clean_heap():
        began_s = time.process_time()
        ended = [engine.run(module, (), _SMALL) for _ in range(calls)]
        took_s = time.process_time() - began_s
    if any(one.fault != "output_invalid" or one.peak_memory_bytes != _SMALL.memory_bytes for one in ended):
        raise VerificationError("an instance was not called, or had no memory")
    return calls / took_s


def measure_full(engine: ClauseEngine, executions: int) -> float:
    """Return whole executions per second of processor time.

    Raises:
        VerificationError: when one had no outcome.
    """
    origin, module, plain = f"{HOST}/t/1", flood(), inputs()
    enclaves = Enclaves(
        origin, memory_limit_bytes=DEFAULT_MEMORY_LIMIT_BYTES, engine=engine, entropy=SystemEntropy()
    )  # fmt: skip
    work = [Execution(origin, module, plain) for _ in range(executions)]
    engine.compile(module)
    took_s = 0.0
    with clean_heap():
        for one in work:
            began_s = time.process_time()
            prepared = enclaves.prepare(one.prepare)
            took_s += time.process_time() - began_s
            request = one.run(prepared)
            began_s = time.process_time()
            ended = enclaves.run(request)
            enclaves.reset(one.execution_id)
            took_s += time.process_time() - began_s
            if not isinstance(ended, Completed):
                raise VerificationError(f"an execution ended in {ended.fault}: {ended.detail}")
    return executions / took_s


def measure_alive(each: int) -> tuple[int, float]:
    """Return how many enclaves lived at once in the workers of `TENANTS` tenants, and KiB of each; one more still runs.

    Raises:
        UnavailableError: where the system doesn't tell how large a process is.
        VerificationError: when the last enclave didn't run.
    """
    module, plain = flood(), inputs()
    origins = [f"{HOST}/t/{number}" for number, _ in zip(count(1), range(TENANTS), strict=False)]
    with KeepPool() as keeps:
        for origin in origins:  # the module's code is the process's, whatever the number of its enclaves
            first = Execution(origin, module, plain)
            keeps.keep(origin).run(first.run(keeps.keep(origin).prepare(first.prepare)))
            keeps.keep(origin).reset(first.execution_id)
        before = sum(_resident_kib(keeps.keep(origin).pid) for origin in origins)
        alive = 0
        for origin in origins:
            for _ in range(each):
                last = Execution(origin, module, plain)
                prepared = keeps.keep(origin).prepare(last.prepare)
                alive += 1
        grown = sum(_resident_kib(keeps.keep(origin).pid) for origin in origins) - before
        if not isinstance(keeps.keep(origins[-1]).run(last.run(prepared)), Completed):
            raise VerificationError("an enclave among many did not run")
    return alive, grown / alive


def _resident_kib(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        raise UnavailableError("this system does not tell how large a process is") from None
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


ENCLAVES = Benchmark("enclaves", (INSTANCE, FULL, ALIVE, KIB_EACH), measure)
"""The benchmark `enclaves`."""
