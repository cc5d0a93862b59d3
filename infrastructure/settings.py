"""Settings of a process: from options, else the environment (LEDGER_*), else a file (TOML), else their defaults.

A setting `x` is LEDGER_X in the environment and `x` in the file; `x` of the table [serve] is LEDGER_SERVE_X. A file is
what the environment would be if nobody had set it, so every command takes it in the same way.

Invariants:
- Strict: a member that nobody knows, a value of another type or out of range is refused by its name, never its value.
- A file that holds a secret is its owner's alone. What is shown of a secret is that it is set.
"""

import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import MalformedError, RefusedError, UnknownError

PREFIX: Final = "LEDGER_"
CONFIG_VARIABLE: Final = "LEDGER_CONFIG"
SECRETS: Final = frozenset({"database_url", "tenant_database_url", "keyring_passphrase"})
MASK: Final = "(set)"
_MAX_FILE_BYTES: Final = 1 << 20
_OTHERS: Final = 0o077


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ServeSettings(_Part):
    """Options of `serve`."""

    host: str | None = Field(default=None, min_length=1, max_length=255)
    port: int | None = Field(default=None, ge=0, le=65535)
    url: str | None = Field(default=None, min_length=1, max_length=2048)
    tls_cert: str | None = Field(default=None, min_length=1, max_length=4096)
    tls_key: str | None = Field(default=None, min_length=1, max_length=4096)
    trusted_proxy: list[str] | None = Field(default=None, max_length=64)
    role: list[Literal["api", "decider", "publisher", "projector", "all"]] | None = Field(default=None, max_length=8)
    log: Literal["text", "json"] | None = None
    requests_per_s: float | None = Field(default=None, ge=1, le=1_000_000)
    stranger_requests_per_s: float | None = Field(default=None, ge=1, le=1_000_000)


class Settings(_Part):
    """All that a file or the environment may set. None: not set."""

    data_dir: str | None = Field(default=None, min_length=1, max_length=4096)
    database_url: str | None = Field(default=None, min_length=1, max_length=8192)
    tenant_database_url: str | None = Field(default=None, min_length=1, max_length=8192)
    keyring_passphrase: str | None = Field(default=None, min_length=1, max_length=4096)
    keyring_passphrase_file: str | None = Field(default=None, min_length=1, max_length=4096)
    checkpoint_interval_s: float | None = Field(default=None, gt=0, le=86_400)
    round_interval_s: float | None = Field(default=None, ge=1, le=86_400)
    unpublished_bound_s: float | None = Field(default=None, gt=0, le=864_000)
    webhook_networks: str | None = Field(default=None, min_length=1, max_length=4096)
    debug: bool | None = None
    serve: ServeSettings = ServeSettings()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is in force: `source` is `environment`, `file` or `default`; a secret's value is masked."""

    name: str
    variable: str
    value: object
    source: str


def read_config(path: Path) -> Settings:
    """Read a file of settings.

    Raises:
        UnknownError: when there is none.
        RefusedError: when others may read the secrets in it, or it can't be read.
        MalformedError: when it is no TOML, or a member is unknown or of another form.
    """
    try:
        with path.open("rb") as file:
            mode, data = path.stat().st_mode, file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UnknownError(f"there is no file {path}") from None
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise MalformedError(f"{path} is longer than {_MAX_FILE_BYTES} bytes")
    try:
        found = Settings.model_validate(tomllib.loads(data.decode()))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{path}: {_why(error)}") from None
    if SECRETS & {name for name, _ in _flat(found)} and stat.S_IMODE(mode) & _OTHERS:
        raise RefusedError(f"{path} holds a secret, and can be read by others than its owner; run: chmod 600 '{path}'")
    return found


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read what the environment sets. Unknown variables are passed over: others' names may begin alike.

    Raises:
        MalformedError: when a value is of another form.
    """
    members: dict[str, Any] = {}
    for path, kind in _fields():
        text = environ.get(variable_of(path))
        if text:
            where = members if "." not in path else members.setdefault(path.split(".")[0], {})
            where[path.rpartition(".")[2]] = _decoded(kind, text)
    try:
        return Settings.model_validate(members)
    except ValidationError as error:
        raise MalformedError(_why(error, environment=True)) from None


def as_environment(settings: Settings) -> dict[str, str]:
    """Return settings as variables of the environment."""
    return {variable_of(name): _encoded(value) for name, value in _flat(settings)}


def in_force(environ: Mapping[str, str], file: Settings | None) -> tuple[list[Setting], list[str]]:
    """Return every setting as it is in force, and the variables that look like ours and aren't.

    Args:
        environ: as it was before the file was taken in.
        file: what the file sets.

    Raises:
        MalformedError: when a value is of another form.
    """
    given, filed = dict(_flat(from_environment(environ))), dict(_flat(file)) if file is not None else {}
    shown = []
    for name, _ in _fields():
        source = "environment" if name in given else "file" if name in filed else "default"
        value = given.get(name, filed.get(name))
        masked = MASK if name in SECRETS and value is not None else value
        shown.append(Setting(name, variable_of(name), masked, source))
    known = {one.variable for one in shown} | {CONFIG_VARIABLE}
    return shown, sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def variable_of(name: str) -> str:
    """Return the variable of a setting: `serve.port` is LEDGER_SERVE_PORT."""
    return PREFIX + name.replace(".", "_").upper()


def _fields() -> Iterator[tuple[str, Any]]:
    for name, field in Settings.model_fields.items():
        if name != "serve":
            yield name, field.annotation
    for name, field in ServeSettings.model_fields.items():
        yield f"serve.{name}", field.annotation


def _flat(settings: Settings) -> Iterator[tuple[str, Any]]:
    for name, _ in _fields():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        if value is not None:
            yield name, value


def _decoded(kind: Any, text: str) -> Any:
    """Return what a variable's text stands for; the text itself where it is nothing of that kind."""
    words = str(kind)
    try:
        if "list" in words:
            return text.split()
        if "bool" in words:
            return {"1": True, "true": True, "0": False, "false": False}.get(text.lower(), True)
        if "float" in words:
            return float(text)
        return int(text) if "int" in words else text
    except ValueError:
        return text


def _encoded(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return ("1" if value else "") if isinstance(value, bool) else str(value)


def _why(error: Exception, *, environment: bool = False) -> str:
    """Return words that name what is wrong, and no value."""
    if not isinstance(error, ValidationError):
        return "this is no TOML"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"] if isinstance(part, str))[:100]
    said = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{variable_of(name) if environment else name}: {said}"
