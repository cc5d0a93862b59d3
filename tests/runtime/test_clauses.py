"""Each clause against a plain second implementation, on all windows of the real data and on random series."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.demo import observations
from infrastructure.demo.observations import Row, parameters, text
from infrastructure.runtime.engine import ClauseEngine, RunResult
from tests.runtime.scenario import BOUNDS, clause

ENGINE = ClauseEngine()
Answer = tuple[str, dict[str, int | str]]
Rows = tuple[Row, ...]


def flood(rows: Rows, threshold: int) -> Answer:
    values = [value for _, value in rows]
    found: dict[str, int | str] = {
        "rows": len(rows),
        "threshold": threshold,
        "above": sum(value > threshold for value in values),
        "max": max(values),
        "max_at": rows[values.index(max(values))][0],
        "newest": values[-1],
        "newest_at": rows[-1][0],
    }
    if len(rows) < 2:
        return "FAIL", found
    found["previous"] = values[-2]
    if values[-1] <= threshold:
        return "PASS", found
    return ("ESCALATE" if values[-2] > threshold else "TRIGGER"), found


def drought(rows: Rows, k: int, threshold: int) -> Answer:
    values = [value for _, value in rows]
    found: dict[str, int | str] = {
        "rows": len(rows),
        "k": k,
        "threshold": threshold,
        "below": sum(value < threshold for value in values),
    }
    if len(rows) < k:
        return "FAIL", found
    found |= {"sum": sum(values[-k:]), "since": rows[-k][0], "newest_at": rows[-1][0]}
    before = values[-2 * k : -k] if len(rows) >= 2 * k else None
    if before is not None:
        found["previous_sum"] = sum(before)
    if sum(values[-k:]) >= k * threshold:
        return "PASS", found
    return ("ESCALATE" if before is not None and sum(before) < k * threshold else "TRIGGER"), found


def elnino(rows: Rows, months: int, years: int, threshold: int) -> Answer:
    values = [value for _, value in rows]
    found: dict[str, int | str] = {
        "rows": len(rows),
        "months": months,
        "years": years,
        "threshold": threshold,
        "newest_at": rows[-1][0],
    }
    if len(rows) < 12 * years + months:
        return "FAIL", found
    anomalies = [
        years * values[i] - sum(values[i - 12 * y] for y in range(1, years + 1))
        for i in range(len(rows) - months, len(rows))
    ]
    over = sum(anomaly > years * threshold for anomaly in anomalies)
    found |= {"over": over, "least": min(anomalies), "most": max(anomalies)}
    if over < months:
        return "PASS", found
    return ("ESCALATE" if min(anomalies) > 2 * years * threshold else "TRIGGER"), found


def inflation(rows: Rows, quarters: int, threshold: int) -> Answer:
    values = [value for _, value in rows]
    found: dict[str, int | str] = {
        "rows": len(rows),
        "quarters": quarters,
        "threshold": threshold,
        "newest_at": rows[-1][0],
    }
    if len(rows) < quarters + 4:
        return "FAIL", found

    def faster(index: int, rate: int) -> bool:
        return 10_000 * (values[index] - values[index - 4]) > rate * values[index - 4]

    over = sum(faster(index, threshold) for index in range(len(rows) - quarters, len(rows)))
    found |= {"newest": values[-1], "year_before": values[-5], "over": over}
    if over < quarters:
        return "PASS", found
    return ("ESCALATE" if faster(len(rows) - 1, 2 * threshold) else "TRIGGER"), found


def outbreak(rows: Rows, k: int, percent: int, least: int) -> Answer:
    values = [value for _, value in rows]
    found: dict[str, int | str] = {
        "rows": len(rows),
        "k": k,
        "percent": percent,
        "least": least,
        "newest": values[-1],
        "newest_at": rows[-1][0],
    }
    if len(rows) < k + 1:
        return "FAIL", found
    found |= {"before": sum(values[-k - 1 : -1]), "total": sum(values)}

    def surge(index: int) -> bool:
        enough = index >= k and values[index] >= least
        return enough and 100 * k * values[index] > percent * sum(values[index - k : index])

    if not surge(len(rows) - 1):
        return "PASS", found
    return ("ESCALATE" if surge(len(rows) - 2) else "TRIGGER"), found


REFERENCE: dict[str, Callable[..., Answer]] = {
    "flood": flood,
    "drought": drought,
    "elnino": elnino,
    "inflation": inflation,
    "health_outbreak": outbreak,
}


def run(name: str, *inputs: bytes) -> RunResult:
    return ENGINE.run(clause(name), inputs, BOUNDS)


def compare(name: str, rows: Rows, *values: int) -> str:
    """Run clause and reference, hold them equal, and return the outcome."""
    result = run(name, text(rows), parameters(*values))
    outcome, found = REFERENCE[name](rows, *values)
    assert (result.fault, result.outcome) == (None, outcome), result.detail
    assert json.loads(result.output) == found
    return outcome


@pytest.mark.parametrize(
    ("name", "series", "windows", "values"),
    [
        ("flood", "nile", (1, 2, 10, 30), (1100,)),
        ("drought", "nile", (4, 5, 10, 30), (5, 850)),
        ("elnino", "elnino", (60, 130, 240), (3, 10, 80)),
        ("inflation", "cpi", (6, 8, 20, 60), (3, 400)),
        ("health_outbreak", "cholera", (3, 7, 8, 20, 43), (5, 200, 5)),
        ("health_outbreak", "crimea", (3, 5, 8, 24), (3, 150, 100)),
    ],
)
def test_a_clause_says_what_a_plain_program_says_on_all_windows_of_real_data(
    name: str, series: str, windows: tuple[int, ...], values: tuple[int, ...]
) -> None:
    rows = observations.load(series).rows
    outcomes = {
        compare(name, rows[first : first + width], *values)
        for width in windows
        for first in range(len(rows) - width + 1)
    }
    assert outcomes == {"PASS", "FAIL", "TRIGGER", "ESCALATE"}, "the real data shows every outcome"


def series(low: int, high: int) -> st.SearchStrategy[Rows]:
    """Return series of up to 80 consecutive months."""
    values = st.lists(st.integers(low, high), min_size=1, max_size=80)
    return values.map(lambda row: tuple((f"{1900 + i // 12}-{i % 12 + 1:02d}", value) for i, value in enumerate(row)))


LARGE = 10**12 - 1


@given(series(-LARGE, LARGE) | series(-3, 3), st.integers(-LARGE, LARGE) | st.integers(-3, 3))
def test_flood_agrees_on_any_series(rows: Rows, threshold: int) -> None:
    compare("flood", rows, threshold)


@given(series(-LARGE, LARGE) | series(-3, 3), st.integers(1, 20), st.integers(-LARGE, LARGE) | st.integers(-3, 3))
def test_drought_agrees_on_any_series(rows: Rows, k: int, threshold: int) -> None:
    compare("drought", rows, k, threshold)


@given(series(-LARGE, LARGE) | series(-9, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 12))
def test_elnino_agrees_on_any_series(rows: Rows, months: int, years: int, threshold: int) -> None:
    compare("elnino", rows, months, years, threshold)


@given(series(1, LARGE) | series(100, 120), st.integers(1, 10), st.integers(0, 3000))
def test_inflation_agrees_on_any_series(rows: Rows, quarters: int, threshold: int) -> None:
    compare("inflation", rows, quarters, threshold)


@given(series(0, 10**9) | series(0, 9), st.integers(1, 10), st.integers(100, 1000), st.integers(0, 9))
def test_outbreak_agrees_on_any_series(rows: Rows, k: int, percent: int, least: int) -> None:
    compare("health_outbreak", rows, k, percent, least)


GOOD = {
    "flood": (b"1871,5\n1872,7\n", b"6\n"),
    "drought": (b"1871,5\n1872,7\n", b"2\n6\n"),
    "elnino": (b"1871-01,5\n1871-02,7\n", b"1\n1\n6\n"),
    "inflation": (b"1871-03,5\n1871-06,7\n", b"1\n6\n"),
    "health_outbreak": (b"1871-03,5\n1871-06,7\n", b"1\n100\n6\n"),
}
BAD_ROWS = (
    b"",
    b"\n",
    b"1871,5",
    b"1871,5\r\n",
    b"1871, 5\n",
    b"1871,+5\n",
    b"1871,05\n",
    b"1871,-0\n",
    b"1871,-\n",
    b"1871,\n",
    b"1871,5.0\n",
    b"1871,1000000000000\n",
    b"1871;5\n",
    b"1871,5,6\n",
    b"187,5\n",
    b"-871,5\n",
    b"1871-01-001,5\n",
    b"year,5\n",
    b"1871,5\n\n",
    b"\xef\xbb\xbf1871,5\n",
    b"1871,\xd9\xa5\n",
)


@pytest.mark.parametrize("name", REFERENCE)
def test_anything_but_rows_and_parameters_is_an_input_error(name: str) -> None:
    rows, values = GOOD[name]
    assert run(name, rows, values).fault is None
    for bad in BAD_ROWS:
        assert run(name, bad, values).fault == "input_error", bad
        assert run(name, rows + bad if bad else bad, values).fault == "input_error", bad
    for bad in (b"", b"\n", values + b"1\n", values[:-1], values.partition(b"\n")[2], b"x" + values, b" " + values):
        assert run(name, rows, bad).fault == "input_error", bad
    assert run(name, rows).fault == "input_error"
    assert run(name).fault == "input_error"
    assert run(name, rows, values, b"more").fault == "input_error"


@pytest.mark.parametrize(
    ("name", "rows", "values"),
    [
        ("drought", b"1871,5\n", b"0\n6\n"),
        ("drought", b"1871,5\n", b"1001\n6\n"),
        ("elnino", b"1871-01,5\n", b"0\n1\n6\n"),
        ("elnino", b"1871-01,5\n", b"1\n51\n6\n"),
        ("elnino", b"1871-01,5\n", b"1\n1\n0\n"),
        ("elnino", b"1871,5\n", b"1\n1\n6\n"),
        ("elnino", b"".join(b"1871-%02d,5\n" % month for month in range(1, 14)), b"1\n1\n6\n"),
        ("inflation", b"1871-03,0\n", b"1\n6\n"),
        ("inflation", b"1871-03,5\n", b"1\n-1\n"),
        ("health_outbreak", b"1871,-1\n", b"1\n100\n6\n"),
        ("health_outbreak", b"1871,1000000001\n", b"1\n100\n6\n"),
        ("health_outbreak", b"1871,1\n", b"1\n99\n6\n"),
    ],
)
def test_values_outside_what_a_clause_takes_are_input_errors(name: str, rows: bytes, values: bytes) -> None:
    assert run(name, rows, values).fault == "input_error"


def test_the_longest_input_is_read_and_one_row_more_is_an_input_error() -> None:
    rows = b"1871,5\n" * 8192
    result = run("flood", rows, b"4\n")
    assert (result.outcome, json.loads(result.output)["above"]) == ("ESCALATE", 8192)
    assert run("flood", rows + b"1871,5\n", b"4\n").fault == "input_error"
    assert run("flood", b"1871-01-01,-99999999999\n" * 6000, b"4\n").fault == "input_error"


@given(st.text(alphabet="0123456789-,\n", max_size=12))
def test_the_parser_takes_exactly_its_grammar(line: str) -> None:
    body = line.encode() + b"\n"
    accepted = re.fullmatch(rb"([0-9][0-9-]{3,9},(0|-?[1-9][0-9]{0,11})\n)+", body) is not None
    assert (run("flood", body, b"0\n").fault is None) == accepted
