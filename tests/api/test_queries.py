"""Cursors, queries and numbers of reads, and what is counted: properties, without a server."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from fastapi.params import Query as InQuery
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.requests import Request

from domain.errors import MalformedError, UnknownError
from infrastructure.api import rights
from infrastructure.api.problems import ProblemError
from infrastructure.api.reads.cursors import print_cursor, read_cursor, read_index
from infrastructure.api.reads.queries import MAX_INDEX, Page, Query
from infrastructure.api.reads.rows import require_id
from infrastructure.measuring import Counts, Histogram, gauge

KINDS = st.from_regex(r"[a-z]{1,16}", fullmatch=True)
PLACES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=256)


@given(KINDS, PLACES)
def test_a_cursor_is_read_as_it_was_printed(kind: str, place: str) -> None:
    cursor = print_cursor(kind, place)
    assert cursor.isascii()
    assert read_cursor(kind, cursor) == place


@given(KINDS, KINDS, PLACES)
def test_a_cursor_of_another_kind_of_page_is_refused(kind: str, other: str, place: str) -> None:
    if kind != other:
        with pytest.raises(MalformedError):
            read_cursor(other, print_cursor(kind, place))


@given(KINDS, st.one_of(st.text(max_size=600), st.binary(max_size=64).map(lambda data: data.hex())))
def test_what_is_read_is_what_was_printed_and_nothing_else(kind: str, text: str) -> None:
    try:
        place = read_cursor(kind, text)
    except MalformedError:
        return
    assert print_cursor(kind, place) == text


@given(st.integers(0, 10**18 - 1))
def test_an_index_comes_back(index: int) -> None:
    assert read_index("leaf", print_cursor("leaf", str(index))) == index


@pytest.mark.parametrize("place", ["01", "-1", "+1", "1e3", "1_0", "9" * 19, "x"])
def test_a_cursor_that_holds_no_index_is_refused(place: str) -> None:
    with pytest.raises(MalformedError):
        read_index("leaf", print_cursor("leaf", place))


@pytest.mark.parametrize(
    ("kind", "place"), [("", "x"), ("A", "x"), ("a" * 17, "x"), ("a", ""), ("a", "x y"), ("a", "é")]
)
def test_what_can_be_no_place_has_no_cursor(kind: str, place: str) -> None:
    with pytest.raises(MalformedError):
        print_cursor(kind, place)


@given(st.integers(1, 500))
def test_a_number_has_one_spelling(limit: int) -> None:
    assert Page.model_validate({"limit": str(limit)}).limit == limit
    for other in (f"0{limit}", f"+{limit}", f" {limit}", f"{limit}.0", f"{limit}_0"[:-1], hex(limit)):
        with pytest.raises(ValidationError):
            Page.model_validate({"limit": other})


@pytest.mark.parametrize("limit", ["0", "501", str(MAX_INDEX), "-1", "", "٣"])
def test_a_number_is_bounded(limit: str) -> None:
    with pytest.raises(ValidationError):
        Page.model_validate({"limit": limit})


@given(st.sampled_from(["wl", "exec", "cac"]), st.text(max_size=48))
def test_an_id_has_one_spelling(kind: str, text: str) -> None:
    good = f"{kind}-0x{'0123456789abcdef' * 2}"
    assert require_id(good, kind) == good
    for bad in (text, good.upper(), f"{good}0", good[:-1], f"{good}\n", good.removeprefix(f"{kind}-0x")):
        with pytest.raises(UnknownError):
            require_id(bad, kind)


@given(st.lists(st.floats(0, 50, allow_nan=False), max_size=40))
def test_a_histogram_counts_everything_once(values: list[float]) -> None:
    histogram = Histogram((1, 5, 20))
    for value in values:
        histogram.observe(value)
    lines = histogram.lines("x", "about")
    for bound, line in zip((1, 5, 20), lines[2:5], strict=True):
        assert line == f'x_bucket{{le="{bound}"}} {sum(value <= bound for value in values)}'
    assert lines[5] == f'x_bucket{{le="+Inf"}} {len(values)}'
    assert lines[-1] == f"x_count {len(values)}"


def test_counts_and_gauges_are_written_with_their_labels() -> None:
    counts = Counts()
    for status in ("200", "200", "404"):
        counts.add(route="audit", status=status)
    assert counts.lines("n", "about")[2:] == ['n{route="audit",status="200"} 2', 'n{route="audit",status="404"} 1']
    expected: list[Any] = ["# HELP g about", "# TYPE g gauge", "g 1.5"]
    assert gauge("g", "about", {(): 1.5}) == expected


def test_a_query_has_so_many_names_and_no_more() -> None:
    class Asked(Query):
        a0: str | None = None

    app = FastAPI()

    @app.get("/x")
    async def x(query: Annotated[Asked, InQuery()]) -> str:
        return str(query)

    (route,) = [one for one in app.routes if isinstance(one, APIRoute)]

    def asked(count: int) -> None:
        text = "&".join(f"a{number}=" for number in range(count)).encode()
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": text, "route": route}
        rights._require_plain(Request(scope), route)

    asked(rights._MOST_NAMES)
    with pytest.raises(ProblemError, match="more than 32 members"):
        asked(rights._MOST_NAMES + 1)
