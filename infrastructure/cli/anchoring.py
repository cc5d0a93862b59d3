"""Commands of the anchor log: run, status, open, witnesses, thaw; and trust export."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from domain.time import SECOND_MS
from domain.transparency.anchor_slots import SlotKeys
from infrastructure.anchors.cosigned import Standing, WitnessRecords
from infrastructure.anchors.exporting import cosigned_checkpoint, openings
from infrastructure.anchors.keys import anchor_log_origin
from infrastructure.anchors.openings import RoundRange
from infrastructure.anchors.places import anchor_tiles, anchors_locked, journal_of
from infrastructure.anchors.publisher import AnchorPublisher, Turn
from infrastructure.anchors.rounds import Rounds
from infrastructure.anchors.running import keep_cadence
from infrastructure.anchors.thawing import thaw
from infrastructure.anchors.trust import log_trust, trust_policy, write_trust
from infrastructure.anchors.witnesses import WITNESSES, configured, read_witnesses
from infrastructure.audit.bundle_openings import opening_path
from infrastructure.cli.output import GOOD, WARNING, result, say
from infrastructure.cli.session import ledger_at
from infrastructure.commands.loading import find_log
from infrastructure.publish.places import floors_of
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.building import building


def run(data_dir: Path, every_s: int, rounds: int | None, *, at_once: bool, as_json: bool) -> int:
    """Keep the cadence until interrupted, or for a number of rounds; return the exit code."""
    troubles: list[str] = []

    def tell(line: str) -> None:
        troubles.append(line)
        say(line)

    with ledger_at(data_dir) as ledger:
        publisher = AnchorPublisher(ledger, read_witnesses(data_dir), tell=tell)

        def told(turn: Turn) -> None:
            troubles.clear()
            if not as_json and turn.made is not None:
                by = f", cosigned by {', '.join(turn.cosigned_by)}" if turn.cosigned_by else ""
                say(f"round {turn.made.index}{by}")

        last = keep_cadence(publisher, every_s * SECOND_MS, rounds=rounds, at_once=at_once, told=told)
    members = {
        "round": None if last.made is None else last.made.index,
        "size": last.published.size,
        "root": last.published.root.hex(),
        "cosigned_by": list(last.cosigned_by),
    }
    result(members, as_json=as_json, lines=[f"{last.published.origin} at size {last.published.size}"])
    return GOOD


def status(data_dir: Path, *, as_json: bool) -> int:
    """Show how the anchor log stands; return the exit code: a warning where it is frozen or disputed."""
    with ledger_at(data_dir) as ledger:
        origin, newest = anchor_log_origin(ledger), Rounds(ledger.datastore).newest()
        published = anchor_tiles(ledger, origin).checkpoint()
        records = WitnessRecords(ledger.datastore)
        cosigned, disputes, standings = records.newest(), records.disputes(), records.standings()
        frozen, now_ms = floors_of(ledger).frozen(origin), ledger.clock.now_ms()
    asked = [_standing(one.name, standings.get(one.name)) for one in configured(read_witnesses(data_dir))]
    members: dict[str, Any] = {
        "origin": origin,
        "rounds": 0 if newest is None else newest.index + 1,
        "seconds_since_last": None if newest is None else (now_ms - newest.at_ms) // SECOND_MS,
        "published": None if published is None else published.size,
        "quorum_at": cosigned.checkpoint.size if cosigned is not None and cosigned.quorum else None,
        "frozen": frozen,
        "witnesses": asked,
        "disputes": [{"witness": it.witness, "found": it.found.value, "size": it.size} for it in disputes],
    }
    lines = [
        f"{origin}: {members['rounds']} rounds, published {members['published']}, quorum at {members['quorum_at']}",
        *([f"FROZEN: {frozen}"] if frozen else []),
        *(_line(one) for one in asked),
        *(f"  {it.witness} {it.found}: it saw size {it.size}" for it in disputes),
    ]
    result(members, as_json=as_json, lines=lines)
    return WARNING if frozen or disputes else GOOD


def open_rounds(data_dir: Path, tenant: str, out: Path, rounds: tuple[int, int] | None, *, as_json: bool) -> None:
    """Write openings as files."""
    with ledger_at(data_dir) as ledger:
        log, cosigned = find_log(ledger, tenant), cosigned_checkpoint(ledger)
        count, size = 0, 0 if cosigned is None else cosigned.checkpoint.size
        with building(out, private=True) as directory:
            if cosigned is not None:
                for opening in openings(ledger, log, cosigned, chosen(rounds)):
                    (directory / Path(opening_path(opening.round_index)).name).write_bytes(opening.to_bytes())
                    count += 1
    members = {"origin": log.origin, "openings": count, "anchor_size": size, "out": str(out)}
    result(members, as_json=as_json, lines=[f"{count} openings of {log.origin} at anchor size {size} in {out}"])


def witnesses(data_dir: Path, *, as_json: bool) -> None:
    """Show who is asked."""
    policy = read_witnesses(data_dir)
    with ledger_at(data_dir) as ledger:
        standings = WitnessRecords(ledger.datastore).standings()
    asked = [
        {**_standing(one.name, standings.get(one.name)), "url": one.url, "keys": [str(key) for key in one.keys]}
        for one in configured(policy)
    ]
    lines = [_line(one) for one in asked] or [f"no witness is configured; name some in {data_dir / WITNESSES}"]
    result({"witnesses": asked, "quorum": policy.quorum}, as_json=as_json, lines=[*lines, f"quorum {policy.quorum}"])


def thaw_anchors(data_dir: Path, source: Path | None, *, as_json: bool) -> None:
    """Thaw the anchor log."""
    with ledger_at(data_dir, thawing=True) as ledger, anchors_locked(ledger):
        origin = anchor_log_origin(ledger)
        thawed = thaw(
            Rounds(ledger.datastore),
            floors_of(ledger),
            TileDirectory(source) if source else anchor_tiles(ledger, origin),
            journal_of(ledger),
            SlotKeys(ledger.keyring.platform_secrets().anchor),
            origin,
            at_ms=ledger.clock.now_ms(),
        )
    members = {"restored": thawed.restored, "closed": list(thawed.closed)}
    lines = [f"{thawed.restored} rounds restored"]
    if thawed.closed:
        lines.append(f"{len(thawed.closed)} of them can't be opened: the journal does not know what they commit to")
    result(members, as_json=as_json, lines=lines)


def export_trust(data_dir: Path, tenant: str | None, out: Path, *, as_json: bool) -> None:
    """Write a policy, and beside it the further keys of a log."""
    configured_witnesses = read_witnesses(data_dir)
    with ledger_at(data_dir) as ledger:
        log = None if tenant is None else find_log(ledger, tenant)
        policy = trust_policy(ledger, configured_witnesses, log)
        trust = None if log is None else log_trust(ledger, log)
    written = write_trust(out, policy, trust)
    members = {
        "origin": None if trust is None else trust.origin,
        "files": [str(path) for path in written],
        "witnesses": len(configured(configured_witnesses)),
        "quorum": policy.quorum,
    }
    lines = [f"policy   {written[0]}  quorum {policy.quorum}"]
    lines += [f"keys     {path}  for the log's owner and its auditors alone" for path in written[1:]]
    result(members, as_json=as_json, lines=lines)


def chosen(rounds: tuple[int, int] | None) -> RoundRange | None:
    """Return the range of rounds that was asked for."""
    return None if rounds is None else RoundRange(*rounds)


def _standing(name: str, standing: Standing | None) -> dict[str, Any]:
    if standing is None:
        return {"name": name, "cosigned": 0, "at": None, "trouble": "never asked"}
    at = (
        datetime.fromtimestamp(standing.at_ms / SECOND_MS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if standing.size
        else None
    )
    return {"name": name, "cosigned": standing.size, "at": at, "trouble": standing.trouble}


def _line(one: dict[str, Any]) -> str:
    last = f"cosigned size {one['cosigned']} at {one['at']}" if one["at"] else "has cosigned nothing"
    return f"  {one['name']} {last}" + (f"; {one['trouble']}" if one["trouble"] else "")
