from pathlib import Path

import pytest

from domain.errors import RefusedError
from infrastructure.demo.folder import MARKER, new_run


def test_each_run_gets_a_directory_of_its_own(tmp_path: Path) -> None:
    assert [new_run(tmp_path / "new").name for _ in range(3)] == ["run-0001", "run-0002", "run-0003"]
    assert (tmp_path / "new" / MARKER).is_file()


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    assert new_run(tmp_path).parent == tmp_path


@pytest.mark.parametrize("foreign", ["notes.txt", "run-0001", "keys"])
def test_a_directory_that_holds_something_else_is_refused_and_left_as_it_was(tmp_path: Path, foreign: str) -> None:
    (tmp_path / foreign).mkdir()
    with pytest.raises(RefusedError, match="choose an empty or new --data-dir"):
        new_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [foreign]


def test_an_earlier_demo_with_something_beside_it_is_refused(tmp_path: Path) -> None:
    new_run(tmp_path)
    (tmp_path / "letter.txt").touch()
    with pytest.raises(RefusedError, match=r"letter\.txt"):
        new_run(tmp_path)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RefusedError, match="is not a directory"):
        new_run(tmp_path / "file")
