"""The factory that the library asks for a recorder, so that an eventsourcing Application stores through ours.

Invariants:
- The library makes no table: the schema is migrated (`CREATE_TABLE=n`).
- POSTGRES_ENABLE_DB_FUNCTIONS is refused here too, for applications that are made without `open_database`.
"""

from eventsourcing.persistence import ApplicationRecorder
from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment, EnvType

from domain.errors import RefusedError
from infrastructure.postgres.connect import FORBIDDEN_VARIABLE
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder

CONNINFO = "LEDGER_CONNINFO"
"""Key of the connection string in an application's environment."""


class LedgerFactory(PostgresFactory):
    """Gives an eventsourcing Application our recorder; see `application_environment`.

    Raises:
        RefusedError: when POSTGRES_ENABLE_DB_FUNCTIONS is set.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        environment = env if isinstance(env, Environment) else Environment(env=env)
        if environment.get(FORBIDDEN_VARIABLE):
            raise RefusedError(f"{FORBIDDEN_VARIABLE} makes readers lose events: unset it")
        placeholders = dict.fromkeys(
            (self.POSTGRES_DBNAME, self.POSTGRES_HOST, self.POSTGRES_USER, self.POSTGRES_PASSWORD), "-"
        )
        super().__init__(Environment(environment.name, {**environment, **placeholders}))
        self.datastore.close()
        self.datastore = self._ledger = LedgerDatastore(str(environment[CONNINFO]))

    def application_recorder(self) -> ApplicationRecorder:
        """Return the ledger's recorder."""
        return LedgerRecorder(self._ledger)

    def env_create_table(self) -> bool:
        """Return False: the schema is migrated."""
        return False


def application_environment(conninfo: str) -> dict[str, str]:
    """Return the environment that makes an eventsourcing Application store through the ledger's recorder."""
    return {
        "PERSISTENCE_MODULE": "infrastructure.postgres.factory:LedgerFactory",
        "CREATE_TABLE": "n",
        CONNINFO: conninfo,
    }
