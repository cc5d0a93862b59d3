"""What if: a workload file through the cell's own decisions."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from domain.errors import MalformedError, UnavailableError
from infrastructure.cli.output import GOOD, WRONG, progress, result
from infrastructure.simulating.checking import violations
from infrastructure.simulating.governance import Governance, read_governance
from infrastructure.simulating.inputs import read_nodes, read_workloads
from infrastructure.simulating.measuring import summary
from infrastructure.simulating.run import Placement, run
from infrastructure.simulating.shapes import jobs_of


def simulate(
    nodes: Path, workloads: Path, policies: Path | None, placements: Path | None, plot: Path | None, *, as_json: bool
) -> int:
    """Simulate; return the exit code: 1 if a placement breaks a rule, which is a fault of the program."""
    for out in (placements, plot):
        if out is not None and not out.absolute().parent.is_dir():
            raise MalformedError(f"cannot write {out}: there is no such directory")  # not only after a long run
        if out is not None and any(out.absolute() == given.absolute() for given in (nodes, workloads)):
            raise MalformedError(f"{out} is read: name another file to write")
    governance = Governance() if policies is None else read_governance(policies)
    cell = read_nodes(nodes)
    if not governance.overflow:
        cell = tuple(node for node in cell if node.pool == "primary")
    jobs = jobs_of(read_workloads(workloads), governance.levels, governance.policies)
    with progress("workloads arrived", len(jobs)) as show:
        outcome = run(cell, jobs, governance, None if show is None else lambda arrived, _: show(arrived))
    broken = violations(outcome.placements, [node.facts() for node in cell], governance.policies)
    if placements is not None:
        _write(placements, _lines(outcome.placements))
    if plot is not None:
        from infrastructure.simulating.plotting import plot as draw  # noqa: PLC0415 - as its library is

        _write(plot, draw(jobs, outcome, sum(node.slots for node in cell)))
    members = {**summary(cell, jobs, outcome, broken), "cpu_seconds": round(time.process_time(), 3)}
    result(members, as_json=as_json, lines=_told(members))
    return WRONG if broken else GOOD


def _write(path: Path, data: bytes) -> None:
    """Write a file, over what an earlier run may have left there."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from None


def _lines(placements: Iterable[Placement]) -> bytes:
    return b"".join(
        json.dumps(
            {
                "workload": placement.job.id,
                "execution": placement.execution,
                "attempt": placement.attempt,
                "node": placement.node,
                "start_ms": placement.start_ms,
                "end_ms": placement.end_ms,
            },
            ensure_ascii=False,
        ).encode()
        + b"\n"
        for placement in placements
    )


def _told(members: dict[str, Any]) -> list[str]:
    denied = ", ".join(f"{rule} {count}" for rule, count in members["denied"].items())
    broken = ", ".join(f"{rule} {count}" for rule, count in members["broken"].items())
    ideal_ms = members["ideal_makespan_ms"]
    ratio = f"{members['makespan_ms'] / ideal_ms:.3f} times the ideal {ideal_ms:,.0f}" if ideal_ms else "of nothing"
    rows = [("", members["waits"]["all"])]
    rows += [(f"level {name}", found) for name, found in members["waits"]["by_level"].items()]
    rows += [(f"dao {name}", found) for name, found in _longest(members["waits"]["by_dao"])]
    return [
        f"workloads   {members['workloads']:,}",
        f"placed      {members['placed']:,}, of them held after a fault {members['held']:,}",
        f"denied      {sum(members['denied'].values()):,}" + (f" ({denied})" if denied else ""),
        f"unplaced    {members['unplaced']:,}",
        f"makespan    {members['makespan_ms']:,} ms, {ratio} ms",
        f"borrowed    {members['borrowed_slot_ms']:,} slot-ms",
        f"violations  {members['violations']:,}" + (f" ({broken})" if broken else ""),
        f"decisions   {members['decisions']:,} in {members['cpu_seconds']:.1f} s of processor time",
        "",
        f"{'waits in ms':<32}{'placed':>9}{'mean':>12}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}",
        *(_row(name or "all", found) for name, found in rows if found["count"]),
    ]


def _longest(daos: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the ten DAOs that waited longest; `--json` has them all."""
    return sorted(daos.items(), key=lambda item: (-item[1]["p99_ms"], item[0]))[:10]


def _row(name: str, found: dict[str, Any]) -> str:
    numbers = (found["p50_ms"], found["p90_ms"], found["p99_ms"], found["max_ms"])
    shown = "".join(f"{number:>10,}" for number in numbers)
    return f"{name[:31]:<32}{found['count']:>9,}{found['mean_ms']:>12,.1f}{shown}"
