"""The machine that a number was measured on; without it a number says nothing."""

import os
import platform
from pathlib import Path
from typing import Any

import psycopg

_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers")


def describe_machine() -> dict[str, Any]:
    """Return processor, usable cores, memory in bytes, kernel and Python."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        "cores": _usable_cores(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def load_average() -> float:
    """Return the load of the last minute: taken before a run, it tells whether the machine was quiet."""
    return round(os.getloadavg()[0], 2)


def describe_database(connection: psycopg.Connection[Any], data_dir: Path) -> dict[str, Any]:
    """Return the server's version, the settings that durability rests on, and the file system below its data."""
    shown = {name: _show(connection, name) for name in _SETTINGS}
    return {"postgresql": _show(connection, "server_version"), **shown, "file_system": file_system(data_dir)}


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system that holds a path, or `unknown`: on tmpfs, fsync costs nothing."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return "unknown"
    holders = {*path.resolve().parents, path.resolve()}
    found = [(len(fields[1]), at, fields[2]) for at, fields in enumerate(lines) if Path(_plain(fields[1])) in holders]
    return max(found)[2] if found else "unknown"  # the longest mount point; the last one mounted there


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _show(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row else "unknown"


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _plain(mount_point: str) -> str:
    """Undo the octal escapes of /proc/self/mounts: a space is a backslash and 040."""
    return mount_point.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\012", "\n").replace(r"\134", "\\")
