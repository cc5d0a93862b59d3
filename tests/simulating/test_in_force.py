"""The directory that `--policies` names: what is read, what is refused, and the views that come of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import MalformedError
from domain.policies.kinds import Policy
from infrastructure.simulating.governance import DEFAULT_LEVELS, Governance, read_governance
from infrastructure.simulating.measuring import summary
from tests.simulating.files import node, simulate, told, workload

QUOTAS = {
    "root": {"slots": {"nominal": 8, "lend": 8}},
    "scopes": [
        {"name": "Treaty", "slots": {"nominal": 4, "borrow": 2, "lend": 4}},
        {"name": "Germany", "parent": "Treaty", "weight": 3},
    ],
    "tenants": [
        {"tenant": "ClimateDAO/DEU", "parent": "Germany", "slots": {"nominal": 1, "borrow": 1}},
        {"tenant": "Other/KEN", "memory_bytes": {"nominal": 5}},
    ],
}
TOKENS = {"tenants": [{"tenant": "ClimateDAO/DEU", "tokens": 1, "period_ms": 10_000, "burst": 2}]}


def directory(path: Path, **files: Any) -> Path:
    """Make a directory of JSON files by the names before `.json`; `_` stands for a dash."""
    path.mkdir()
    for name, value in files.items():
        text = value if isinstance(value, str) else json.dumps(value)
        (path / f"{name.replace('_', '-')}.json").write_text(text)
    return path


def test_an_empty_directory_is_as_none(tmp_path: Path) -> None:
    assert read_governance(directory(tmp_path / "p")) == Governance()
    assert Governance().levels == DEFAULT_LEVELS


def test_every_file_is_read(tmp_path: Path) -> None:
    rules = {"rules": [{"kind": "in_country"}]}
    found = read_governance(
        directory(
            tmp_path / "p",
            ClimateDAO_DEU=rules,
            Two_Words_fra=rules,
            levels={"levels": ["Planning", "Disaster"]},
            quotas=QUOTAS,
            tokens=TOKENS,
            overflow={"overflow": False},
        )
    )
    policy = Policy.model_validate_json(json.dumps(rules))
    assert found.policies == {("ClimateDAO", "DEU"): policy, ("Two-Words", "FRA"): policy}
    assert found.levels == ("Planning", "Disaster")
    assert [(scope.name, scope.parent, scope.weight) for scope in found.scopes] == [
        ("Treaty", "root", 1),
        ("Germany", "Treaty", 3),
    ]
    assert found.root is not None
    assert found.root.slots is not None
    assert found.root.slots.lend == 8
    assert found.limits["ClimateDAO", "DEU"].parent == "Germany"
    assert found.limits["Other", "KEN"].slots is None
    assert found.tokens["ClimateDAO", "DEU"].burst == 2
    assert not found.overflow


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"notes": {}}, "is none of"), ({"XXX_YYY": {"rules": []}}, "jurisdiction"),
        ({"A_DEU": {"rules": [{"kind": "nice"}]}}, "A-DEU.json: policy is malformed"),
        ({"A_WHO": {"rules": [{"kind": "in_country"}]}}, "must name countries"), ({"A_DEU": "{"}, "A-DEU.json"),
        ({"A_DEU": '{"rules": [], "rules": []}'}, "twice"), ({"A_DEU": {"rules": []}, "A_deu": {"rules": []}}, "has a"),
        ({"levels": {"levels": []}}, "levels.json"), ({"levels": ["Disaster"]}, "levels.json"),
        ({"levels": {"levels": ["A", "A"]}}, "named twice"), ({"overflow": {"overflow": 1}}, "overflow.json"),
        ({"tokens": {"tenants": [{**TOKENS["tenants"][0], "rate": 3}]}}, "tokens.json: unknown field"),
        ({"tokens": {"tenants": TOKENS["tenants"] * 2}}, "named twice"),
        ({"tokens": {"tenants": [{**TOKENS["tenants"][0], "tenant": "A"}]}}, "not DAO/JUR"),
        ({"tokens": {"tenants": [{**TOKENS["tenants"][0], "burst": 0}]}}, "burst"),
        ({"quotas": {"scopes": [{"name": "A", "parent": "B"}, {"name": "B"}]}}, "isn't before it"),
        ({"quotas": {"scopes": [{"name": "A"}, {"name": "A"}]}}, "named twice"),
        ({"quotas": {"scopes": [{"name": "root"}]}}, "named twice"),
        ({"quotas": {"tenants": [{"tenant": "A/DEU", "parent": "B"}]}}, "is no scope"),
        ({"quotas": {"tenants": [{"tenant": "A/DEU"}, {"tenant": "A/deu"}]}}, "named twice"),
        ({"quotas": {"root": {"slots": {"nominal": -1}}}}, "quotas.json"),
        ({"quotas": {"root": {"slots": 5}}}, "quotas.json"), ({"quotas": {"limits": {}}}, "unknown field"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_file(tmp_path: Path, files: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        read_governance(directory(tmp_path / "p", **files))


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="cannot read"):
        read_governance(tmp_path / "p")


def test_a_policy_of_the_directory_decides(tmp_path: Path) -> None:
    rules = {"rules": [{"kind": "operators", "forbidden": ["one"]}]}
    governance = read_governance(directory(tmp_path / "p", ClimateDAO_DEU=rules))
    lines = [workload(id="a"), workload(id="b", dao="Other")]
    _, outcome = simulate([node()], lines, governance)
    assert outcome.denied == {"a": "operators"}
    _, outcome = simulate([node(), node(id="n2", operator="two")], lines, governance)
    assert {name: where for name, where, *_ in told(outcome.placements)}["a"] == "n2"


def test_levels_of_the_directory_order(tmp_path: Path) -> None:
    governance = read_governance(directory(tmp_path / "p", levels={"levels": ["Planning"]}))
    names = ("Disaster", "Planning")
    lines = [workload(id=name, level=None, resource_class=f"{name}::Any@v1") for name in names]
    _, outcome = simulate([node(slots=1)], lines, governance)
    assert [name for name, *_ in told(outcome.placements)] == ["Planning", "Disaster"]


def test_what_is_beyond_the_nominal_quota_is_borrowed_as_far_as_it_may_be(tmp_path: Path) -> None:
    governance = read_governance(directory(tmp_path / "p", quotas=QUOTAS))
    lines = [workload(id=str(number)) for number in range(3)]
    _, outcome = simulate([node(slots=8)], lines, governance)
    assert [start_ms for _, _, start_ms, _ in told(outcome.placements)] == [0, 0, 1000]
    assert outcome.borrowed_slot_ms == 1000
    assert outcome.deferrals["quota"] == 1
    _, outcome = simulate([node(slots=8)], lines)
    assert (outcome.borrowed_slot_ms, len(outcome.placements), outcome.deferrals.total()) == (0, 3, 0)


def test_tokens_hold_back_until_the_instant_at_which_they_suffice(tmp_path: Path) -> None:
    governance = read_governance(directory(tmp_path / "p", tokens=TOKENS))
    lines = [workload(id=str(number), runtime_ms=10) for number in range(4)]
    _, outcome = simulate([node(slots=8)], lines, governance)
    assert [start_ms for _, _, start_ms, _ in told(outcome.placements)] == [0, 0, 10_000, 20_000]
    assert outcome.deferrals.keys() == {"bandwidth"}


def test_tokens_that_have_expired_admit_nothing(tmp_path: Path) -> None:
    tokens = {"tenants": [{**TOKENS["tenants"][0], "until_ms": 15_000}]}
    governance = read_governance(directory(tmp_path / "p", tokens=tokens))
    lines = [workload(id=str(number), runtime_ms=10) for number in range(4)]
    jobs, outcome = simulate([node(slots=8)], lines, governance)
    assert [start_ms for _, _, start_ms, _ in told(outcome.placements)] == [0, 0, 10_000]
    assert summary([node()], jobs, outcome, {})["unplaced"] == 1


def test_a_heavier_weight_gets_more(tmp_path: Path) -> None:
    tenants = [{"tenant": f"{dao}/DEU", "weight": weight} for dao, weight in (("Light", 1), ("Heavy", 3))]
    governance = read_governance(directory(tmp_path / "p", quotas={"tenants": tenants}))
    lines = [workload(id=f"{dao}{number}", dao=dao) for number in range(20) for dao in ("Light", "Heavy")]
    _, outcome = simulate([node(slots=4)], lines, governance)
    first = [name for name, _, start_ms, _ in told(outcome.placements) if start_ms < 5000]
    assert sum(name.startswith("Heavy") for name in first) == 15
