"""The file keyring: what survives, what is refused, what is gone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.canonical import canonical
from domain.errors import (
    ConflictError,
    ErasedError,
    LedgerError,
    MalformedError,
    NotAuthorisedError,
    RefusedError,
    UnknownError,
    VerificationError,
)
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.keyring import Keyring, LogKeys, LogKind, create_log_keys
from infrastructure.keys.wrapping import PASSPHRASE_FILE_VARIABLE, PASSPHRASE_VARIABLE, passphrase_from

LOG = UUID("0198c0de-0000-7000-8000-000000000001")
OTHER = UUID("0198c0de-0000-7000-8000-000000000002")
ENTROPY = SystemEntropy()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a data directory" / "keyring"


def opened(directory: Path, passphrase: str | None = None, machine_key: Path | None = None) -> Keyring:
    return Keyring.open(directory, ENTROPY, passphrase=passphrase, machine_key=machine_key)


@pytest.mark.parametrize("kind", list(LogKind))
def test_keys_of_every_kind_survive(directory: Path, kind: LogKind) -> None:
    keys = create_log_keys(LOG, ENTROPY, kind)
    opened(directory).put(keys)
    again = opened(directory).get(LOG)
    assert again == keys
    assert again.ed25519_key().sign(b"x") == keys.ed25519_key().sign(b"x")
    assert again.mldsa44_key().public_key().public_bytes_raw() == keys.mldsa44_key().public_key().public_bytes_raw()
    assert (again.tenant is not None) == (kind is LogKind.TENANT)
    if kind is LogKind.TENANT:
        assert again.release_key().public != again.output_key().public
        assert again.attestation_key().public_key() == keys.attestation_key().public_key()
    else:
        for key in (again.attestation_key, again.release_key, again.output_key):
            with pytest.raises(UnknownError):
                key()


def test_no_key_is_shared_between_two_logs() -> None:
    one, other = (json.loads(create_log_keys(log, ENTROPY, LogKind.TENANT).to_bytes()) for log in (LOG, OTHER))
    secrets = [value for keys in (one, other) for name, value in keys.items() if name.endswith("_seed")]
    secrets += one["data_keys"] + other["data_keys"]
    secrets += [seed for keys in (one, other) for pair in keys["signing"] for seed in pair.values()]
    assert len(secrets) == len(set(secrets)) == 14


def test_files_are_private_and_hold_no_key_in_the_clear(directory: Path) -> None:
    keys = opened(directory).create(LOG, LogKind.TENANT)
    opened(directory).platform_secrets()
    assert directory.stat().st_mode & 0o777 == 0o700
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        data = path.read_bytes()
        assert keys.data_key.secret not in data
        assert keys.data_key.secret.hex().encode() not in data
    assert not list(directory.glob("*.tmp"))


def test_creating_twice_returns_the_same_keys(directory: Path) -> None:
    keyring = opened(directory)
    assert keyring.create(LOG, LogKind.TENANT) == keyring.create(LOG, LogKind.TENANT)
    assert keyring.platform_secrets() == opened(directory).platform_secrets()
    assert keyring.log_ids() == (LOG,)


def test_a_data_key_is_never_lost_or_changed(directory: Path) -> None:
    keyring = opened(directory)
    first = keyring.create(LOG, LogKind.TENANT)
    second = keyring.rotate_data_key(LOG)
    assert [key.generation for key in second.data_keys] == [0, 1]
    assert second.data_keys[0] == first.data_key
    assert second.data_key != first.data_key
    keyring.put(second)
    for wrong in (first, create_log_keys(LOG, ENTROPY, LogKind.TENANT), create_log_keys(LOG, ENTROPY, LogKind.SCOPE)):
        with pytest.raises(ConflictError):
            keyring.put(wrong)
    assert keyring.get(LOG) == second


def test_destroying_takes_what_opens_content_and_leaves_what_signs_for_the_log(directory: Path) -> None:
    keyring = opened(directory)
    before = keyring.create(LOG, LogKind.TENANT)
    other = keyring.create(OTHER, LogKind.TENANT)
    keyring.rotate_data_key(LOG)
    left = keyring.destroy(LOG)
    assert left == keyring.get(LOG) == keyring.destroy(LOG)
    assert (left.erased, left.erased_generations, left.data_keys, left.tenant) == (True, 2, (), None)
    assert (left.signing, left.acknowledgement_seed) == (before.signing, before.acknowledgement_seed)
    for act in (left.attestation_key, left.release_key, left.output_key, lambda: left.data_key):
        with pytest.raises(ErasedError):
            act()
    with pytest.raises(ErasedError):
        keyring.rotate_data_key(LOG)
    assert keyring.rotate_signing_keys(LOG).erased
    assert keyring.log_ids() == (LOG, OTHER)
    assert keyring.get(OTHER) == other


def test_what_was_destroyed_is_not_put_back(directory: Path) -> None:
    keyring = opened(directory)
    keys = keyring.create(LOG, LogKind.TENANT)
    left = keyring.destroy(LOG)
    with pytest.raises(ConflictError):
        keyring.put(keys)
    keyring.put(left)
    assert keyring.create(LOG, LogKind.TENANT) == left


def test_keys_of_other_kinds_of_logs_are_never_destroyed_and_missing_ones_are_named(directory: Path) -> None:
    keyring = opened(directory)
    for kind in (LogKind.SCOPE, LogKind.PLATFORM, LogKind.ANCHORS):
        log_id = UUID(int=LOG.int + 16 + len(kind))
        keys = keyring.create(log_id, kind)
        with pytest.raises(RefusedError, match="only a tenant"):
            keyring.destroy(log_id)
        assert keyring.get(log_id) == keys
    with pytest.raises(UnknownError, match="restore"):
        keyring.destroy(LOG)


@pytest.mark.parametrize("act", ["destroy", "rotate_data_key"])
def test_of_a_file_that_is_replaced_the_old_bytes_are_zeroed(directory: Path, act: str) -> None:
    keyring = opened(directory)
    keyring.create(LOG, LogKind.TENANT)
    path = directory / f"{LOG}.keys"
    kept = directory / "another name"
    os.link(path, kept)
    unfinished = directory / f"{LOG}.keys.tmp"
    unfinished.write_bytes(path.read_bytes())
    getattr(keyring, act)(LOG)
    assert kept.read_bytes() == bytes(kept.stat().st_size)
    assert not unfinished.exists()
    assert not (directory / f"{LOG}.keys.next").exists()


class _Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("act", ["destroy", "rotate_data_key"])
def test_a_crash_at_any_write_leaves_keys_that_open_and_repeating_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Every fsync and every rename is a place to die; the last number of the loop survives them all."""
    for number in range(1, 20):
        directory = tmp_path / f"{act}-{number}"
        keys = opened(directory).create(LOG, LogKind.TENANT)
        old = (directory / f"{LOG}.keys").read_bytes()
        calls = iter(range(1, 100))

        def dying(real: Callable[..., object], calls: Iterator[int] = calls, number: int = number) -> Any:
            def call(*arguments: object) -> object:
                if next(calls) == number:
                    raise _Crash
                return real(*arguments)

            return call

        crashed = False
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", dying(os.fsync))
            patch.setattr(Path, "replace", dying(Path.replace))
            try:
                getattr(opened(directory), act)(LOG)
            except _Crash:
                crashed = True
        again = opened(directory)
        assert again.get(LOG) in {"destroy": (keys, keys.without_data_keys())}.get(act, (again.get(LOG),))
        assert again.get(LOG).erased or again.get(LOG).data_keys[0] == keys.data_key
        assert again.destroy(LOG) == keys.without_data_keys() or act != "destroy"
        assert again.get(LOG).erased
        for path in directory.iterdir():
            assert old[-32:] not in path.read_bytes()
        assert not list(directory.glob("*.next"))
        if not crashed:
            assert number > 5
            return
    raise AssertionError("it never came to its end")


def test_the_mark_tells_every_change_and_nothing_else(directory: Path) -> None:
    keyring, elsewhere = opened(directory), opened(directory)
    assert keyring.mark(LOG) is None
    keyring.create(LOG, LogKind.TENANT)
    marks = [keyring.mark(LOG)]
    keyring.get(LOG)
    assert keyring.mark(LOG) == elsewhere.mark(LOG) == marks[0]
    for act in (elsewhere.rotate_data_key, elsewhere.rotate_signing_keys, elsewhere.destroy):
        act(LOG)
        time.sleep(0.002)  # a look counts for a moment
        marks.append(keyring.mark(LOG))
    assert len(set(marks)) == 4
    assert keyring.mark(OTHER) is None


def test_a_passphrase_opens_and_another_does_not(directory: Path) -> None:
    keys = opened(directory, "correct horse").create(LOG, LogKind.TENANT)
    assert opened(directory, "correct horse").get(LOG) == keys
    for wrong in ("battery staple", None):
        with pytest.raises(NotAuthorisedError, match="passphrase"):
            opened(directory, wrong)
    assert not (directory / "machine.key").exists()


def test_a_machine_key_may_live_elsewhere(directory: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "machine.key"
    keys = opened(directory, machine_key=elsewhere).create(LOG, LogKind.TENANT)
    assert not (directory / "machine.key").exists()
    assert opened(directory, machine_key=elsewhere).get(LOG) == keys
    with pytest.raises(UnknownError):
        opened(directory)
    with pytest.raises(NotAuthorisedError):
        opened(directory, "a passphrase")
    elsewhere.write_bytes(bytes(32).hex().encode())
    with pytest.raises(NotAuthorisedError, match="machine key"):
        opened(directory, machine_key=elsewhere)
    elsewhere.write_bytes(b"\xff")
    with pytest.raises(MalformedError):
        opened(directory, machine_key=elsewhere)


def test_damage_is_told_and_no_secret_with_it(directory: Path) -> None:
    keyring = opened(directory)
    keys = keyring.create(LOG, LogKind.TENANT)
    keyring.create(OTHER, LogKind.TENANT)
    path, whole = directory / f"{LOG}.keys", (directory / f"{LOG}.keys").read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    for damaged in (b"", whole[:10], whole[:-1], bytes(changed), (directory / f"{OTHER}.keys").read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(VerificationError, match="restore") as error:
            keyring.get(LOG)
        assert keys.data_key.secret.hex() not in str(error.value)
    path.write_bytes(bytes(2_000_000))
    with pytest.raises(MalformedError):
        keyring.get(LOG)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"check":"zz","format":"x","salt":"","wrapped_by":"machine"}']
)
def test_damaged_settings_are_told(directory: Path, content: bytes) -> None:
    opened(directory)
    (directory / "keyring.json").write_bytes(content)
    with pytest.raises(MalformedError, match=r"keyring\.json"):
        opened(directory)


def test_lost_settings_are_not_made_anew_over_keys_that_are_there(directory: Path) -> None:
    opened(directory, "correct horse").create(LOG, LogKind.TENANT)
    (directory / "keyring.json").unlink()
    with pytest.raises(MalformedError, match="missing"):
        opened(directory, "correct horse")
    assert not (directory / "keyring.json").exists()


def test_settings_of_a_later_format_are_refused(directory: Path) -> None:
    opened(directory)
    settings = directory / "keyring.json"
    settings.write_bytes(settings.read_bytes().replace(b"ledger-keyring/v1", b"ledger-keyring/v2"))
    with pytest.raises(MalformedError, match="format"):
        opened(directory)


def test_what_others_may_read_is_refused_with_the_command_that_mends_it(directory: Path) -> None:
    keyring = opened(directory)
    keyring.create(LOG, LogKind.TENANT)
    path = directory / f"{LOG}.keys"
    path.chmod(0o640)
    with pytest.raises(RefusedError, match="chmod 600"):
        keyring.get(LOG)
    directory.chmod(0o755)
    with pytest.raises(RefusedError, match="chmod 700"):
        opened(directory)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RefusedError):
        opened(tmp_path / "file" / "keyring")


def test_a_write_cut_off_before_its_rename_leaves_the_old_keys(directory: Path) -> None:
    keyring = opened(directory)
    keys = keyring.create(LOG, LogKind.TENANT)
    (directory / f"{LOG}.keys.tmp").write_bytes(b"half")
    assert keyring.get(LOG) == keys
    assert keyring.log_ids() == (LOG,)
    assert keyring.rotate_data_key(LOG).data_keys[0] == keys.data_key


ROTATE = """
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.keyring import Keyring
Keyring.open(Path(sys.argv[1]), SystemEntropy()).rotate_data_key(UUID(sys.argv[2]))
"""


def test_several_processes_lose_no_generation(directory: Path) -> None:
    opened(directory).create(LOG, LogKind.TENANT)
    command = [sys.executable, "-c", ROTATE, str(directory), str(LOG)]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert len(opened(directory).get(LOG).data_keys) == 4


def test_signing_keys_rotate_and_none_is_lost(directory: Path) -> None:
    keyring = opened(directory)
    first = keyring.create(LOG, LogKind.TENANT)
    second = keyring.rotate_signing_keys(LOG)
    assert second.signing[0] == first.signing[0]
    assert len(second.signing) == 2
    assert second.ed25519_key().sign(b"x") != first.ed25519_key().sign(b"x") == second.ed25519_key(0).sign(b"x")
    with pytest.raises(ConflictError):
        keyring.put(first)


def test_keys_of_the_first_release_are_read() -> None:
    keys = create_log_keys(LOG, ENTROPY, LogKind.SCOPE)
    content = json.loads(keys.to_bytes())
    pair = content.pop("signing")[0]
    del content["acknowledgement_seed"]
    content |= {"ed25519_seed": pair["ed25519"], "mldsa44_seed": pair["mldsa44"]}
    old = LogKeys.from_bytes(canonical(content))
    assert (old.signing, old.data_keys) == (keys.signing, keys.data_keys)
    assert old.acknowledgement_seed not in (old.signing[0].ed25519, old.signing[0].mldsa44)
    assert LogKeys.from_bytes(old.to_bytes()) == old


def test_the_anchor_log_has_no_data_key(directory: Path) -> None:
    keys = opened(directory).create(LOG, LogKind.ANCHORS)
    assert not keys.data_keys
    with pytest.raises(UnknownError):
        _ = keys.data_key


def test_nothing_secret_is_shown(directory: Path) -> None:
    keyring = opened(directory)
    keys = keyring.create(LOG, LogKind.TENANT)
    assert keys.tenant is not None
    assert keys.tenant.release is not None
    secrets = [keys.data_key.secret, keys.acknowledgement_seed, keys.tenant.release, keys.tenant.attestation]
    secrets += [keys.signing[0].ed25519, keys.signing[0].mldsa44]
    platform = keyring.platform_secrets()
    secrets += [platform.anchor, platform.cell]
    shown = (
        repr(keyring) + repr(keys) + repr(keys.tenant) + repr(keys.data_keys) + repr(platform) + repr(keyring._wrapping)
    )
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret) not in shown


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"kind":"tenant"}', b'{"kind":"nobody"}', b'{"data_keys":7}'])
def test_what_holds_no_keys_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        LogKeys.from_bytes(data)


def test_the_environment_names_the_passphrase_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from a file\n")
    file.chmod(0o600)
    assert passphrase_from({}) is None
    assert passphrase_from({PASSPHRASE_VARIABLE: "direct"}) == "direct"
    assert passphrase_from({PASSPHRASE_FILE_VARIABLE: str(file), PASSPHRASE_VARIABLE: "direct"}) == "from a file"
    wrong = [{PASSPHRASE_VARIABLE: ""}, {PASSPHRASE_FILE_VARIABLE: str(tmp_path / "none")}]
    for environ in wrong:
        with pytest.raises(LedgerError):
            passphrase_from(environ)
    file.write_bytes(b"\xff")
    with pytest.raises(RefusedError):
        passphrase_from({PASSPHRASE_FILE_VARIABLE: str(file)})
    file.chmod(0o644)
    with pytest.raises(RefusedError, match="chmod"):
        passphrase_from({PASSPHRASE_FILE_VARIABLE: str(file)})
