"""Stored names outlive code: topics, their bytes, and what a foreign topic may do (nothing)."""

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import message
from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError
from domain.message import Event, event_from, register, topics
from tests.domain import samples, strategies

TOPICS = sorted(topics())
SAMPLES = {event.TOPIC: event for event in samples.SAMPLES}
ROOT = Path(__file__).parents[2]


def test_every_topic_has_exactly_one_sample_and_one_golden_file() -> None:
    assert len(samples.SAMPLES) == len(SAMPLES)
    assert sorted(SAMPLES) == TOPICS
    assert sorted(path.name for path in samples.GOLDEN.iterdir()) == [f"{topic}.json" for topic in TOPICS]


@pytest.mark.parametrize("topic", TOPICS)
def test_the_golden_bytes_of_a_topic_never_change_and_still_read_back(topic: str) -> None:
    stored = samples.golden(topic).read_bytes()
    assert canonical(SAMPLES[topic].payload()) == stored
    assert event_from(topic, parse_canonical(stored)) == SAMPLES[topic]


@given(st.sampled_from(TOPICS).flatmap(lambda topic: strategies.events(topics()[topic])))
def test_an_event_prints_to_canonical_json_and_reads_back_equal(event: Event) -> None:
    printed = canonical(event.payload())
    again = event_from(event.TOPIC, parse_canonical(printed))
    assert again == event
    assert type(again) is type(event)
    assert canonical(again.payload()) == printed


@pytest.mark.parametrize("topic", TOPICS)
def test_an_unknown_member_a_missing_member_and_a_wrong_type_are_refused(topic: str) -> None:
    payload = SAMPLES[topic].payload()
    with pytest.raises(MalformedError, match="does not have its shape"):
        event_from(topic, {**payload, "more": 1})
    with pytest.raises(MalformedError):
        event_from(topic, [payload])
    for name, value in payload.items():
        with pytest.raises(MalformedError):
            event_from(topic, {key: other for key, other in payload.items() if key != name})
        if not isinstance(value, bool):
            with pytest.raises(MalformedError):
                event_from(topic, {**payload, name: True})


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_named_area_fact_version(topic: str) -> None:
    area, fact, version = topic.split(".")
    assert area.isidentifier()
    assert fact.isidentifier()
    assert version.startswith("v")
    assert version[1:].isdecimal()


@given(st.text(max_size=40).filter(lambda topic: topic not in TOPICS))
def test_unknown_topics_are_refused(topic: str) -> None:
    with pytest.raises(MalformedError, match="not known to this program"):
        event_from(topic, {})


def test_a_topic_belongs_to_one_type_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twin(Event):
        TOPIC: ClassVar[str] = "time.ticked.v1"

    with pytest.raises(ValueError, match="registered twice"):
        register(Twin)
    monkeypatch.setattr(message, "_REGISTRY", {})
    register(Twin, Twin)
    assert topics() == {"time.ticked.v1": Twin}


def test_the_registry_is_handed_out_as_a_copy() -> None:
    topics().clear()
    assert sorted(topics()) == TOPICS


@pytest.mark.parametrize("topic", ["this:Value", "antigravity", "os:system", "domain.registry", "__main__:Event"])
def test_a_forged_topic_that_names_a_module_imports_nothing(topic: str) -> None:
    script = (
        "import sys, domain.registry\n"
        "from domain.errors import MalformedError\n"
        "from domain.message import event_from\n"
        "before = set(sys.modules)\n"
        "try:\n"
        "    event_from(sys.argv[1], {})\n"
        "except MalformedError:\n"
        "    assert set(sys.modules) == before, set(sys.modules) - before\n"
        "    print('refused')\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, topic], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "refused\n"


@given(payload=strategies.json_values)
def test_a_payload_of_any_shape_raises_nothing_but_malformed(payload: Any) -> None:
    for topic in TOPICS:
        with pytest.raises(MalformedError):
            event_from(topic, payload)


def test_events_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SAMPLES["time.ticked.v1"].due_ms = 2  # type: ignore[attr-defined]  # the point of the test
