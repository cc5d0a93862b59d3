"""Addresses with secrets in them, sealed for one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.addresses import open_address, seal_address
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.stream_keys import DataKey

ENTROPY = SystemEntropy()
KEYS = tuple(DataKey.create(generation, ENTROPY) for generation in range(2))
CELL = AtRest(KEYS[:1], ENTROPY)
PLACE = ("cac webhook", "dao")
URLS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=2000)


@given(URLS)
def test_an_address_opens_at_its_place_and_tells_no_length(url: str) -> None:
    sealed = seal_address(CELL, PLACE, url)
    assert open_address(AtRest(KEYS, ENTROPY), PLACE, sealed) == url
    longer = url + "!" * (-len(url) % 64)
    assert len(sealed) == len(seal_address(CELL, PLACE, longer))
    assert len(sealed) <= 4096
    with pytest.raises(VerificationError):
        open_address(CELL, (*PLACE, "x"), sealed)
    with pytest.raises(VerificationError):
        open_address(CELL, ("cac webhookdao",), sealed)
    with pytest.raises(VerificationError):
        open_address(AtRest(KEYS[1:], ENTROPY), PLACE, sealed)


@pytest.mark.parametrize("url", ["", " ", "https://x/ y", "https://é/", "x" * 2001, "a\n"])
def test_what_is_no_address_is_not_sealed(url: str) -> None:
    with pytest.raises(MalformedError):
        seal_address(CELL, PLACE, url)


def test_what_is_no_sealed_address_is_refused() -> None:
    for text in ("A" * 4097, "=", "AQ=="):
        with pytest.raises(MalformedError):
            open_address(CELL, PLACE, text)
    for text in ("", "AQ", seal_address(CELL, PLACE, "x")[:84]):
        with pytest.raises(VerificationError):
            open_address(CELL, PLACE, text)
