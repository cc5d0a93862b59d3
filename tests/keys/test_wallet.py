"""A principal's wallet."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from domain.errors import MalformedError, RefusedError, UnknownError
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import did_key, ed25519, wallet
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.keys.wallet import Purpose


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "my wallet.json"


def test_a_wallet_survives_its_file(path: Path) -> None:
    made = wallet.create(path, "Ada, Wasserwirtschaftsamt Köln", SystemEntropy())
    read = wallet.load(path)
    assert read.name == made.name
    for purpose in Purpose:
        assert read.public(purpose) == made.public(purpose.value)
        assert read.key(purpose).sign(b"x") == made.key(purpose).sign(b"x")
        assert read.thumbprint(purpose) == thumbprint(read.public(purpose))
        assert did_key.public_key(read.did(purpose)) == read.public(purpose)


def test_every_purpose_has_a_key_of_its_own(path: Path) -> None:
    made = wallet.create(path, "Ada", SystemEntropy())
    assert len({made.did(purpose) for purpose in Purpose}) == len(Purpose) == 5
    with pytest.raises(MalformedError, match="governance"):
        made.key("everything")


def test_other_tools_can_read_the_keys(path: Path) -> None:
    made = wallet.create(path, "Ada", SystemEntropy())
    key = OKPKey.import_key(json.loads(path.read_bytes())["keys"]["report"])
    assert key.is_private
    assert key.thumbprint() == made.thumbprint("report")


def test_a_wallet_is_never_overwritten(path: Path) -> None:
    wallet.create(path, "Ada", SystemEntropy())
    before = path.read_bytes()
    with pytest.raises(RefusedError, match="exists"):
        wallet.create(path, "Bob", SystemEntropy())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_others_may_read_is_refused(path: Path) -> None:
    wallet.create(path, "Ada", SystemEntropy())
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o604)
    with pytest.raises(RefusedError, match="chmod 600"):
        wallet.load(path)


def test_a_missing_wallet_and_a_missing_directory_are_told(path: Path) -> None:
    with pytest.raises(UnknownError):
        wallet.load(path)
    with pytest.raises(RefusedError):
        wallet.create(path / "none" / "w.json", "Ada", SystemEntropy())
    with pytest.raises(RefusedError):
        wallet.load(path.parent)


def swap(content: dict[str, Any]) -> None:
    content["keys"]["report"]["d"] = content["keys"]["submission"]["d"]


def share(content: dict[str, Any]) -> None:
    content["keys"]["report"] = content["keys"]["submission"]


@pytest.mark.parametrize(
    "change",
    [
        swap,
        share,
        lambda content: content.pop("name"),
        lambda content: content.update(format="ledger-wallet/v2"),
        lambda content: content.update(name=7),
        lambda content: content.update(name=""),
        lambda content: content["keys"].pop("report"),
        lambda content: content["keys"].update(other=content["keys"]["report"]),
        lambda content: content["keys"]["report"].pop("d"),
        lambda content: content["keys"]["report"].update(d=7),
        lambda content: content["keys"]["report"].update(d="AA"),
        lambda content: content["keys"]["report"].update(use="sig"),
        lambda content: content.update(keys=[]),
    ],
)
def test_a_changed_wallet_is_refused(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    wallet.create(path, "Ada", SystemEntropy())
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(MalformedError):
        wallet.load(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_wallet_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(MalformedError):
        wallet.load(path)


def test_nothing_secret_is_shown(path: Path) -> None:
    made = wallet.create(path, "Ada", SystemEntropy())
    seed = made.key("report").private_bytes_raw()
    assert ed25519.private_key(seed).public_key() == made.key("report").public_key()
    assert repr(made) == "Wallet(name='Ada')"
    assert seed.hex() not in repr(made.key("report"))
