"""Numbered SQL files: the tables of Hanse's own rooms, applied once each."""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources.abc import Traversable

from hanse.core import Clock
from hanse.core.errors import ConfigurationError

_TABLE = """
CREATE TABLE IF NOT EXISTS hanse_schema (
    namespace TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    PRIMARY KEY (namespace, number)
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One numbered file, for example `0001_saga.sqlite.sql`."""

    number: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        return sha256(self.text.encode()).hexdigest()


def sql_files(folder: Traversable, dialect: str) -> list[SqlFile]:
    """The files `NNNN_name.<dialect>.sql` of a folder, by number.

    Raises:
        ConfigurationError: the folder has none, or two of one number.
    """
    pattern = re.compile(rf"(\d{{4}})_(\w+)\.{dialect}\.sql")
    found = [(match, entry) for entry in folder.iterdir() if (match := pattern.fullmatch(entry.name))]
    files = [SqlFile(int(match[1]), match[2], entry.read_text(encoding="utf-8")) for match, entry in found]
    files.sort(key=lambda file: file.number)
    if not files:
        raise ConfigurationError(f"{folder} holds no files named like 0001_tables.{dialect}.sql")
    if len({file.number for file in files}) != len(files):
        raise ConfigurationError(f"{folder} holds two files of the same number for {dialect}")
    return files


def apply(connection: sqlite3.Connection, namespace: str, files: list[SqlFile], clock: Clock) -> list[str]:
    """Run those of `files` that this database has not seen. The caller holds a write transaction.

    A database that has seen more files than there are was upgraded by newer code: that is left alone, because old
    code must run on the new schema while a rollout is under way.

    Returns:
        The names of the files that were run.

    Raises:
        ConfigurationError: a file that was applied earlier has been edited since.
    """
    connection.execute(_TABLE)
    query = "SELECT number, digest FROM hanse_schema WHERE namespace = ?"
    applied = dict(connection.execute(query, (namespace,)).fetchall())
    new = []
    for file in files:
        if file.number not in applied:
            for statement in statements(file.text):
                connection.execute(statement)
            row = (namespace, file.number, file.name, file.digest, clock.utc().isoformat())
            connection.execute("INSERT INTO hanse_schema VALUES (?, ?, ?, ?, ?)", row)
            new.append(file.name)
        elif applied[file.number] != file.digest:
            raise ConfigurationError(
                f"{namespace}/{file.number:04}_{file.name} was edited after this database had applied it: "
                "put the change into a file of the next number, or delete the database if it is only a developer's"
            )
    return new


def statements(text: str) -> Iterator[str]:
    """The single statements of an SQL script (`executescript` would commit the transaction it runs in)."""
    statement = ""
    *pieces, tail = text.split(";")
    for piece in pieces:
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    rest = re.sub(r"--[^\n]*|/\*.*?\*/", "", statement + tail, flags=re.DOTALL).strip()
    if rest:
        raise ConfigurationError(f"SQL statement without an end: {rest[:60]}")
