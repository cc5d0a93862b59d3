"""Every run ends in one outcome or one fault of its kind, within its bounds, the same each time."""

import json
import threading
import time
from mmap import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import Bounds
from domain.errors import MalformedError
from infrastructure.demo import observations
from infrastructure.runtime.deadline import Deadline
from infrastructure.runtime.engine import ClauseEngine
from infrastructure.runtime.linear_memory import LinearMemory
from tests.runtime.scenario import BOUNDS, clause, hostile

SMALL = Bounds(memory_bytes=262_144, fuel=1_000_000, wall_ms=10_000)
NILE = observations.text(observations.load("nile").rows)


@pytest.mark.parametrize(
    ("name", "fault", "detail"),
    [
        ("trap", "trap", "unreachable"),
        ("out_of_bounds", "trap", "memory out of bounds"),
        ("division_by_zero", "trap", "integer division by zero"),
        ("recursion", "trap", "stack overflow"),
        ("huge_table", "trap", "instantiation failed"),
        ("infinite_loop", "fuel", "the fuel is used up"),
        ("start_function", "fuel", "the fuel is used up"),
        ("memory_hog", "memory", "unreachable, after the memory bound was reached"),
        ("memory_leap", "memory", "unreachable, after the memory bound was reached"),
        ("memory_initial", "memory", "instantiation failed, after the memory bound was reached"),
        ("memory_own_maximum", "trap", "unreachable"),
        ("output_none", "output_invalid", "the output is not UTF-8 JSON"),
        ("output_text", "output_invalid", "the output is not a JSON object"),
        ("output_not_utf8", "output_invalid", "the output is not UTF-8 JSON"),
        ("output_flood", "output_invalid", "the output passed its bound"),
        ("output_outside", "trap", "output_write: the bytes are outside the memory"),
        ("call_flood", "trap", "more calls of imports than a run may make"),
        ("input_outside", "trap", "input_read: the buffer is outside the memory"),
        ("outcome_unknown", "output_invalid", "the clause returned 4, which is no outcome"),
        ("simulation_failure", "simulation_failure", "the clause returned -2"),
    ],
)
def test_a_hostile_module_ends_in_a_fault_of_its_kind_and_gives_nothing(
    engine: ClauseEngine, name: str, fault: str, detail: str
) -> None:
    result = engine.run(hostile(name), [b"x" * 200], SMALL)
    assert (result.outcome, result.fault, result.detail, result.output) == (None, fault, detail, b"")
    assert result.fuel_used <= SMALL.fuel
    assert result.peak_memory_bytes <= SMALL.memory_bytes


def test_a_loop_is_stopped_at_its_deadline_when_its_fuel_would_last(engine: ClauseEngine) -> None:
    began = time.monotonic()
    result = engine.run(hostile("infinite_loop"), [], Bounds(memory_bytes=65_536, fuel=10**12, wall_ms=60))
    assert result.fault == "deadline"
    assert 0.06 <= time.monotonic() - began < 5


def test_a_deadline_of_one_run_does_not_reach_into_the_next(engine: ClauseEngine) -> None:
    parameters = observations.parameters(1000)
    for _ in range(3):
        assert engine.run(hostile("infinite_loop"), [], Bounds(memory_bytes=65_536, fuel=10**12, wall_ms=5)).fault
        assert engine.run(clause("flood"), [NILE, parameters], BOUNDS).fault is None


def test_an_armed_deadline_fires_once_and_a_disarmed_one_never() -> None:
    fired = threading.Event()
    count = []

    def fire() -> None:
        count.append(1)
        fired.set()

    deadline = Deadline(fire)
    with deadline.armed(10_000):
        pass
    with deadline.armed(1):
        assert fired.wait(10)
        time.sleep(0.02)
    deadline.close()
    assert count == [1]


def test_memory_that_is_refused_is_no_fault_for_a_clause_that_copes(engine: ClauseEngine) -> None:
    result = engine.run(hostile("memory_coping"), [], SMALL)
    assert (result.outcome, result.output, result.peak_memory_bytes) == ("PASS", b'{"coped":true}', 65_536)


def test_memory_grows_to_its_bound_and_not_a_page_further(engine: ClauseEngine) -> None:
    for pages in (1, 2, 7):
        bounds = SMALL.model_copy(update={"memory_bytes": pages * 65_536 + 65_535})
        assert engine.run(hostile("memory_hog"), [], bounds).peak_memory_bytes == pages * 65_536


def test_nothing_of_an_earlier_run_is_found_by_the_next(engine: ClauseEngine) -> None:
    bounds = Bounds(memory_bytes=1_048_576, fuel=50_000_000, wall_ms=10_000)
    for _ in range(3):
        assert engine.run(hostile("leftover"), [b"secret! " * 128], bounds).outcome == "PASS"


@given(st.sets(st.integers(0, 3 * 65_536 - 1), min_size=1, max_size=40))
def test_linear_memory_is_overwritten_before_it_is_given_back(written: set[int]) -> None:
    memory = LinearMemory(4 * 65_536)
    assert memory.allocate(65_536, 2**32)
    assert memory.grow(3 * 65_536)
    for at in written:
        assert memory.write(at, b"\xa5")
    held = memory._map
    assert held is not None
    seen: list[bytes] = []
    held.pages = _Watched(held.pages, seen)  # type: ignore[assignment] # stands in for the mapping
    spare = memory.wipe()
    assert spare is held
    assert seen == [bytes(4 * 65_536)]
    assert memory.read(0, 6) is None
    again = LinearMemory(4 * 65_536, spare)
    assert again.allocate(4 * 65_536, 2**32)
    assert again.address()[0] == held.base
    assert again.read(0, 4 * 65_536) == bytes(4 * 65_536)
    held.close()


class _Watched:
    """Sees what is there when the pages are given back."""

    def __init__(self, pages: mmap, seen: list[bytes]) -> None:
        self._pages, self._seen = pages, seen

    def madvise(self, option: int) -> None:
        self._seen.append(self._pages[:])
        self._pages.madvise(option)

    def __getitem__(self, part: slice) -> bytes:
        return self._pages[part]

    def close(self) -> None:
        self._pages.close()


def test_a_mapping_of_another_size_is_not_used_again() -> None:
    memory = LinearMemory(65_536)
    assert memory.allocate(65_536, 2**32)
    spare = memory.wipe()
    assert spare is not None
    other = LinearMemory(2 * 65_536, spare)
    assert other.allocate(65_536, 2**32)
    assert other.address()[2] == 2 * 65_536
    assert spare.pages.closed
    found = other.wipe()
    assert found is not None
    found.close()


def test_fuel_output_and_memory_are_the_same_on_every_run_and_engine(engine: ClauseEngine) -> None:
    other = ClauseEngine()
    try:
        inputs = [NILE, observations.parameters(1000)]
        first = engine.run(clause("flood"), inputs, BOUNDS)
        assert first == engine.run(clause("flood"), inputs, BOUNDS) == other.run(clause("flood"), inputs, BOUNDS)
        assert json.loads(first.output)["rows"] == 100
    finally:
        other.close()


def test_a_clause_runs_with_the_fuel_that_it_uses_and_faults_with_less(engine: ClauseEngine) -> None:
    inputs = [NILE, observations.parameters(1000)]
    used = engine.run(clause("flood"), inputs, BOUNDS).fuel_used
    # The engine looks at its fuel where functions and loops begin: a run may end a few units over.
    short = engine.run(clause("flood"), inputs, BOUNDS.model_copy(update={"fuel": used - 100}))
    assert engine.run(clause("flood"), inputs, BOUNDS.model_copy(update={"fuel": used})).fuel_used == used
    assert (short.fault, short.fuel_used) == ("fuel", used - 100)


@pytest.mark.parametrize("wasm", [b"", b"\0asm", b"\0asm\x01\0\0\0\xff", b"(module)", b"\0asm" + bytes(1_048_576)])
def test_what_is_no_module_is_refused_by_name(engine: ClauseEngine, wasm: bytes) -> None:
    with pytest.raises(MalformedError):
        engine.run(wasm, [], BOUNDS)


def test_compiled_modules_are_kept_within_bounds() -> None:
    engine = ClauseEngine()
    try:
        plain = hostile("trap")
        for number in range(70):
            # A custom section with another content makes another module.
            name = f"n{number:03d}".encode()
            engine.compile(plain + bytes([0, 1 + len(name), len(name)]) + name)
        assert len(engine._compiled) == 64
    finally:
        engine.close()


def test_the_common_part_of_every_clause_is_the_same_text() -> None:
    folder = Path(__file__).parents[2] / "infrastructure" / "demo" / "clauses"
    common = {path.name: path.read_text().partition(";; ==== reading and writing")[2] for path in folder.glob("*.wat")}
    assert len(common) >= 5
    assert len(set(common.values())) == 1
