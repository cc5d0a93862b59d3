"""An issuer's own register: what it issues, revokes, suspends, and the lists that follow from it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError, UnknownError
from infrastructure.credentials.bitstring import MIN_ENTRIES
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_checking import StatusLists
from infrastructure.credentials.status_entry import REVOCATION, SUSPENSION, read_entries
from infrastructure.credentials.status_register import REGISTER, StatusRegister, create, opened, publish
from infrastructure.credentials.status_source import StatusFiles
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import did_key, ed25519

KEY, OTHER = (ed25519.private_key(bytes([n]) * 32) for n in (1, 2))
METHOD = did_key.verification_method(ed25519.public_bytes(KEY))
DID = METHOD.partition("#")[0]
URL = "https://issuer.example/status"
NOW = 1_767_225_600_000
ENTROPY = SystemEntropy()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    create(tmp_path / "status", URL, METHOD)
    return tmp_path / "status"


def checked(directory: Path, entries: Any, at_ms: int = NOW) -> str:
    lists = StatusLists(StatusFiles(directory), Resolver(), lambda: 0.0)
    try:
        lists.check(read_entries(entries), issuer=DID, at_ms=at_ms)
    except CredentialRefusedError as error:
        return error.reason.value
    return "good"


def test_the_life_of_a_status(directory: Path) -> None:
    with opened(directory) as register:
        entries = register.allocate("urn:a", ENTROPY)
        others = register.allocate("urn:b", ENTROPY)
        publish(directory, register, KEY, now_ms=NOW, valid_ms=1000)
    assert checked(directory, entries) == "good"
    with opened(directory) as register:
        index = register.index_of({"credentialStatus": entries})
        assert index == register.index_of("urn:a") == int(entries[0]["statusListIndex"])
        register.mark(index, SUSPENSION, at_ms=NOW, reason="looked at")
        publish(directory, register, KEY, now_ms=NOW, valid_ms=1000)
    assert (checked(directory, entries), checked(directory, others)) == ("suspended", "good")
    with opened(directory) as register:
        register.reinstate(index)
        register.mark(index, REVOCATION, at_ms=NOW, reason="")
        publish(directory, register, KEY, now_ms=NOW, valid_ms=1000)
        with pytest.raises(RefusedError):
            register.reinstate(index)
        with pytest.raises(ConflictError):
            register.mark(index, REVOCATION, at_ms=NOW, reason="")
    assert checked(directory, entries) == "revoked"
    assert checked(directory, others, NOW + 1000) == "status_stale"


def test_a_register_survives_being_written(directory: Path) -> None:
    with opened(directory) as register:
        register.allocate("urn:a", ENTROPY)
        register.mark(register.index_of("urn:a"), REVOCATION, at_ms=NOW, reason="why")
        before = register
    with opened(directory) as register:
        assert register == before
    assert (directory / REGISTER).stat().st_mode & 0o777 == 0o600


def test_what_fails_in_the_block_is_not_kept(directory: Path) -> None:
    def twice() -> None:
        with opened(directory) as register:
            register.allocate("urn:a", ENTROPY)
            register.allocate("urn:a", ENTROPY)

    with pytest.raises(ConflictError):
        twice()
    with opened(directory) as register:
        assert register.issued == {}


@given(st.integers(1, 40))
def test_entries_are_distinct_and_in_range(count: int) -> None:
    register = StatusRegister(URL, METHOD)
    for number in range(count):
        register.allocate(f"urn:{number}", ENTROPY)
    assert len(set(register.issued.values())) == count
    assert all(0 <= index < MIN_ENTRIES for index in register.issued.values())


def test_a_full_register_refuses() -> None:
    register = StatusRegister(URL, METHOD, issued={f"urn:{n}": n for n in range(MIN_ENTRIES)})
    with pytest.raises(RefusedError):
        register.allocate("urn:more", ENTROPY)


def test_only_the_issuers_key_signs_its_lists(directory: Path) -> None:
    with pytest.raises(NotAuthorisedError), opened(directory) as register:
        publish(directory, register, OTHER, now_ms=NOW, valid_ms=1000)
    assert not (directory / "revocation.json").exists()


def test_a_list_never_begins_earlier_than_the_one_before(directory: Path) -> None:
    for now_ms in (NOW, NOW - 5000):
        with opened(directory) as register:
            publish(directory, register, KEY, now_ms=now_ms, valid_ms=1000)
    assert json.loads((directory / "revocation.json").read_bytes())["validFrom"] == "2026-01-01T00:00:00Z"


def test_strangers_credentials_and_odd_reasons_are_refused(directory: Path) -> None:
    with opened(directory) as register:
        entries = register.allocate("urn:a", ENTROPY)
        elsewhere = [{**one, "statusListCredential": "https://other.example/revocation"} for one in entries]
        for target in ("urn:b", {"credentialStatus": elsewhere}):
            with pytest.raises(UnknownError):
                register.index_of(target)
        for status in (None, 7):
            with pytest.raises(MalformedError):
                register.index_of({"credentialStatus": status})
        for reason in ("x" * 201, "a\nb"):
            with pytest.raises(MalformedError):
                register.mark(1, REVOCATION, at_ms=NOW, reason=reason)


def test_a_register_begins_once_and_of_a_sensible_url(tmp_path: Path) -> None:
    with pytest.raises(UnknownError), opened(tmp_path):
        pass
    for url in ("issuer.example", "https://issuer.example/", ""):
        with pytest.raises(MalformedError):
            create(tmp_path, url, METHOD)
    create(tmp_path, URL, METHOD)
    with pytest.raises(RefusedError):
        create(tmp_path, URL, METHOD)
    (tmp_path / REGISTER).write_bytes(b'{"format":"x"}')
    with pytest.raises(MalformedError), opened(tmp_path):
        pass
    assert Refusal.REVOKED.value == "revoked"
