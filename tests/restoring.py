"""A database that is exchanged under a running process, as an administrator restores a backup."""

import psycopg
from psycopg.sql import SQL, Identifier

from infrastructure.postgres.cluster import SUPERUSER
from tests.database import TestServer


class Restorable:
    """A database and its backup; whoever has the one finds every connection closed, and then the other."""

    def __init__(self, server: TestServer, name: str) -> None:
        self._server = server
        self._name = name
        self._copy = f"{name}_copy"

    def backup(self) -> None:
        self._run("CREATE DATABASE {copy} OWNER ledger TEMPLATE {name}")

    def restore(self) -> None:
        self._run("ALTER DATABASE {name} RENAME TO {lost}", "ALTER DATABASE {copy} RENAME TO {name}")
        self._run("DROP DATABASE {lost}")

    def _run(self, *statements: str) -> None:
        names = {"name": self._name, "copy": self._copy, "lost": f"{self._name}_lost"}
        with psycopg.connect(self._server.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
            admin.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(Identifier(self._name)))
            ended = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = %s"
            admin.execute(ended, (self._name,))
            for statement in statements:
                admin.execute(SQL(statement).format(**{key: Identifier(name) for key, name in names.items()}))
            admin.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(self._name)))
