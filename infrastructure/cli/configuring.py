"""Settings from a file, and what is in force."""

import os
from dataclasses import dataclass
from pathlib import Path

from infrastructure.cli.output import GOOD, WARNING, result
from infrastructure.settings import Settings, as_environment, from_environment, in_force, read_config


@dataclass(frozen=True, slots=True)
class Taken:
    """What a file set, and the environment from before."""

    file: Settings
    before: dict[str, str]


def take(path: Path) -> Taken:
    """Take a file's settings into this process's environment, where that does not set them itself."""
    taken = Taken(read_config(path), dict(os.environ))
    from_environment(os.environ)
    for name, value in as_environment(taken.file).items():
        if not os.environ.get(name):
            os.environ[name] = value
    return taken


def show(taken: Taken | None, *, as_json: bool) -> int:
    """Show what is in force; return the exit code."""
    settings, unknown = in_force(os.environ if taken is None else taken.before, None if taken is None else taken.file)
    members = {
        "settings": {
            one.name: {"value": one.value, "source": one.source, "variable": one.variable} for one in settings
        },
        "unknown": unknown,
    }
    lines = [f"{one.name:32} {'-' if one.value is None else one.value}  ({one.source})" for one in settings]
    lines += [f"{name} is no setting" for name in unknown]
    result(members, as_json=as_json, lines=lines)
    return WARNING if unknown else GOOD
