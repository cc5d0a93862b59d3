"""The jurisdiction table against a second source."""

import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from domain.jurisdictions import (
    COUNTRIES,
    EU_MEMBERS,
    SUPRANATIONAL,
    countries_within,
    parse_country,
    parse_jurisdiction,
)


def test_the_countries_are_those_of_iso_3166_1() -> None:
    assert {country.alpha_3 for country in pycountry.countries} == COUNTRIES


def test_the_union_has_27_members_that_are_countries_and_scopes_are_none() -> None:
    assert len(EU_MEMBERS) == 27
    assert EU_MEMBERS < COUNTRIES
    assert not SUPRANATIONAL & COUNTRIES
    assert "GBR" not in EU_MEMBERS


@pytest.mark.parametrize("code", sorted(COUNTRIES | SUPRANATIONAL))
def test_codes_are_read_in_any_case_and_kept_in_upper_case(code: str) -> None:
    assert parse_jurisdiction(f" {code.lower()}\n") == code
    assert (countries_within(code) == {code}) is (code in COUNTRIES)
    if code in COUNTRIES:
        assert parse_country(code.title()) == code
    else:
        with pytest.raises(MalformedError, match="alpha-3"):
            parse_country(code)


def test_only_the_union_among_the_scopes_has_a_member_list() -> None:
    assert {scope for scope in SUPRANATIONAL if countries_within(scope)} == {"EU"}
    assert countries_within("EU") == EU_MEMBERS
    assert countries_within("XXX") == frozenset()


@pytest.mark.parametrize("text", ["", "DE", "XXX", "D3U", "DEUT", "EEC", "\ufb01n", "u\u017fa", "D EU", "276"])
def test_other_codes_are_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="ISO 3166-1"):
        parse_jurisdiction(text)
    with pytest.raises(MalformedError, match="ISO 3166-1"):
        parse_country(text)


@given(st.text(max_size=60))
def test_foreign_text_is_shown_bounded_and_printable(text: str) -> None:
    if text.strip().upper() in COUNTRIES | SUPRANATIONAL:
        return
    for parse in (parse_country, parse_jurisdiction):
        with pytest.raises(MalformedError) as refused:
            parse(text)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 300
