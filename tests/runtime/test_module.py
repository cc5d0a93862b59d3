"""A module is refused before registration for anything that the keep would not run; nothing of it runs."""

from hashlib import sha256
from pathlib import Path

import pytest

from domain.errors import MalformedError
from infrastructure.runtime.module import module_bytes, validate_module
from tests.runtime.scenario import clause, hostile

CLAUSES = ("flood", "drought", "elnino", "inflation", "health_outbreak")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bad_import", r"imports wasi_snapshot_preview1\.clock_time_get; only enclave\.input_size"),
        ("unknown_import", r"imports enclave\.random"),
        ("import_type", r"imports enclave\.input_size with another type"),
        ("imported_memory", r"imports enclave\.memory"),
        ("extra_export", "exports secret"),
        ("no_memory", "must export its memory"),
        ("no_run", r"must export a function run\(\) -> i32"),
        ("run_type", r"must export a function run\(\) -> i32"),
    ],
)
def test_other_imports_and_exports_are_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(MalformedError, match=text):
        validate_module(hostile(name))


def test_a_start_function_does_not_run_at_registration() -> None:
    assert validate_module(hostile("start_function")) == sha256(hostile("start_function")).hexdigest()


def test_every_clause_of_the_demo_is_accepted_by_its_digest() -> None:
    for name in CLAUSES:
        assert validate_module(clause(name)) == sha256(clause(name)).hexdigest()


def test_a_module_over_its_size_is_refused_before_anything_reads_it() -> None:
    with pytest.raises(MalformedError, match="at most 1048576"):
        validate_module(b"\0asm" + bytes(1_048_576))


def test_a_module_that_does_not_compile_is_refused_with_a_reason() -> None:
    with pytest.raises(MalformedError, match="doesn't compile: "):
        validate_module(clause("flood")[:-1])


def test_a_module_that_does_not_compile_in_time_is_refused() -> None:
    with pytest.raises(MalformedError, match="within 1 ms"):
        validate_module(clause("flood"), within_ms=1)


def test_a_small_module_that_takes_gigabytes_to_compile_is_refused(tmp_path: Path) -> None:
    nested = "loop " * 30_000 + "end " * 30_000
    path = tmp_path / "nested.wat"
    path.write_text(f'(module (memory (export "memory") 1) (func (export "run") (result i32) {nested} i32.const 0))')
    with pytest.raises(MalformedError, match="limits of memory and CPU time"):
        validate_module(module_bytes(path), within_ms=60_000)


def test_a_module_needs_a_known_suffix_and_valid_text(tmp_path: Path) -> None:
    for name, content, text in (
        ("clause.txt", b"(module)", "neither"),
        ("clause.wat", b"(module", "not valid WebAssembly text"),
        ("clause.wat", b"\xff", "not UTF-8"),
        ("clause.wat", b" " * 1_048_577, "more than"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MalformedError, match=text):
            module_bytes(tmp_path / name)
    with pytest.raises(MalformedError, match="cannot read"):
        module_bytes(tmp_path / "missing.wasm")


def test_a_binary_module_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "clause.wasm").write_bytes(clause("flood"))
    assert module_bytes(tmp_path / "clause.wasm") == clause("flood")
