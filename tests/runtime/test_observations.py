"""The demo's data is real, names its source, and is in the form that clauses read."""

import re

import pytest

from domain.errors import UnknownError
from infrastructure.demo import observations


def test_every_series_names_source_licence_unit_and_scaling() -> None:
    assert observations.names() == ("cholera", "cpi", "crimea", "elnino", "nile")
    for name in observations.names():
        series = observations.load(name)
        assert all((series.title, series.source, series.licence, series.unit, series.scaling))
        assert "public domain" in series.licence


def test_labels_ascend_and_text_is_what_clauses_read() -> None:
    for name in observations.names():
        rows = observations.load(name).rows
        labels = [label for label, _ in rows]
        assert labels == sorted(set(labels))
        assert re.fullmatch(rb"([0-9][0-9-]{3,9},(0|-?[1-9][0-9]{0,11})\n)+", observations.text(rows))


def test_the_numbers_are_the_published_ones() -> None:
    nile = dict(observations.load("nile").rows)
    assert (len(nile), nile["1871"], nile["1879"], nile["1913"], nile["1970"]) == (100, 1120, 1370, 456, 740)
    assert sum(nile.values()) == 91_935  # the often cited mean of 919.35
    sea = dict(observations.load("elnino").rows)
    assert (len(sea), sea["1950-01"], sea["1997-12"], sea["2010-12"]) == (732, 2311, 2708, 2207)
    prices = dict(observations.load("cpi").rows)
    assert (len(prices), prices["1959-03"], prices["2009-09"]) == (203, 28_980, 216_385)
    attacks = dict(observations.load("cholera").rows)
    assert sum(attacks.values()) == 571  # 616 in the report, 45 of them without a date
    assert dict(observations.load("crimea").rows)["1855-01"] == 2761


def test_an_unknown_series_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownError, match="cholera, cpi"):
        observations.load("../nile")
