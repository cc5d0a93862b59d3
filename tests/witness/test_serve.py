import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from domain.errors import LedgerError, MalformedError, NotAuthorisedError, RefusedError, UnavailableError, UnknownError
from infrastructure.clock import VirtualClock
from infrastructure.entropy import SystemEntropy
from infrastructure.witness.client import WitnessClient
from infrastructure.witness.key_file import KEY_FILE, create_key_file, load_key_file
from infrastructure.witness.serve import init_witness, read_log_keys, serve, witness_keys, witness_server

AT = 1_700_000_000


@pytest.fixture
def log_keys_file(tmp_path: Path, log: Any) -> Path:
    path = tmp_path / "logs.vkey"
    path.write_text("# our anchors\n\n" + "".join(f"{key}\n" for key in log.signer.verifier_keys()))
    return path


def test_a_witness_is_made_once_with_a_key_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "witness"
    keys = init_witness(directory, "w.example", SystemEntropy())
    assert witness_keys(directory) == keys
    assert [key.type for key in keys] == [0x04, 0x06]
    assert stat.S_IMODE((directory / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    with pytest.raises(RefusedError, match="exists already"):
        init_witness(directory, "w.example", SystemEntropy())
    assert witness_keys(directory) == keys


def test_a_key_that_others_can_read_or_that_is_damaged_is_refused(directory: Path) -> None:
    path = directory / KEY_FILE
    content = json.loads(path.read_bytes())
    path.chmod(0o640)
    with pytest.raises(RefusedError, match="chmod 600"):
        load_key_file(directory)
    path.chmod(0o600)
    for change in (
        {"format": "x"},
        {"ed25519": 5},
        {"ed25519": "00"},
        {"mldsa44": "zz" * 32},
        {"name": "two words"},
        {"more": ""},
    ):
        path.write_bytes(json.dumps(content | change, sort_keys=True, separators=(",", ":")).encode())
        with pytest.raises(MalformedError) as caught:
            load_key_file(directory)
        assert content["ed25519"] not in str(caught.value)
    path.write_bytes(b"[]")
    with pytest.raises(MalformedError):
        load_key_file(directory)
    path.unlink()
    with pytest.raises(UnknownError):
        witness_keys(directory)


def test_no_secret_shows_in_a_repr(directory: Path) -> None:
    content = json.loads((directory / KEY_FILE).read_bytes())
    assert content["ed25519"] not in repr(load_key_file(directory))


def test_a_name_that_is_no_key_name_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(MalformedError):
        create_key_file(tmp_path, "two words", SystemEntropy())
    assert not list(tmp_path.iterdir())


def test_a_key_without_memory_never_serves(tmp_path: Path, log: Any, clock: VirtualClock) -> None:
    create_key_file(tmp_path, "w.example", SystemEntropy())
    with (
        pytest.raises(RefusedError, match="without its memory"),
        witness_server(tmp_path, log_keys=log.signer.verifier_keys(), clock=clock),
    ):
        raise AssertionError("it must not open")


def test_log_keys_are_one_a_line_and_a_wrong_one_is_named(tmp_path: Path, log_keys_file: Path, log: Any) -> None:
    assert read_log_keys(log_keys_file) == log.signer.verifier_keys()
    wrong = tmp_path / "wrong.vkey"
    for content, error in (
        (b"", "holds no verifier key"),
        (b"# none\n", "holds no verifier key"),
        (log_keys_file.read_bytes() + b"nonsense\n", "line 5: not a verifier key"),
        (b"\xff\n", "line 1: not valid UTF-8"),
        (b"#" * ((8 << 20) + 1), "longer than"),
    ):
        wrong.write_bytes(content)
        with pytest.raises(MalformedError, match=error):
            read_log_keys(wrong)
    with pytest.raises(UnknownError):
        read_log_keys(tmp_path / "missing")


def test_a_witness_that_shares_a_key_with_a_log_is_not_served(
    directory: Path, tmp_path: Path, clock: VirtualClock
) -> None:
    shared = tmp_path / "shared.vkey"
    shared.write_text(f"{witness_keys(directory)[1]}\n")
    with pytest.raises(NotAuthorisedError):
        serve(directory, log_keys_file=shared, clock=clock, port=0)


def test_what_can_not_be_served_is_told(directory: Path, log_keys_file: Path, clock: VirtualClock, log: Any) -> None:
    with pytest.raises(RefusedError, match="make one with"):
        serve(directory / "missing", log_keys_file=log_keys_file, clock=clock)
    keys = log.signer.verifier_keys()
    with witness_server(directory, log_keys=keys, clock=clock) as running:
        with pytest.raises(RefusedError, match="another process"):
            serve(directory, log_keys_file=log_keys_file, clock=clock, port=0)
        other = directory.parent / "other"
        init_witness(other, "other.example", SystemEntropy())
        for host, port in (("127.0.0.1", running.server_port), ("192.0.2.1", 0), ("127.0.0.1", 70_000)):
            with pytest.raises(UnavailableError, match="cannot listen"):
                serve(other, log_keys_file=log_keys_file, clock=clock, host=host, port=port)


def test_serve_answers_until_it_is_interrupted_and_reports_nothing_secret(
    directory: Path, log_keys_file: Path, clock: VirtualClock, log: Any, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    reported: list[str] = []
    failed: list[LedgerError] = []

    def ask(host: str, port: int) -> None:
        try:
            client = WitnessClient(f"http://{host}:{port}", witness_keys(directory))
            client.add_checkpoint(log.note(5), 0, log.prove)
        except LedgerError as error:
            failed.append(error)
        stop.set()

    stop = threading.Event()

    def ready(host: str, port: int) -> None:
        threading.Thread(target=ask, args=(host, port)).start()

    def interrupted(self: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    monkeypatch.setattr("infrastructure.witness.server.WitnessServer.service_actions", interrupted)
    serve(directory, log_keys_file=log_keys_file, clock=clock, port=0, report=reported.append, ready=ready)
    assert not failed
    assert reported == ["'POST' '/add-checkpoint' 200", "stopped"]
    assert capfd.readouterr() == ("", "")
    secret = json.loads((directory / KEY_FILE).read_bytes())["ed25519"]
    assert not any(secret in line for line in reported)
    with witness_server(directory, log_keys=read_log_keys(log_keys_file), clock=clock):
        assert os.listdir(directory / "checkpoints")  # noqa: PTH208 - a name is enough
