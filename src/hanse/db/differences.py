"""Is a migrated database the same as a fresh one? Compares structure, not data."""

from typing import Any

from sqlalchemy import Connection, Inspector, MetaData, create_engine, inspect

from hanse.core.errors import ConfigurationError
from hanse.db.database import Database
from hanse.db.migrations import HANSE_PREFIX

Facts = dict[str, Any]
"""What is known about a part of the schema, by a readable name (`column orders.total`)."""


async def schema_differences(database: Database) -> list[str]:
    """What differs between the database as it is and one made from its metadata: for a test of the migrations.

    Compares tables, columns (type, nullability, default, primary key), indexes, unique constraints, foreign keys and
    checks. Hanse's own tables are left out. Constraints are compared by what they say, not by name.

    Returns:
        One line per difference, sorted; empty when there is none.

    Raises:
        ConfigurationError: the database was made without metadata.
    """
    if database.metadata is None:
        raise ConfigurationError("nothing to compare with: this database was made without metadata")
    async with database.read() as session:
        connection = await session.connection()
        migrated = await connection.run_sync(_facts)
    fresh = _fresh(database.metadata)
    lines = [f"{name}: missing after migration" for name in fresh.keys() - migrated.keys()]
    lines += [f"{name}: not in the metadata" for name in migrated.keys() - fresh.keys()]
    for name in fresh.keys() & migrated.keys():
        if fresh[name] != migrated[name]:
            lines.append(f"{name}: migrated {migrated[name]!r}, metadata {fresh[name]!r}")
    return sorted(lines)


def _fresh(metadata: MetaData) -> Facts:
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            metadata.create_all(connection)
            return _facts(connection)
    finally:
        engine.dispose()


def _facts(connection: Connection) -> Facts:
    inspector = inspect(connection)
    facts: Facts = {}
    for table in inspector.get_table_names():
        if not table.startswith(HANSE_PREFIX):
            facts[f"table {table}"] = tuple(inspector.get_pk_constraint(table)["constrained_columns"])
            facts.update(_columns(inspector, table))
            facts.update(_constraints(inspector, table))
    return facts


def _columns(inspector: Inspector, table: str) -> Facts:
    return {
        f"column {table}.{column['name']}": (str(column["type"]), column["nullable"], column["default"])
        for column in inspector.get_columns(table)
    }


def _constraints(inspector: Inspector, table: str) -> Facts:
    facts: Facts = {}
    for index in inspector.get_indexes(table):
        where = str(index.get("dialect_options", {}).get("sqlite_where", ""))
        facts[f"index {index['name']}"] = (table, tuple(index["column_names"]), bool(index["unique"]), where)
    for unique in inspector.get_unique_constraints(table):
        facts[f"unique {table}({', '.join(unique['column_names'])})"] = True
    for key in inspector.get_foreign_keys(table):
        target = f"{key['referred_table']}({', '.join(key['referred_columns'])})"
        options = tuple(sorted(key["options"].items()))
        facts[f"foreign key {table}({', '.join(key['constrained_columns'])}) to {target}"] = options
    for check in inspector.get_check_constraints(table):
        facts[f"check on {table}: {' '.join(check['sqltext'].split())}"] = True
    return facts
