import random
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from infrastructure.audit.anchored import verify_anchored
from infrastructure.audit.replay import replay_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli.anchored_auditing import expectations, keys_from_outside
from infrastructure.demo.cast import MEMBERS, NODES
from infrastructure.demo.run import DemoResult
from infrastructure.keys.entry import parse_entry
from infrastructure.postgres.postmaster import is_running, read_postmaster
from infrastructure.tlog.reader import read_entries
from tests.demo.conftest import Played, play
from tests.demo.story import story

KINDS = {
    "clause",
    "credential",
    "domain_beside_trigger",
    "evidence",
    "in_country",
    "independent_attestations",
    "maximum_bounds",
    "no_colocation",
    "nodes",
    "operators",
    "validity",
}


def test_a_result_has_exactly_the_members_that_others_rely_on() -> None:
    expected = "tenants nodes submitted executed cacs faulted reauthorised events denied verified bundles seconds"
    assert [field.name for field in fields(DemoResult)] == expected.split()


def test_the_cast_spans_jurisdictions_countries_operators_and_vendors() -> None:
    assert len({member.jurisdiction for member in MEMBERS}) >= 3
    assert len({member.dao for member in MEMBERS}) >= 3
    assert len({node.country for node in NODES}) >= 3
    assert len({node.operator for node in NODES}) == len(NODES)
    assert len({node.vendor for node in NODES}) >= 3


def test_every_kind_of_rule_denies_and_says_what_it_needed(played: Played) -> None:
    assert set(played.result.denied) == KINDS
    assert all(f"  {rule} ({count}): " in played.summary for rule, count in played.result.denied.items())
    assert "provisioning gate, credential" in played.words
    assert "credential gate, credential" in played.words


def test_faults_are_held_until_enough_persons_sign(played: Played) -> None:
    assert (played.result.faulted, played.result.reauthorised) == (3, 2)
    assert "alone may not let NileBasin/EGY's run go on: 1 of 2 signatures needed" in played.words
    assert "re-authorised: NileBasin/EGY, attempt 2, by 2 signature(s)" in played.words


def test_contention_quorums_and_priority_are_seen(played: Played) -> None:
    assert "quorum: 3 independent enclaves of NileBasin/EGY agree on" in played.words
    assert "quorum: 2 independent enclaves of OceanWatch/PER agree on" in played.words
    order = next(line for line in played.words.splitlines() if "placed in this order:" in line)
    assert order.endswith("3 Planning")
    assert " waits for a place" in played.summary


def test_counts_agree_with_each_other(played: Played) -> None:
    result = played.result
    assert result.verified
    assert result.cacs == result.executed - result.faulted
    assert result.events > 10 * result.executed
    assert result.bundles.keys() == {member.name for member in MEMBERS}


def test_bundles_verify_and_replay_where_nothing_of_the_ledger_runs(played: Played) -> None:
    for path in map(Path, played.result.bundles.values()):
        assert path.is_absolute()
        verdict = verify_bundle(path)
        assert verdict.ok
        assert replay_bundle(path).size == verdict.size


def test_everybody_is_shown_one_history_and_a_witness_stands_behind_it(played: Played) -> None:
    assert played.summary.count("one history in rounds 0..7") == len(MEMBERS) + 1
    (run,) = played.top.glob("run-*")
    for path in map(Path, played.result.bundles.values()):
        expected = expectations(run / "trust" / f"{path.name}.policy", [])
        verdict, anchored = verify_anchored(path, verify_bundle(path, log_keys=keys_from_outside(expected)), expected)
        assert anchored is not None
        assert verdict.trust == "verified"
        assert anchored.witnessing.independent
        assert anchored.covered == (verdict.size or 0) - 1, "only the disclosure itself came after the last round"


def test_nothing_is_left_running(played: Played) -> None:
    for cluster in played.top.glob("run-*/**/PG_VERSION"):
        found = read_postmaster(cluster.parent)
        assert found is None or not is_running(cluster.parent, found)


def test_a_bundle_fails_after_any_byte_was_changed(played: Played, tmp_path: Path) -> None:
    bundle = Path(played.result.bundles["PriceWatch/USA"])
    chance = random.Random(7)
    for original in sorted(path for path in bundle.rglob("*") if path.is_file()):
        copy = tmp_path / "copy"
        shutil.copytree(bundle, copy)
        changed = copy / original.relative_to(bundle)
        data = bytearray(changed.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        changed.write_bytes(bytes(data))
        verdict = verify_bundle(copy)
        assert not verdict.ok, original.name
        assert verdict.first_error
        shutil.rmtree(copy)


def test_two_demos_of_one_seed_tell_the_same_story(played: Played, played_again: Played) -> None:
    one, other = story(played.result), story(played_again.result)
    assert len(one) > 500
    assert one == other
    comparable = ("tenants", "submitted", "executed", "cacs", "faulted", "reauthorised", "events", "denied")
    first, second = asdict(played.result), asdict(played_again.result)
    assert {name: first[name] for name in comparable} == {name: second[name] for name in comparable}
    assert played.words.count("\n") == played_again.words.count("\n")


def test_two_demos_of_one_seed_share_no_iv_and_no_key(played: Played, played_again: Played) -> None:
    one, other = (
        {parse_entry(entry).iv for path in result.bundles.values() for entry in read_entries(Path(path))}
        for result in (played.result, played_again.result)
    )
    assert one.isdisjoint(other)
    tags = [
        {parse_entry(entry).tag for path in result.bundles.values() for entry in read_entries(Path(path))}
        for result in (played.result, played_again.result)
    ]
    assert tags[0].isdisjoint(tags[1])


def test_demos_of_two_seeds_differ(played: Played, played_otherwise: Played) -> None:
    assert story(played.result) != story(played_otherwise.result)
    assert set(played_otherwise.result.denied) == KINDS
    assert played_otherwise.result.verified


@pytest.mark.slow
def test_the_whole_demo_reaches_its_minima(tmp_path: Path) -> None:
    result = play(tmp_path, 1, scale=1).result
    assert result.executed >= 200
    assert result.cacs >= 150
    assert result.events >= 1500
