"""Options that commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

if TYPE_CHECKING:
    from infrastructure.cli.remoting import There

T = TypeVar("T")

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="LEDGER_DATA_DIR", help="Where this ledger lives.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
Keys = Annotated[list[Path] | None, typer.Option("--key", help="Acting wallet; repeat it for several signatures.")]
Key = Annotated[Path, typer.Option("--key", help="Acting wallet.")]
RootKeys = Annotated[list[Path] | None, typer.Option("--root-key", help="Root scope's wallet (default: init's).")]
OnlyTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's: DAO/JUR or its id.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant: DAO/JUR or its id.")]
NoRun = Annotated[bool, typer.Option("--no-run", help="Only hand it in; `work` or a later command executes.")]
Server = Annotated[
    str | None, typer.Option("--server", help="Ask this server (https://HOST[:PORT]), not a data directory.")
]
Profile = Annotated[str | None, typer.Option("--profile", help="Ask the server of this profile (profiles.toml).")]
Ca = Annotated[Path | None, typer.Option("--ca", help="Certificates that the server's may rest on (PEM).")]
As = Annotated[str, typer.Option("--as", help="At a server: the scope whose admin asks, by name.")]
MaybeTenant = Annotated[str | None, typer.Option("--tenant", help="Tenant: DAO/JUR or its id. A profile may name it.")]
MaybeKey = Annotated[Path | None, typer.Option("--key", help="Acting wallet. A profile may name it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence.")]
ValidDays = Annotated[int, typer.Option("--valid-days", min=1, max=3650, help="Life of its credential.")]
ScopeKeys = Annotated[list[Path] | None, typer.Option("--scope-key", help="Admin of the scope above it.")]
Issued = Annotated[
    Path | None, typer.Option("--credential", help="Grant this one (`credential issue`), with a status perhaps.")
]
Wait = Annotated[
    int, typer.Option("--wait", min=0, max=86_400, help="At a server: wait so many seconds for it to come to rest.")
]
Ack = Annotated[Path | None, typer.Option("--ack", help="Directory for the signed acknowledgements (*.ack).")]
Pool = Annotated[str, typer.Option("--pool", help="Its pool: all but `primary` are for overflow (`offer stand`).")]
PRIMARY_POOL = "primary"
DEFAULT_DATA_DIR = Path("data")
HOST = "ledger.example"
"""Name of a ledger that was given none."""
LEVELS = ("Disaster", "Health", "Finance", "Planning")
"""Priority domains of a ledger that was given none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works, a data directory or a server, and how it prints. See `placed`."""

    data_dir: Path
    server: str | None
    profile: str | None
    ca: Path | None
    as_json: bool

    def there(self) -> "There | None":
        """Return the server that is named; None: the data directory.

        Raises:
            LedgerError: when there is no such profile, or it is not of its form.
        """
        from infrastructure.cli.remoting import there  # noqa: PLC0415 - `--help` stays fast

        return there(self.server, self.profile, self.ca)


_PLACE_OPTIONS: Final = (
    ("data_dir", DataDir, DEFAULT_DATA_DIR), ("server", Server, None), ("profile", Profile, None), ("ca", Ca, None),
    ("as_json", Json, False),
)  # fmt: skip


def placed(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its `place`: --data-dir, --server, --profile, --ca, --json."""
    known = inspect.signature(command)
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [one for one in known.parameters.values() if one.name != "place"]
    added = [inspect.Parameter(name, keyword, default=unset, annotation=kind) for name, kind, unset in _PLACE_OPTIONS]

    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        named = {name: options.pop(name) for name, _, _ in _PLACE_OPTIONS}
        command(**options, place=Place(**named))

    wrapped.__signature__ = known.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    kinds = {one.name: one.annotation for one in (*own, *added)}
    wrapped.__annotations__ = {**kinds, "return": None}
    return wrapped


def given(value: T | None, option: str) -> T:
    """Return an option's value that only a profile may stand in for.

    Raises:
        BadParameter: when it was not given.
    """
    if value is None:
        raise typer.BadParameter(f"missing option {option}")
    return value


def group(help_text: str) -> typer.Typer:
    """Return a group of commands. Without rich markup: `--help` stays fast."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def instant(text: str) -> int:
    """Return an instant that a person wrote, in ms since 1970.

    Raises:
        BadParameter: when it is none.
    """
    from datetime import datetime  # noqa: PLC0415 - `--help` stays fast

    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("an instant is RFC 3339 (2026-01-31T12:00:00Z) or milliseconds since 1970") from None
    if instant.tzinfo is None:
        raise typer.BadParameter("an instant needs its offset, e.g. 2026-01-31T12:00:00Z")
    return int(instant.timestamp() * 1000)
