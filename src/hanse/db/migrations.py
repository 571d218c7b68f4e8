"""Schema migrations of a service: Alembic as a library, without env.py and alembic.ini."""

import logging
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, text

from hanse.core.errors import ConfigurationError
from hanse.db.writer import Writer

HANSE_PREFIX = "hanse_"
VERSION_TABLE = "hanse_migration"


async def migrate(writer: Writer, metadata: MetaData | None, folder: Path | None) -> None:
    """Bring the database to the newest schema, under the database's write lock.

    Several processes may call it at once: one does the work, the others wait and find it done. Without a folder the
    tables of `metadata` that are missing are created.

    Args:
        folder: Alembic revision files (`0001_initial.py`), side by side.

    Raises:
        ConfigurationError: the revisions don't form one line, or the database is newer than they are, or the
            migrated data violates a foreign key. Nothing was changed.
    """
    if folder is None and metadata is None:
        return
    async with writer.schema_change(), writer.engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        raw.execute("PRAGMA foreign_keys = OFF")  # rebuilding a table drops it; the check below makes up for it
        try:
            async with connection.begin():
                if folder is not None:
                    await connection.run_sync(_upgrade, folder)
                    await connection.run_sync(_check_references)
                elif metadata is not None:
                    await connection.run_sync(metadata.create_all)
        finally:
            raw.execute("PRAGMA foreign_keys = ON")
    await writer.confirm()


def revisions(folder: Path) -> ScriptDirectory:
    """The revision files of a folder.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder of migrations at {folder}")
    return ScriptDirectory(str(folder), version_locations=[str(folder)])


def include_name(name: str | None, kind: str, parents: Any) -> bool:
    """Alembic's filter: hides Hanse's own tables, which autogenerate would drop."""
    return not (kind == "table" and name is not None and name.startswith(HANSE_PREFIX))


def _upgrade(connection: Connection, folder: Path) -> None:
    scripts = revisions(folder)

    def steps(current: Any, context: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", current)

    logging.getLogger("alembic").setLevel(logging.WARNING)  # what it says at every start is of no use to anybody
    environment = EnvironmentContext(Config(), scripts, fn=steps, destination_rev="head")
    try:
        with environment:
            environment.configure(connection=connection, version_table=VERSION_TABLE, render_as_batch=True)
            with environment.begin_transaction():
                environment.run_migrations()
    except CommandError as error:
        raise ConfigurationError(f"the migrations in {folder} can't be applied: {error}") from error


def _check_references(connection: Connection) -> None:
    broken = connection.execute(text("PRAGMA foreign_key_check")).fetchall()
    if broken:
        tables = sorted({f"{row[0]} → {row[2]}" for row in broken})
        raise ConfigurationError(f"after the migration rows refer to nothing: {', '.join(tables)}")
