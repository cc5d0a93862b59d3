"""merkletools agrees with what verification says, and is heard where it does not."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import UnavailableError
from infrastructure.tlog import second_opinion as module
from infrastructure.tlog.second_opinion import with_second_opinion
from infrastructure.tlog.verdict import Verification
from infrastructure.tlog.verify import verify_directory
from tests.tlog.foreign import ForeignLog

Bundles = Callable[[int], Path]
SIZES = [0, 1, 2, 3, 7, 64, 65, 255, 256, 257, 600]


@pytest.fixture(params=[64, 1 << 18], ids=["in blocks", "whole"])
def _block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", request.param)


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("size", SIZES)
def test_it_finds_the_same_root_and_paths(original: Bundles, size: int) -> None:
    verdict = verify_directory(original(size))
    told: list[int] = []
    found = with_second_opinion(original(size), verdict, told.append)
    assert found == replace(verdict, checked=found.checked)
    assert found.checked[:-1] == verdict.checked
    assert f"the same {min(size, 20)} paths" in found.checked[-1]
    assert told[-1:] == ([size] if size else [])


@pytest.mark.parametrize("entries", ["entries", "data"])
def test_it_hears_logs_of_others(tmp_path: Path, entries: str) -> None:
    log = ForeignLog(tmp_path).write(600, entries=entries)
    verdict = verify_directory(tmp_path, log_keys=[log.vkey])
    assert verdict.ok
    assert with_second_opinion(tmp_path, verdict).checked[-1].startswith("merkletools")


@pytest.mark.parametrize(("path", "says"), [("tile/entries/001", "finds the root"), ("tile/0/000", "entry 0")])
def test_where_it_disagrees_the_log_is_not_verified(bundle: Bundles, path: str, says: str) -> None:
    """Whatever verification said before."""
    copy = bundle(600)
    verdict = verify_directory(copy)
    data = bytearray((copy / path).read_bytes())
    data[5] ^= 1
    (copy / path).write_bytes(data)
    found = with_second_opinion(copy, verdict)
    assert (found.ok, found.trust, found.checked) == (False, "not verified", ())
    assert (found.first_error or "").startswith("second opinion: ")
    assert says in (found.first_error or "")


def test_what_was_refused_already_is_not_looked_at(tmp_path: Path) -> None:
    refused = Verification(ok=False, trust="not verified", first_error="this")
    assert with_second_opinion(tmp_path, refused) is refused


def test_without_merkletools_it_is_said_how_to_get_it(original: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "merkletools", None)
    with pytest.raises(UnavailableError, match="pip install"):
        with_second_opinion(original(1), verify_directory(original(1)))
