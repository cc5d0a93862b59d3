"""An export that was interrupted goes on where it was, and believes nothing that it finds."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from domain.errors import ConflictError, UnavailableError, VerificationError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.tlog import building, bundle
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.layout import Listed
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verify import verify_directory
from tests.tlog.conftest import AT, ORIGIN, entry

SIZE = 1_100


class Source:
    """Entries that break off at one of them; it remembers from where it was asked."""

    def __init__(self, breaks_at: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.breaks_at = breaks_at
        self.error = error
        self.asked_from: list[int] = []

    def __call__(self, first: int) -> Iterator[bytes]:
        self.asked_from.append(first)
        return self._from(first)

    def _from(self, first: int) -> Iterator[bytes]:
        for index in range(first, SIZE):
            if index == self.breaks_at:
                raise self.error
            yield entry(index)


def export(signer: LogSigner, out: Path, source: Source) -> list[int]:
    """Write the bundle; return the progress that was told."""
    told: list[int] = []
    root = Frontier.empty().extend(leaf_hash(entry(index)) for index in range(SIZE)).root()
    write_bundle(source, size=SIZE, signer=signer, at_unix_s=AT, out=out, root=root, progress=told.append)
    return told


def interrupted(signer: LogSigner, out: Path, error: type[BaseException] = KeyboardInterrupt) -> Path:
    """Interrupt an export after 800 entries; return what it left."""
    with pytest.raises(error):
        export(signer, out, Source(800, error))
    partial = out.parent / f".{out.name}.partial"
    assert partial.is_dir()
    assert not out.exists()
    return partial


@pytest.mark.parametrize("error", [KeyboardInterrupt, UnavailableError])
def test_it_goes_on_where_it_was_and_leaves_nothing_else(
    signer: LogSigner, tmp_path: Path, error: type[BaseException]
) -> None:
    partial = interrupted(signer, tmp_path / "b", error)
    assert partial.stat().st_mode & 0o777 == 0o700
    source = Source()
    told = export(signer, tmp_path / "b", source)
    assert source.asked_from == [768]
    assert told == [256, 512, 768, 1024, 1100]
    assert verify_directory(tmp_path / "b").ok
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("breaks", ["later", "checkpoint", "moving"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, UnavailableError, OSError])
def test_an_export_that_breaks_off_leaves_no_secret(
    signer: LogSigner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: str, error: type[BaseException]
) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise error

    def further() -> Iterator[tuple[str, bytes]]:
        yield "keys.json", b"the streams' keys"
        if breaks == "later":
            broken()
        yield "other.json", b"{}"

    def attempt() -> None:
        write_bundle([b"x"], size=1, signer=signer, at_unix_s=AT, out=out, extra=further(), private=["keys.json"])

    out = tmp_path / "b"
    with monkeypatch.context() as patched:
        if breaks == "checkpoint":
            patched.setattr(LogSigner, "sign_checkpoint", broken)
        elif breaks == "moving":
            patched.setattr(Path, "rename", broken)
        with pytest.raises(UnavailableError if error is OSError else error):
            attempt()
    assert (tmp_path / ".b.partial").is_dir()
    assert not list(tmp_path.rglob("keys.json"))
    breaks = ""
    attempt()
    assert (out / "keys.json").stat().st_mode & 0o777 == 0o600
    assert verify_directory(out).ok


def test_secrets_are_written_last(signer: LogSigner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = building.put

    def noted(directory: Path, path: str, *arguments: Any, **named: Any) -> Listed:
        written.append(path)
        return put(directory, path, *arguments, **named)

    monkeypatch.setattr(bundle, "put", noted)
    extra = [("keys.json", b"keys"), ("other.json", b"{}")]
    write_bundle([b"x"], size=1, signer=signer, at_unix_s=AT, out=tmp_path / "b", extra=extra, private=["keys.json"])
    assert written[-1] == "keys.json"
    assert verify_directory(tmp_path / "b").ok


def lay(*paths: Path) -> None:
    """Make files, with their directories."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


SPOILT: dict[str, tuple[Callable[[Path], object], int]] = {
    "a leaf tile": (lambda at: (at / "tile/0/001").write_bytes(bytes(8192)), 256),
    "an entry bundle": (lambda at: (at / "tile/entries/001").write_bytes(b"\0\1x" * 256), 256),
    "a short entry bundle": (lambda at: os.truncate(at / "tile/entries/000", 100), 0),
    "a missing leaf tile": (lambda at: (at / "tile/0/002").unlink(), 512),
    "a stale partial": (lambda at: lay(at / "tile/0/003.p/9"), 768),
    "a tile of no log of this size": (lambda at: lay(at / "tile/0/009"), 768),
    "a false higher tile": (lambda at: lay(at / "tile/1/000"), 768),
    "other files": (lambda at: lay(at / "tile/x", at / "keys.json", at / "d/e"), 768),
    "a symlink": (lambda at: (at / "checkpoint").symlink_to("/etc/passwd"), 768),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_was_left_is_checked_and_what_does_not_hold_is_written_again(
    signer: LogSigner, tmp_path: Path, spoilt: str
) -> None:
    partial = interrupted(signer, tmp_path / "b")
    spoil, first = SPOILT[spoilt]
    spoil(partial / "bundle")
    source = Source()
    export(signer, tmp_path / "b", source)
    assert source.asked_from == [first]
    assert verify_directory(tmp_path / "b").ok


def test_whole_tiles_of_another_log_are_found_and_the_next_attempt_begins_afresh(
    signer: LogSigner, tmp_path: Path
) -> None:
    partial = interrupted(signer, tmp_path / "b")
    (tmp_path / "other").mkdir()
    write_bundle([b"x"] * 256, size=256, signer=signer, at_unix_s=AT, out=tmp_path / "other")
    for path in ("tile/entries/001", "tile/0/001"):
        (partial / "bundle" / path).write_bytes((tmp_path / "other" / path.replace("001", "000")).read_bytes())
    with pytest.raises(VerificationError, match="nothing was signed"):
        export(signer, tmp_path / "b", Source())
    assert not partial.exists()
    source = Source()
    export(signer, tmp_path / "b", source)
    assert source.asked_from == [0]


def test_two_exports_to_one_place_do_not_meet(signer: LogSigner, tmp_path: Path) -> None:
    def entries(first: int) -> Iterator[bytes]:
        with pytest.raises(ConflictError, match="just now"):
            write_bundle([b"x"], size=1, signer=signer, at_unix_s=AT, out=tmp_path / "b")
        return map(entry, range(first, 1))

    write_bundle(entries, size=1, signer=signer, at_unix_s=AT, out=tmp_path / "b")
    assert verify_directory(tmp_path / "b").ok


def test_a_partial_directory_that_others_can_write_is_not_used(signer: LogSigner, tmp_path: Path) -> None:
    partial = tmp_path / ".b.partial"
    partial.mkdir()
    partial.chmod(0o777)
    with pytest.raises(ConflictError, match="remove it first"):
        export(signer, tmp_path / "b", Source())
    partial.rmdir()
    partial.symlink_to(tmp_path)
    with pytest.raises(ConflictError, match="remove it first"):
        export(signer, tmp_path / "b", Source())


KILLED = """
import os, signal, sys
from pathlib import Path
from infrastructure.tlog import building, bundle
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.layout import Listed
from infrastructure.tlog.signing import LogSigner
from tests.tlog.conftest import AT, ORIGIN, entry
def entries(first):
    for index in range(first, 1100):
        if index == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield entry(index)
signer = LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32)
write_bundle(entries, size=1100, signer=signer, at_unix_s=AT, out=Path(sys.argv[1]))
"""


def test_a_process_that_is_killed_leaves_what_the_next_one_takes_up(signer: LogSigner, tmp_path: Path) -> None:
    assert signer.name == ORIGIN
    for at in (10, 300, 700, 1050):
        ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "b", str(at)], check=False)
        assert ended.returncode == -signal.SIGKILL
    source = Source()
    export(signer, tmp_path / "b", source)
    assert source.asked_from == [1024]
    assert verify_directory(tmp_path / "b", log_keys=[str(key) for key in signer.verifier_keys()]).trust == "verified"


def test_further_files_stream(signer: LogSigner, tmp_path: Path) -> None:
    def extra() -> Iterator[tuple[str, bytes | Iterator[bytes]]]:
        for number in range(300):
            yield f"openings/{number}.proof", b"%d" % number
        yield "large", (b"x" * 1000 for _ in range(50))

    write_bundle([b"one"], size=1, signer=signer, at_unix_s=AT, out=tmp_path / "b", extra=extra(), private=["large"])
    assert verify_directory(tmp_path / "b").ok
    assert (tmp_path / "b/large").read_bytes() == b"x" * 50_000
    assert (tmp_path / "b/large").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b/openings/299.proof").read_bytes() == b"299"
