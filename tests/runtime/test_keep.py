"""The worker process: limited, alone with one log, bounded in time, replaced when it fails, gone with its parent."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from domain.bounds import Bounds
from domain.errors import ConflictError, MalformedError, UnavailableError, UnknownError
from infrastructure.demo import observations
from infrastructure.runtime import process
from infrastructure.runtime.frames import MAX_FRAME_BYTES, ProcessEndedError, exchange, pack
from infrastructure.runtime.keep import Keep
from infrastructure.runtime.measurement import runtime_measurement
from infrastructure.runtime.messages import Completed, Faulted
from infrastructure.runtime.pool import KeepPool
from tests.runtime.scenario import ORIGIN, Scenario, clause, hostile

ROWS = observations.text(observations.load("nile").rows)
PARAMETERS = observations.parameters(1000)
ENDLESS = Bounds(memory_bytes=65_536, fuel=10**12, wall_ms=60_000)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def flood() -> Scenario:
    """Return a flood workload over the Nile."""
    return Scenario(clause("flood"), ROWS, PARAMETERS)


def perform(keep: Keep, scenario: Scenario) -> Completed | Faulted:
    """Prepare, run and reset."""
    answer = keep.run(scenario.run(keep.prepare(scenario.prepare())))
    keep.reset(scenario.execution_id)
    return answer


def gone(pid: int, within_s: float = 10) -> bool:
    """Tell whether a process ends in time."""
    due = time.monotonic() + within_s
    while time.monotonic() < due:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_two_processes_give_the_same_outcome_and_fuel() -> None:
    answers = []
    for _ in range(2):
        with Keep(ORIGIN) as keep:
            assert keep.ready.measurement == runtime_measurement()
            answers.append(perform(keep, flood()))
    first, second = answers
    assert isinstance(first, Completed)
    assert isinstance(second, Completed)
    assert (first.outcome, first.fuel_used, first.peak_memory_bytes, first.output_size_bytes) == (
        second.outcome,
        second.fuel_used,
        second.peak_memory_bytes,
        second.output_size_bytes,
    )


@linux_only
def test_the_worker_is_limited_and_inherits_nothing(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_SECRET", "secret")
    with Path(__file__).open() as inherited:
        os.set_inheritable(inherited.fileno(), True)  # noqa: FBT003 - the library takes it by position only
        with Keep("ledger.example/t/6") as other:
            proc = Path(f"/proc/{other.pid}")
            limits = {line[:25].strip(): line[26:].split()[:2] for line in (proc / "limits").read_text().splitlines()}
            assert limits["Max file size"] == ["0", "0"]
            assert limits["Max core file size"] == ["0", "0"]
            assert limits["Max open files"] == ["16", "16"]
            assert limits["Max processes"] == ["0", "0"]
            assert limits["Max data size"][1] != "unlimited"
            if os.access(proc / "environ", os.R_OK):  # not dumpable: root alone may look
                names = {entry.partition(b"=")[0] for entry in (proc / "environ").read_bytes().split(b"\0") if entry}
                assert names <= {b"PYTHONPATH", b"PYTHONDONTWRITEBYTECODE", b"LD_LIBRARY_PATH"}
                files = [entry.readlink() for entry in (proc / "fd").iterdir()]
                assert not any(str(target) == __file__ for target in files)
                assert len(files) == 3
                assert str((proc / "cwd").readlink()).endswith(" (deleted)")
            assert "NoNewPrivs:\t1" in (proc / "status").read_text()
            assert os.getsid(other.pid) == other.pid


@linux_only
def test_an_ordinary_user_cannot_read_the_workers_memory(keep: Keep) -> None:
    assert Path(f"/proc/{keep.pid}/mem").stat().st_uid == 0, "not dumpable: owned by root"


def test_several_executions_wait_at_once_and_faults_touch_only_their_own(keep: Keep) -> None:
    good, bad, late = flood(), Scenario(hostile("trap")), flood()
    prepared = {scenario.execution_id: keep.prepare(scenario.prepare()) for scenario in (good, bad, late)}
    answers = [keep.run(scenario.run(prepared[scenario.execution_id])) for scenario in (bad, late, good)]
    assert [answer.kind for answer in answers] == ["faulted", "completed", "completed"]


def test_what_the_worker_refuses_is_raised_here(keep: Keep) -> None:
    scenario = flood()
    request = scenario.run(keep.prepare(scenario.prepare()))
    with pytest.raises(ConflictError):
        keep.prepare(scenario.prepare())
    with pytest.raises(MalformedError):
        keep.run(request.model_copy(update={"cac": {}}))
    with pytest.raises(UnknownError):
        keep.run(request.model_copy(update={"execution_id": "exec-0x00"}))
    with pytest.raises(UnknownError):
        keep.reset("exec-0x00")
    with pytest.raises(MalformedError, match="longer than"):
        keep.run(request.model_copy(update={"sealed_inputs": (bytes(MAX_FRAME_BYTES),)}))
    with pytest.raises(MalformedError):
        keep.prepare(Scenario(hostile("bad_import")).prepare())
    assert keep.run(request).kind == "completed"


def test_a_refused_module_leaves_its_execution_id_free(keep: Keep) -> None:
    scenario = Scenario(hostile("bad_import"), ROWS, PARAMETERS)
    with pytest.raises(MalformedError):
        keep.prepare(scenario.prepare())
    scenario.module = clause("flood")
    assert perform(keep, scenario).kind == "completed"


def test_a_worker_killed_during_a_run_is_a_trap_and_is_replaced(keep: Keep) -> None:
    doomed, waiting = Scenario(hostile("infinite_loop"), bounds=ENDLESS), flood()
    request = doomed.run(keep.prepare(doomed.prepare()))
    lost = waiting.run(keep.prepare(waiting.prepare()))
    first = keep.pid
    killer = threading.Timer(0.1, os.kill, (first, signal.SIGKILL))
    killer.start()
    answer = keep.run(request)
    killer.join()
    assert isinstance(answer, Faulted)
    assert (answer.fault, answer.detail) == ("trap", "the enclave's process ended during the run")
    assert keep.pid != first
    never_ran = keep.run(lost)
    assert isinstance(never_ran, Faulted)
    assert never_ran.detail == "the enclave's process ended before it ran"
    for scenario in (doomed, waiting):
        keep.reset(scenario.execution_id)
        with pytest.raises(ConflictError):
            keep.prepare(scenario.prepare())
    assert perform(keep, flood()).kind == "completed"


def test_a_worker_that_hangs_is_killed_at_its_deadline() -> None:
    with Keep(ORIGIN, margin_ms=200) as keep:
        scenario = Scenario(
            clause("flood"), ROWS, PARAMETERS, bounds=Bounds(memory_bytes=1_048_576, fuel=10**6, wall_ms=1)
        )
        request = scenario.run(keep.prepare(scenario.prepare()))
        hung = keep.pid
        os.kill(hung, signal.SIGSTOP)
        answer = keep.run(request)
        assert isinstance(answer, Faulted)
        assert answer.fault == "deadline"
        assert gone(hung)
        assert perform(keep, flood()).kind == "completed"


def test_a_worker_killed_while_it_waits_is_replaced_when_it_is_next_asked(keep: Keep) -> None:
    scenario = flood()
    keep.prepare(scenario.prepare())
    os.kill(keep.pid, signal.SIGKILL)
    with pytest.raises(UnavailableError):
        keep.prepare(flood().prepare())
    keep.reset(scenario.execution_id)
    assert perform(keep, flood()).kind == "completed"


def test_a_deadline_in_the_clause_leaves_the_worker_alive(keep: Keep) -> None:
    bounds = Bounds(memory_bytes=65_536, fuel=10**12, wall_ms=30)
    pid = keep.pid
    answer = perform(keep, Scenario(hostile("infinite_loop"), bounds=bounds))
    assert isinstance(answer, Faulted)
    assert (answer.fault, keep.pid) == ("deadline", pid)


@linux_only
def test_the_worker_ends_with_its_parent_even_during_a_run() -> None:
    script = (
        "import runpy, sys, threading\n"
        "from domain.bounds import Bounds\n"
        "from infrastructure.runtime.keep import Keep\n"
        "given = runpy.run_path(sys.argv[1])\n"
        "bounds = Bounds(memory_bytes=65_536, fuel=10**12, wall_ms=60_000)\n"
        "scenario = given['Scenario'](given['hostile']('infinite_loop'), bounds=bounds)\n"
        "keep = Keep(given['ORIGIN'])\n"
        "request = scenario.run(keep.prepare(scenario.prepare()))\n"
        "threading.Thread(target=keep.run, args=(request,), daemon=True).start()\n"
        "print(keep.pid, flush=True)\n"
        "threading.Event().wait()\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).with_name("scenario.py"))],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(root)},
        cwd=root,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        pid = int(parent.stdout.readline())
        time.sleep(0.1)
        assert not gone(pid, within_s=0.1)
        parent.kill()
    assert gone(pid)


def test_a_closed_keep_says_so_and_its_worker_is_gone() -> None:
    keep = Keep(ORIGIN)
    pid = keep.pid
    keep.close()
    keep.close()
    assert gone(pid)
    with pytest.raises(UnavailableError):
        keep.prepare(flood().prepare())


def test_a_keep_that_cannot_start_says_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(UnavailableError, match="cannot start"):
        Keep(ORIGIN)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnavailableError, match="doesn't start"):
        Keep(ORIGIN)
    assert list(tmp_path.iterdir()) == []


def test_each_log_has_a_process_of_its_own() -> None:
    with KeepPool() as pool:
        one, two = pool.keep(ORIGIN), pool.keep("ledger.example/t/6")
        assert one is pool.keep(ORIGIN)
        assert one.pid != two.pid
        with pytest.raises(MalformedError, match="another log"):
            two.prepare(flood().prepare())
        pids = (one.pid, two.pid)
    assert all(gone(pid) for pid in pids)
    with pytest.raises(UnavailableError):
        pool.keep(ORIGIN)


def test_a_frame_is_bounded_and_no_exchange_waits_for_ever() -> None:
    with pytest.raises(ValueError, match="at most"):
        pack(bytes(MAX_FRAME_BYTES + 1))
    worker = process.start("infrastructure.runtime.worker")
    try:
        with pytest.raises(ProcessEndedError):
            exchange(worker, b"not a message", within_ms=20_000)
    finally:
        process.end(worker)
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as silent:
        with pytest.raises(TimeoutError):
            exchange(silent, bytes(1_000_000), within_ms=50)
        silent.kill()
