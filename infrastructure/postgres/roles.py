"""The roles that the ledger's connections run as. They belong to the cluster: ledgers that share one share them.

Invariants:
- What is missing is made where we may; otherwise the error holds the exact SQL for an administrator, and nothing else
  was done. A role of these names that can do more than it should is never changed or used, only reported.
- Of several starts at once, over one database or several of a cluster, each finds the roles complete.
- The program's own role can take each of them and has none of their rights before it does.
"""

from enum import StrEnum
from pathlib import Path

import psycopg
from psycopg import errors
from psycopg.abc import QueryNoTemplate
from psycopg.sql import SQL, Composed, Identifier

from domain.errors import RefusedError, UnavailableError
from infrastructure.postgres.queries import load

_ROLES = load("roles.sql")
_HARDENING = Path(__file__).with_name("hardening.sql")
_GRANT_OPTIONS = 160_000
"""The first version that knows SET and INHERIT of a membership."""
_RACES = 20
_ADMINISTRATOR = "the database lacks the ledger's roles as they should be; an administrator must run there:"


class Role(StrEnum):
    """What a connection is for."""

    APPEND = "ledger_append"
    CELL = "ledger_cell"
    TENANT = "ledger_tenant"


def ensure_roles(connection: psycopg.Connection, member: str) -> None:
    """Make the roles, and let the program's role take them, as far as something is missing.

    Args:
        connection: in autocommit.
        member: the program's own role, which exists.

    Raises:
        RefusedError: when we may not, or a role of these names is more than it should be.
        UnavailableError: when others keep changing the roles meanwhile.
    """
    done: list[Composed] = []
    for _ in range(_RACES):
        missing = _missing(connection, member)
        if not missing:
            return
        try:
            if missing == done:  # in vain: somebody else's grant stands against ours
                raise errors.InsufficientPrivilege  # noqa: TRY301 - the answer is the same
            for statement in missing:
                connection.execute(statement)
        except (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_):
            continue  # another start was quicker: look what is left
        except errors.InsufficientPrivilege:
            lines = [f"  {one.as_string(connection)};" for one in missing]
            raise RefusedError("\n".join([_ADMINISTRATOR, *lines])) from None
        done = missing
    raise UnavailableError("the database's roles keep changing: try again")


def check_tenant_login(connection: psycopg.Connection, login: str) -> None:
    """Check that who logs in for the bound reads of tenants can be nobody else.

    Raises:
        RefusedError: when it is no member of `ledger_tenant`, is a superuser, or may take another role.
    """
    if connection.execute(_ROLES["tenant_login"], {"login": login, "tenant": Role.TENANT}).fetchone() != (True,):
        raise RefusedError(
            f"the role {login} must be a member of {Role.TENANT}, of no other role, and have no attribute (SUPERUSER, "
            f"BYPASSRLS, CREATEROLE): CREATE ROLE x LOGIN; GRANT {Role.TENANT} TO x"
        )


def harden(connection: psycopg.Connection) -> None:
    """Close the database of an embedded server to the tenants' role, as far as it is open. Needs the superuser."""
    text: QueryNoTemplate = _HARDENING.read_bytes()
    connection.execute(text)
    if connection.execute(_ROLES["tenant_may_log_in"]).fetchone() != (True,):
        connection.execute(_ROLES["let_tenant_log_in"])


def _missing(connection: psycopg.Connection, member: str) -> list[Composed]:
    """Return the statements that are needed, in order.

    Raises:
        RefusedError: when a role has too much for statements of ours to mend.
    """
    old = connection.info.server_version < _GRANT_OPTIONS
    grants = ("grant_15", "part_15") if old else ("grant",)
    values = {"names": list(Role), "member": member, "taking": "MEMBER" if old else "SET"}
    found: list[Composed] = []
    for name, exists, excessive, takes, inherits in connection.execute(_ROLES["state"], values):
        if excessive:
            raise RefusedError(
                f"the database's role {name} can do more than the ledger's may: no attribute (SUPERUSER, BYPASSRLS, "
                "CREATEROLE, CREATEDB, REPLICATION), no membership of its own. An administrator must take it away"
            )
        wanted = [] if exists else ["create"]
        wanted += [] if takes and not inherits else grants
        found += [_statement(one, name, member) for one in wanted]
    return found


def _statement(name: str, role: str, member: str) -> Composed:
    return SQL(_ROLES[name].decode()).format(role=Identifier(role), member=Identifier(member))
