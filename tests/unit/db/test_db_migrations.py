"""Migrations: once, under the lock, all or nothing; and a migrated schema equals a fresh one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.db import Database, schema_differences


class Base(DeclarativeBase):
    metadata = MetaData()


class Parent(Base):
    __tablename__ = "parents"
    __table_args__ = (CheckConstraint("age >= 0"), Index("ix_parents_old", "name", sqlite_where=text("age > 60")))
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    age: Mapped[int] = mapped_column(server_default="0")


class Child(Base):
    __tablename__ = "children"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parents.id", ondelete="CASCADE"))


FIRST = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table(
        "parents", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String, nullable=False),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "children",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("parents.id", ondelete="CASCADE"), nullable=False),
    )
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    with op.batch_alter_table("parents", recreate="always", table_args=(sa.CheckConstraint("age >= 0"),)) as batch:
        batch.add_column(sa.Column("age", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_parents_old", "parents", ["name"], sqlite_where=sa.text("age > 60"))
"""
FAILING = """
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.execute("CREATE TABLE half (x)")
    op.execute("INSERT INTO nowhere VALUES (1)")
"""
ORPHANS = """
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.execute("INSERT INTO children (parent_id) VALUES (99)")
"""

Open = Callable[[], Awaitable[Database]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.py").write_text(FIRST)
    return folder


@pytest.fixture
async def migrated(env: Env, tmp_path: Path, folder: Path) -> AsyncIterator[Open]:
    opened: list[Database] = []

    async def open_one() -> Database:
        database = Database(env, f"sqlite:///{tmp_path}/m.db", metadata=Base.metadata, migrations=folder)
        opened.append(database)
        await database.start()
        return database

    yield open_one
    for database in opened:
        await database.stop()


async def test_a_migrated_database_equals_a_fresh_one(migrated: Open, folder: Path) -> None:
    (folder / "0002_age.py").write_text(SECOND)
    assert await schema_differences(await migrated()) == []


async def test_each_kind_of_difference_is_named(migrated: Open) -> None:
    database = await migrated()
    async with database.raw() as connection:
        connection.execute("CREATE TABLE extra (id INTEGER PRIMARY KEY)")
        connection.execute("DROP TABLE children")
        connection.execute("CREATE TABLE hanse_own (id INTEGER)")
    assert await schema_differences(database) == [
        "check on parents: age >= 0: missing after migration",
        "column children.id: missing after migration",
        "column children.parent_id: missing after migration",
        "column extra.id: not in the metadata",
        "column parents.age: missing after migration",
        "foreign key children(parent_id) to parents(id): missing after migration",
        "index ix_parents_old: missing after migration",
        "table children: missing after migration",
        "table extra: not in the metadata",
    ]


async def test_a_changed_column_is_named(migrated: Open, folder: Path) -> None:
    (folder / "0002_age.py").write_text(SECOND.replace('server_default="0"', 'server_default="1"'))
    assert await schema_differences(await migrated()) == [
        "column parents.age: migrated ('INTEGER', False, \"'1'\"), metadata ('INTEGER', False, \"'0'\")"
    ]


async def test_rows_survive_the_rebuilding_of_a_table_others_refer_to(migrated: Open, folder: Path) -> None:
    database = await migrated()
    async with database.raw() as connection:
        connection.execute("INSERT INTO parents (id, name) VALUES (1, 'a')")
        connection.execute("INSERT INTO children (id, parent_id) VALUES (1, 1)")
    await database.stop()
    (folder / "0002_age.py").write_text(SECOND)
    database = await migrated()
    async with database.read() as session:
        assert (await session.scalars(select(Child.parent_id))).all() == [1]
        assert (await session.scalars(select(Parent.age))).all() == [0]
    with pytest.raises(Exception, match="refers to"):
        async with database.transaction() as session:
            session.add(Child(parent_id=99))


async def test_the_second_start_changes_nothing(migrated: Open) -> None:
    await (await migrated()).stop()
    database = await migrated()
    async with database.read() as session:
        assert (await session.scalars(text("SELECT version_num FROM hanse_migration"))).all() == ["0001"]


@pytest.mark.parametrize(("text_", "reason"), [(FAILING, "nowhere"), (ORPHANS, "children → parents")])
async def test_a_failing_migration_leaves_the_schema_as_it_was(
    migrated: Open, folder: Path, text_: str, reason: str
) -> None:
    (folder / "0002_age.py").write_text(SECOND)
    await (await migrated()).stop()
    (folder / "0003_bad.py").write_text(text_)
    with pytest.raises(Exception, match=reason):
        await migrated()
    (folder / "0003_bad.py").unlink()
    database = await migrated()
    assert await schema_differences(database) == []


async def test_a_database_newer_than_the_code_is_refused(migrated: Open, folder: Path) -> None:
    (folder / "0002_age.py").write_text(SECOND)
    await (await migrated()).stop()
    (folder / "0002_age.py").unlink()
    with pytest.raises(ConfigurationError, match="0002"):
        await migrated()


async def test_two_heads_are_refused(migrated: Open, folder: Path) -> None:
    (folder / "0002_age.py").write_text(SECOND)
    (folder / "0002_other.py").write_text(SECOND.replace('"0002"', '"0002b"'))
    with pytest.raises(ConfigurationError, match="head"):
        await migrated()


async def test_a_missing_folder_is_refused(env: Env, tmp_path: Path) -> None:
    database = Database(env, f"sqlite:///{tmp_path}/m.db", migrations=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="no folder"):
        await database.start()
    await database.stop()


async def test_without_migrations_missing_tables_are_made(env: Env, tmp_path: Path) -> None:
    for _ in range(2):
        database = Database(env, f"sqlite:///{tmp_path}/m.db", metadata=Base.metadata)
        await database.start()
        assert await schema_differences(database) == []
        await database.stop()
