"""Code that has escaped from WebAssembly finds nothing to take: no file, port, process, program or other memory."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from infrastructure.runtime.keep import Keep
from tests.runtime.scenario import ORIGIN

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """
import ctypes, mmap, os, resource, signal, socket, subprocess, sys, threading
from infrastructure.runtime.confinement import confine, shut_off
libc = ctypes.CDLL(None, use_errno=True)
said = shut_off()
held = threading.Event()
threading.Thread(target=held.wait, daemon=True).start()
said += confine(data_bytes=256 << 20)
"""


@cache
def confined() -> str:
    """Return what holds on this machine, in the words of whoever confines itself."""
    code = BEGIN + "print(*said, sep=';')"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def escaped(act: str) -> tuple[int, str]:
    """Run an act in a process that has confined itself; return how it ended and what it says."""
    caught = "except (OSError, ValueError) as error:\n    print(type(error).__name__)\n"
    code = f"{BEGIN}try:\n    {act}\n    print('done')\n{caught}sys.stdout.flush()\nos._exit(0)\n"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    return found.returncode, found.stdout.strip()


@pytest.mark.parametrize(
    "act",
    [
        "open('/etc/passwd')",
        f"open({str(ROOT / 'README.md')!r})",
        "open('/tmp/left-behind', 'w')",
        "os.listdir('/')",
        "os.unlink('/tmp/nothing-there')",
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "os.fork()",
        "os.kill(os.getppid(), signal.SIGTERM)",
        "os.open('/proc/self/mem', os.O_RDWR)",
        "os.memfd_create('x')",
        "os.setuid(0)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))",
        "os.pipe()",
    ],
)
def test_what_reaches_outside_is_refused(act: str) -> None:
    if "no seccomp" in confined() or "no landlock" in confined():
        pytest.skip(f"this kernel has less: {confined()}")
    code, said = escaped(act)
    assert code == 0
    assert said in {"PermissionError", "ValueError"}


@pytest.mark.parametrize(
    "act",
    [
        "os.execv('/bin/true', ['true'])",
        "libc.ptrace(16, os.getppid(), 0, 0)",
        "libc.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0)",
    ],
)
def test_what_only_an_attacker_would_do_ends_the_process(act: str) -> None:
    if "no seccomp" in confined():
        pytest.skip(f"this kernel has less: {confined()}")
    code, said = escaped(act)
    assert (code, said) == (-31, "")  # SIGSYS


def test_computing_goes_on() -> None:
    assert escaped("assert sum(mmap.mmap(-1, 1 << 20)[:10]) == 0; os.urandom(8); held.set()") == (0, "done")


def test_a_keep_says_how_it_is_confined_and_runs_as_nobody_elses_user(keep: Keep) -> None:
    assert keep.ready.confined == tuple(confined().split(";"))
    status = Path(f"/proc/{keep.pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")
    fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
    if "a user of its own" in confined():
        with Keep(ORIGIN) as other:
            theirs = Path(f"/proc/{other.pid}/status").read_text()
        users = fields["Uid"].split()
        assert len(set(users)) == 1
        assert int(users[0]) != os.getuid()
        assert fields["Uid"] not in theirs
    if "no seccomp" not in confined():
        assert fields["Seccomp"] == "2"
    assert fields["NoNewPrivs"] == "1"
    descriptors = Path(f"/proc/{keep.pid}/fd")
    if os.geteuid() == 0:
        assert len(list(descriptors.iterdir())) == 3  # two pipes and the error output that goes nowhere
