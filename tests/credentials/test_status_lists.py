"""Bitstring Status List: bits, entries and lists that are not what they should be, and every reason to deny."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, UnavailableError
from domain.time import DAY_MS
from infrastructure.credentials.bitstring import (
    MAX_BYTES,
    MIN_ENTRIES,
    encode_bits,
    expand_bits,
    read_status,
    with_status,
)
from infrastructure.credentials.data_integrity import Document, add_proof, canonical_bytes
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_checking import MAX_AGE_S, StatusLists
from infrastructure.credentials.status_entry import StatusEntry, entry_document, read_entries
from infrastructure.credentials.status_list import issue_list, read_list
from infrastructure.credentials.status_source import StatusFiles
from infrastructure.keys import base64url, did_key, ed25519

ISSUER, STRANGER = (ed25519.private_key(bytes([n]) * 32) for n in (1, 2))
DID, OTHER = (did_key.did_key(ed25519.public_bytes(key)) for key in (ISSUER, STRANGER))
URL = "https://issuer.example/status/revocation"
FROM = 1_767_225_600_000
EMPTY = bytes(MIN_ENTRIES // 8)
SET = 94_567
ENTRY = StatusEntry("revocation", SET, 1, URL)


def test_the_empty_list_of_the_specification_expands() -> None:
    # Bitstring Status List 1.0, section 2.2, example 3
    text = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"
    assert expand_bits(text) == EMPTY


@given(st.sets(st.integers(0, MIN_ENTRIES - 1), max_size=20))
def test_what_is_set_is_read_and_nothing_else(indices: set[int]) -> None:
    bits = EMPTY
    for index in indices:
        bits = with_status(bits, index, on=True)
    again = expand_bits(encode_bits(bits))
    assert {index for index in range(MIN_ENTRIES) if again[index // 8] >> (7 - index % 8) & 1} == indices
    for index in indices:
        assert read_status(again, index) == 1
        bits = with_status(bits, index, on=False)
    assert bits == EMPTY


def test_entry_zero_is_the_left_most_bit_and_wide_entries_read_left_to_right() -> None:
    assert read_status(b"\x80" + EMPTY[1:], 0) == 1
    assert read_status(b"\x01" + EMPTY[1:], 7) == 1
    wide = b"\x1b" + bytes(MIN_ENTRIES // 4)
    assert [read_status(wide, index, 2) for index in range(4)] == [0, 1, 2, 3]
    three = b"\x05\x39\x77" + bytes(MIN_ENTRIES * 3 // 8)
    assert [read_status(three, index, 3) for index in range(8)] == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("bits", "index", "size"),
    [(EMPTY, MIN_ENTRIES, 1), (EMPTY, -1, 1), (EMPTY[:-1], 0, 1), (EMPTY, 0, 2), (b"", 0, 1), (EMPTY, 10**15, 1)],
)
def test_short_lists_and_entries_beyond_the_end_are_refused(bits: bytes, index: int, size: int) -> None:
    with pytest.raises(MalformedError):
        read_status(bits, index, size)


PACKED = gzip.compress(EMPTY, mtime=0)


@pytest.mark.parametrize(
    "text",
    [
        None, 7, "", "u", ["u"], encode_bits(EMPTY)[1:], "m" + encode_bits(EMPTY)[1:], encode_bits(EMPTY) + "=",
        "z" + encode_bits(EMPTY)[1:], encode_bits(EMPTY)[:-8], encode_bits(EMPTY) + "AAAA",
        "u" + base64url.encode(EMPTY), "u" + base64url.encode(zlib.compress(EMPTY)),
        "u" + base64url.encode(PACKED * 2), "u" + base64url.encode(PACKED[:-4]),
        "u" + base64url.encode(PACKED[:-8] + bytes(8)),
    ],
)  # fmt: skip
def test_other_encodings_are_refused(text: object) -> None:
    with pytest.raises(MalformedError):
        expand_bits(text)


def test_a_bomb_stops_at_the_bound() -> None:
    assert len(expand_bits(encode_bits(bytes(MAX_BYTES)))) == MAX_BYTES
    for size in (MAX_BYTES + 1, 200_000_000):
        with pytest.raises(MalformedError):
            expand_bits(encode_bits(bytes(size)))


GOOD = entry_document(URL, "revocation", SET)
MESSAGES = [{"status": hex(n), "message": "m"} for n in range(4)]


def test_entries_are_read() -> None:
    assert read_entries(GOOD) == (ENTRY,)
    both = [GOOD, {**GOOD, "statusPurpose": "suspension"}]
    assert [one.purpose for one in read_entries(both)] == ["revocation", "suspension"]
    wide = {**GOOD, "statusPurpose": "message", "statusSize": 2, "statusMessage": MESSAGES}
    assert read_entries(wide)[0].size == 2


@pytest.mark.parametrize(
    "change",
    [
        {"type": "StatusList2021Entry"}, {"type": None}, {"statusPurpose": "other"}, {"statusPurpose": ["revocation"]},
        {"statusListIndex": SET}, {"statusListIndex": "-1"}, {"statusListIndex": "007"}, {"statusListIndex": "1.0"},
        {"statusListIndex": "0x10"}, {"statusListIndex": ""}, {"statusListIndex": "\u0661"},
        {"statusListIndex": "9" * 17}, {"statusListIndex": "1_0"}, {"statusListIndex": " 1"},
        {"statusListCredential": "list"}, {"statusListCredential": ""}, {"statusListCredential": "https://a b"},
        {"statusListCredential": [URL]}, {"id": URL}, {"id": 7}, {"statusSize": 0}, {"statusSize": "1"},
        {"statusSize": True}, {"statusSize": 2}, {"statusSize": 9}, {"statusSize": 10**12},
        {"statusSize": 2, "statusMessage": MESSAGES[:3]}, {"statusSize": 2, "statusMessage": [{}] * 4},
        {"statusMessage": MESSAGES}, {"statusMessage": None}, {"crit": ["x"]},
    ],
)  # fmt: skip
def test_an_entry_of_another_shape_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        read_entries({**GOOD, **change})


@pytest.mark.parametrize("value", [None, [], {}, "x", 7, [GOOD] * 9, [GOOD, 7], [[GOOD]]])
def test_a_status_that_is_no_list_of_entries_is_malformed(value: object) -> None:
    with pytest.raises(MalformedError):
        read_entries(value)


def listed(
    bits: bytes = EMPTY, *, key: Any = ISSUER, begins_ms: int = FROM, ends_ms: int = FROM + DAY_MS, url: str = URL
) -> Document:
    return issue_list(url, "revocation", bits, key, valid_from_ms=begins_ms, valid_until_ms=ends_ms)


def resigned(change: Callable[[Document], object], key: Any = ISSUER) -> Document:
    document = json.loads(json.dumps({name: value for name, value in listed().items() if name != "proof"}))
    change(document)
    return add_proof(document, key, created_ms=FROM)


def checker(path: Path, **how: Any) -> StatusLists:
    return StatusLists(StatusFiles(path), Resolver(), how.pop("monotonic_s", lambda: 0.0), **how)


def refused(path: Path, *, at_ms: int = FROM, issuer: str = DID, entry: StatusEntry = ENTRY, **how: Any) -> Refusal:
    with pytest.raises(CredentialRefusedError) as error:
        checker(path, **how).check([entry], issuer=issuer, at_ms=at_ms)
    return error.value.reason


def write(path: Path, *documents: Document) -> Path:
    for number, document in enumerate(documents):
        (path / f"{number}.json").write_bytes(canonical_bytes(document))
    return path


def test_a_good_status_passes_from_a_file_and_from_a_directory(tmp_path: Path) -> None:
    write(tmp_path, listed(url=URL + "/other"), listed())
    checker(tmp_path).check([ENTRY], issuer=DID, at_ms=FROM)
    checker(tmp_path / "1.json").check([ENTRY], issuer=DID, at_ms=FROM)
    assert refused(tmp_path / "0.json") is Refusal.STATUS_UNREACHABLE


def test_a_set_bit_revokes_or_suspends(tmp_path: Path) -> None:
    write(tmp_path, listed(with_status(EMPTY, SET, on=True)))
    assert refused(tmp_path) is Refusal.REVOKED
    checker(tmp_path).check([StatusEntry("revocation", SET + 1, 1, URL)], issuer=DID, at_ms=FROM)
    checker(tmp_path).check([StatusEntry("message", SET, 1, URL)], issuer=DID, at_ms=FROM)
    suspending = resigned(lambda document: document["credentialSubject"].update(statusPurpose=["x", "suspension"]))
    suspending = add_proof(
        {
            **{name: value for name, value in suspending.items() if name != "proof"},
            "credentialSubject": {
                **suspending["credentialSubject"], "encodedList": encode_bits(with_status(EMPTY, SET, on=True)),
            },
        },
        ISSUER,
        created_ms=FROM,
    )  # fmt: skip
    write(tmp_path, suspending)
    assert refused(tmp_path, entry=StatusEntry("suspension", SET, 1, URL)) is Refusal.SUSPENDED
    assert refused(tmp_path) is Refusal.STATUS_MALFORMED


def test_away_stale_and_unsigned_deny(tmp_path: Path) -> None:
    assert refused(tmp_path) is Refusal.STATUS_UNREACHABLE
    assert refused(tmp_path / "none") is Refusal.STATUS_UNREACHABLE
    write(tmp_path, listed())
    assert refused(tmp_path, at_ms=FROM - 1) is Refusal.STATUS_STALE
    assert refused(tmp_path, at_ms=FROM + DAY_MS) is Refusal.STATUS_STALE
    assert refused(tmp_path, issuer=OTHER) is Refusal.STATUS_UNSIGNED
    checker(tmp_path, also_trusted=[DID]).check([ENTRY], issuer=OTHER, at_ms=FROM)
    write(tmp_path, {**listed(key=STRANGER), "issuer": DID})
    assert refused(tmp_path) is Refusal.STATUS_UNSIGNED
    write(tmp_path, {name: value for name, value in listed().items() if name != "proof"})
    assert refused(tmp_path) is Refusal.STATUS_MALFORMED
    unreachable = listed()
    write(tmp_path, {**unreachable, "proof": {**unreachable["proof"], "verificationMethod": "did:web:a.example#k"}})
    assert refused(tmp_path) is Refusal.STATUS_UNREACHABLE


def test_a_list_without_an_end_is_as_old_as_its_beginning(tmp_path: Path) -> None:
    write(tmp_path, resigned(lambda document: document.pop("validUntil")))
    checker(tmp_path).check([ENTRY], issuer=DID, at_ms=FROM + 10**12)
    checker(tmp_path, max_age_ms=DAY_MS).check([ENTRY], issuer=DID, at_ms=FROM + DAY_MS - 1)
    assert refused(tmp_path, max_age_ms=DAY_MS, at_ms=FROM + DAY_MS) is Refusal.STATUS_STALE


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(type=["VerifiableCredential"]),
        lambda document: document.update(type=["BitstringStatusListCredential"]),
        lambda document: document.update({"@context": ["https://www.w3.org/2018/credentials/v1"]}),
        lambda document: document.update(credentialStatus=entry_document(URL + "/2", "revocation", 1)),
        lambda document: document.update(credentialSubject=[document["credentialSubject"]] * 2),
        lambda document: document.update(validUntil=document["validFrom"]),
        lambda document: document.update(validFrom=7),
        lambda document: document.update(issuer={"name": "x"}),
        lambda document: document["credentialSubject"].update(type="BitstringStatus"),
        lambda document: document["credentialSubject"].update(statusPurpose="suspension"),
        lambda document: document["credentialSubject"].update(statusPurpose=[]),
        lambda document: document["credentialSubject"].update(statusPurpose=7),
        lambda document: document["credentialSubject"].update(ttl=-1),
        lambda document: document["credentialSubject"].update(ttl="60000"),
        lambda document: document["credentialSubject"].update(statusSize=2),
        lambda document: document["credentialSubject"].update(statusSize=0),
        lambda document: document["credentialSubject"].update(statusSize=None),
        lambda document: document["credentialSubject"].update(encodedList=encode_bits(EMPTY[:-1])),
        lambda document: document["credentialSubject"].update(encodedList=encode_bits(EMPTY)[1:]),
        lambda document: document["credentialSubject"].update(encodedList=encode_bits(bytes(MAX_BYTES + 1))),
        lambda document: document["credentialSubject"].pop("encodedList"),
    ],
)
def test_a_signed_list_of_another_shape_denies(tmp_path: Path, change: Callable[[Document], object]) -> None:
    write(tmp_path, resigned(change))
    assert refused(tmp_path) is Refusal.STATUS_MALFORMED


def test_a_list_of_a_file_may_have_no_id_and_one_of_a_directory_may_not(tmp_path: Path) -> None:
    write(tmp_path, resigned(lambda document: document.pop("id")))
    assert refused(tmp_path) is Refusal.STATUS_UNREACHABLE
    lists = checker(tmp_path / "0.json")
    lists.check([ENTRY], issuer=DID, at_ms=FROM)
    assert lists.unnamed == {URL}


def test_the_newest_list_counts_and_no_older_one_after_it(tmp_path: Path) -> None:
    revoked = listed(with_status(EMPTY, SET, on=True), begins_ms=FROM + 1000)
    write(tmp_path, listed(), revoked)
    lists = checker(tmp_path)
    lists.check([ENTRY], issuer=DID, at_ms=FROM + 999)
    for _ in range(2):
        with pytest.raises(CredentialRefusedError) as error:
            lists.check([ENTRY], issuer=DID, at_ms=FROM + 1000)
        assert error.value.reason is Refusal.REVOKED
    (tmp_path / "1.json").unlink()
    with pytest.raises(CredentialRefusedError) as error:
        lists.check([ENTRY], issuer=DID, at_ms=FROM + 1000)
    assert error.value.reason is Refusal.STATUS_STALE


def test_a_strangers_list_under_the_same_name_neither_counts_nor_blocks(tmp_path: Path) -> None:
    later = listed(with_status(EMPTY, SET, on=True), key=STRANGER, begins_ms=FROM + 500)
    write(tmp_path, listed(), later, {**later, "issuer": DID})
    checker(tmp_path).check([ENTRY], issuer=DID, at_ms=FROM + 1000)


def test_a_changed_file_is_read_at_once_and_a_kept_one_no_longer_than_its_age(tmp_path: Path) -> None:
    now, reads = [0.0], [0]

    class Counting(StatusFiles):
        def find(self, list_url: str) -> Any:
            reads[0] += 1
            return super().find(list_url)

    lists = StatusLists(Counting(write(tmp_path, listed())), Resolver(), lambda: now[0])
    for _ in range(3):
        lists.check([ENTRY], issuer=DID, at_ms=FROM)
    assert reads == [1]
    now[0] = MAX_AGE_S
    lists.check([ENTRY], issuer=DID, at_ms=FROM)
    assert reads == [2]
    write(tmp_path, listed(with_status(EMPTY, SET, on=True)))
    with pytest.raises(CredentialRefusedError):
        lists.check([ENTRY], issuer=DID, at_ms=FROM)


def test_files_that_are_no_lists_are_passed_over_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe")
    (tmp_path / "c.json").write_bytes(b'{"id":1,"id":2}')
    write(tmp_path, listed())
    checker(tmp_path).check([ENTRY], issuer=DID, at_ms=FROM)
    assert refused(tmp_path / "b.json") is Refusal.STATUS_MALFORMED
    with pytest.raises(UnavailableError):
        StatusFiles(tmp_path).find("https://other.example/")


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_of_a_list_refuses_or_says_the_same(at: int, change: int) -> None:
    data = bytearray(canonical_bytes(listed()))
    data[at % len(data)] ^= change
    try:
        found = read_list(bytes(data), resolve=did_key.resolve)
    except CredentialRefusedError:
        return
    assert found == read_list(canonical_bytes(listed()), resolve=did_key.resolve)
