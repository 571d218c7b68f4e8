"""Numbered SQL files: once each, whole or not at all."""

from pathlib import Path

import pytest

from hanse.core.errors import ConfigurationError
from hanse.db import Database
from hanse.db.schema import statements


def _file(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


async def _tables(database: Database) -> list[str]:
    async with database.raw() as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'hanse_%'")
        return sorted(row[0] for row in rows)


async def test_files_are_applied_once_in_order(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "sql"
    _file(folder, "0002_more.sqlite.sql", "ALTER TABLE hanse_a ADD COLUMN y; CREATE TABLE hanse_b (x);")
    _file(folder, "0001_tables.sqlite.sql", "-- one; comment\nCREATE TABLE hanse_a (x);\n")
    _file(folder, "0001_tables.pg.sql", "NOT FOR US;")
    assert await database.apply_sql("durable", folder) == ["tables", "more"]
    assert await database.apply_sql("durable", folder) == []
    assert await _tables(database) == ["hanse_a", "hanse_b", "hanse_schema"]
    _file(folder, "0003_third.sqlite.sql", "CREATE TABLE hanse_c (x);")
    assert await database.apply_sql("durable", folder) == ["third"]


async def test_namespaces_count_for_themselves(database: Database, tmp_path: Path) -> None:
    _file(tmp_path / "one", "0001_a.sqlite.sql", "CREATE TABLE hanse_a (x);")
    _file(tmp_path / "two", "0001_b.sqlite.sql", "CREATE TABLE hanse_b (x);")
    assert await database.apply_sql("one", tmp_path / "one") == ["a"]
    assert await database.apply_sql("two", tmp_path / "two") == ["b"]


async def test_a_failing_file_leaves_nothing(database: Database, tmp_path: Path) -> None:
    _file(tmp_path / "sql", "0001_a.sqlite.sql", "CREATE TABLE hanse_a (x); CREATE TABLE hanse_a (x);")
    with pytest.raises(Exception, match="already exists"):
        await database.apply_sql("durable", tmp_path / "sql")
    assert await _tables(database) == []


async def test_an_edited_file_is_refused(database: Database, tmp_path: Path) -> None:
    _file(tmp_path / "sql", "0001_a.sqlite.sql", "CREATE TABLE hanse_a (x);")
    await database.apply_sql("durable", tmp_path / "sql")
    _file(tmp_path / "sql", "0001_a.sqlite.sql", "CREATE TABLE hanse_a (x, y);")
    with pytest.raises(ConfigurationError, match="durable/0001_a was edited"):
        await database.apply_sql("durable", tmp_path / "sql")


async def test_old_code_runs_on_a_newer_schema(database: Database, tmp_path: Path) -> None:
    _file(tmp_path / "sql", "0001_a.sqlite.sql", "CREATE TABLE hanse_a (x);")
    _file(tmp_path / "sql", "0002_b.sqlite.sql", "CREATE TABLE hanse_b (x);")
    await database.apply_sql("durable", tmp_path / "sql")
    (tmp_path / "sql" / "0002_b.sqlite.sql").unlink()
    assert await database.apply_sql("durable", tmp_path / "sql") == []


@pytest.mark.parametrize("names", [[], ["0001_a.sqlite.sql", "0001_b.sqlite.sql"]])
async def test_a_folder_without_order_is_refused(database: Database, tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "sql").mkdir()
    for name in names:
        _file(tmp_path / "sql", name, "CREATE TABLE hanse_a (x);")
    with pytest.raises(ConfigurationError):
        await database.apply_sql("durable", tmp_path / "sql")


def test_statements_survive_semicolons_in_odd_places() -> None:
    script = """
    CREATE TABLE a (x TEXT DEFAULT ';'); -- a; comment
    CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = 1; DELETE FROM a; END;
    /* the ; end */
    """
    assert [" ".join(statement.split()[:2]) for statement in statements(script)] == ["CREATE TABLE", "-- a;"]


def test_a_statement_without_end_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="without an end: CREATE TABLE b"):
        list(statements("CREATE TABLE a (x);\nCREATE TABLE b (x)"))
