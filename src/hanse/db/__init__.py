"""Database: one per service, with sessions, durable commits and migrations.

Purpose: `Database` gives out transactions and consistent reads on SQLite inside the event loop.
May import: core.
May touch: the service's database file, through sqlite3; threads only through `Env.scope`, to flush the log.
Guarantees: a returned commit is durable; replicas may share one file; vendor errors are translated to Hanse's.
"""

from hanse.db.columns import Json, UtcDateTime
from hanse.db.database import Database
from hanse.db.differences import schema_differences
from hanse.db.errors import DurabilityLost, ReadOnlySession
from hanse.db.prepared import Prepared
from hanse.db.session import UnitOfWork, at_begin, driver, on_commit, on_rollback

__all__ = [
    "Database",
    "DurabilityLost",
    "Json",
    "Prepared",
    "ReadOnlySession",
    "UnitOfWork",
    "UtcDateTime",
    "at_begin",
    "driver",
    "on_commit",
    "on_rollback",
    "schema_differences",
]
