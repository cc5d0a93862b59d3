"""How a server is reached, and what is known of it from elsewhere: a profile in a TOML file, one table for each.

    [default]
    server = "https://ledger.example"
    ca = "ledger-ca.pem"              # relative to this file; left out: the system's roots
    tenant = "ClimateDAO/DEU"
    key = "alice.json"                # the wallet that acts
    trust = "climate.policy"          # what `trust export --tenant` wrote, with its .json beside it
    acknowledgement_key = "<64 hex>"  # in its place: the key of acknowledgements alone
    admins = ["<thumbprint>"]         # who accepted the tenant's registration, with its release key
    acknowledgement_keys = { "ledger.example/t/0" = "<64 hex>" }   # of other logs: the platform's, grantees'

Invariants:
- Strict: an unknown member or another type refuses. It holds no secret; the wallet's file does.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import MalformedError, UnknownError
from domain.malformed import malformed
from domain.transparency.note import VerifierKey
from domain.transparency.tlog_policy import parse_policy
from infrastructure.audit.trust import read_trust
from infrastructure.client.files import read_bounded

FILE: Final = "profiles.toml"
DEFAULT: Final = "default"
_FOLDER: Final = "enclave-ledger"
_MAX_BYTES: Final = 65_536


class _Table(BaseModel):
    """One profile as the file has it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    server: str
    ca: str | None = None
    tenant: str = ""
    key: str | None = None
    trust: str | None = None
    acknowledgement_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    admins: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]] = Field(default_factory=list, max_length=64)
    acknowledgement_keys: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default_factory=dict, max_length=1024
    )


@dataclass(frozen=True, slots=True)
class Profile:
    """A server, as whom it is asked, and what is known of it from elsewhere.

    Attributes:
        server: its URL.
        ca: certificates that its own rests on; None: the system's.
        tenant: id or name of the tenant or scope; `platform` for the operator.
        key: the wallet that acts, where the command names none.
        origin: of the tenant's log, where it is known from elsewhere.
        acknowledgement_key: of the tenant's log (32 bytes), likewise.
        log_keys: of the tenant's log, likewise: each of them signs its checkpoints.
        admins: thumbprints of those who accepted the tenant's registration.
        state: folder of what is remembered of servers.
        acknowledgement_keys: of other logs (32 bytes), by origin, likewise known from elsewhere.
    """

    server: str
    ca: Path | None = None
    tenant: str = ""
    key: Path | None = None
    origin: str | None = None
    acknowledgement_key: bytes | None = None
    log_keys: tuple[VerifierKey, ...] = ()
    admins: tuple[str, ...] = ()
    state: Path | None = None
    acknowledgement_keys: Mapping[str, bytes] = field(default_factory=dict)

    def with_(self, *, server: str | None, ca: Path | None, tenant: str | None) -> "Profile":
        """Return it with what a command line names in place of its own."""
        other = server is not None and server != self.server
        known = Profile(server or self.server) if other else self  # what is known is known of the other server
        return replace(known, ca=ca or known.ca, tenant=tenant or self.tenant, key=self.key, state=self.state)


def profiles_file() -> Path:
    """Return where profiles lie: below $XDG_CONFIG_HOME, or ~/.config."""
    return _folder("XDG_CONFIG_HOME", ".config") / FILE


def state_folder() -> Path:
    """Return where what is remembered of servers lies: below $XDG_STATE_HOME, or ~/.local/state."""
    return _folder("XDG_STATE_HOME", ".local/state")


def load_profile(name: str | None, file: Path | None = None) -> Profile:
    """Read a profile.

    Args:
        name: of its table; None: `default`.
        file: where profiles lie; None: the usual place.

    Raises:
        UnknownError: when there is none of that name.
        MalformedError: when the file is not of its form.
        RefusedError: when the trust beside it can be read by others.
    """
    path = file or profiles_file()
    if not path.is_file():
        raise UnknownError(f"there is no profile: {path} does not exist; or name the server with --server URL")
    try:
        tables: dict[str, Any] = tomllib.loads(read_bounded(path, _MAX_BYTES).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MalformedError(f"{path} is no TOML: {error}") from None
    wanted = name or DEFAULT
    if not isinstance(tables.get(wanted), dict):
        raise UnknownError(f"{path} has no profile {wanted[:64]!a}; it has {', '.join(sorted(tables)) or 'none'}")
    try:
        table = _Table.model_validate(tables[wanted])
    except ValidationError as error:
        raise malformed(f"profile {wanted[:64]!a}", error) from None
    return _profile(table, path.parent)


def _profile(table: _Table, folder: Path) -> Profile:
    log_keys: tuple[VerifierKey, ...] = ()
    origin, key = None, None if table.acknowledgement_key is None else bytes.fromhex(table.acknowledgement_key)
    if table.trust is not None:
        trust = read_trust(folder / table.trust)
        if trust is None:
            raise UnknownError(f"{folder / table.trust}.json is not there: `trust export --tenant` writes both files")
        origin, key = trust.origin, trust.acknowledgement_key
        log_keys = parse_policy(read_bounded(folder / table.trust, _MAX_BYTES)).log_keys(origin)
    return Profile(
        server=table.server,
        ca=None if table.ca is None else folder / table.ca,
        tenant=table.tenant,
        key=None if table.key is None else (folder / Path(table.key).expanduser()),
        origin=origin,
        acknowledgement_key=key,
        log_keys=log_keys,
        admins=tuple(table.admins),
        acknowledgement_keys={name: bytes.fromhex(one) for name, one in table.acknowledgement_keys.items()},
    )


def _folder(variable: str, otherwise: str) -> Path:
    base = os.environ.get(variable, "")
    return (Path(base) if base.startswith("/") else Path.home() / otherwise) / _FOLDER
