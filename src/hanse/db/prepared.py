"""Prepared statements: a SQLAlchemy Core statement that is compiled once and then runs on the driver's connection."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeEngine

from hanse.db.errors import translate
from hanse.db.session import driver

Process = Callable[[Any], Any]
Columns = dict[str, Any]
"""Values by column name, or by name of the statement's `bindparam`."""

_DIALECT = SQLiteDialect(paramstyle="named")


class Prepared:
    """For the few statements that run with every request: about a fifth of the cost of `session.execute`.

    The types of columns and parameters convert values as ever. What an ORM session adds is left out: nothing pending
    is flushed first, no mapped object is made or changed, defaults that Python computes are not filled in.

    Args:
        statement: an INSERT, UPDATE, DELETE or SELECT over tables, without parameters that expand (`IN` of a list).
            Name its parameters with `bindparam`; an INSERT takes all columns but an integer primary key.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=_inserted(statement))
        returned: Iterable[Any] = getattr(statement, "exported_columns", ())
        self._sql = compiled.string
        names: Mapping[Any, str] = compiled.bind_names  # type: ignore[attr-defined]
        self._processors = {name: process for bind, name in names.items() if (process := _bind(bind.type)) is not None}
        self._fixed = self._processed({name: bind.effective_value for bind, name in names.items() if not bind.required})
        self._returns = [(column.name, _result(column.type)) for column in returned]

    async def run(self, session: AsyncSession, values: Columns) -> list[Columns]:
        """Run it in the session's transaction; the rows of a SELECT or RETURNING, by column name.

        Raises:
            HanseError: as translated in `errors.py`.
        """
        connection = await driver(session)
        try:
            rows = connection.execute(self._sql, {**self._fixed, **self._processed(values)}).fetchall()
        except sqlite3.Error as error:
            raise translate(error) or error from error
        return [self._row(row) for row in rows]

    async def run_all(self, session: AsyncSession, rows: Iterable[Columns]) -> None:
        """Run it for each of `rows`. Raises as `run`."""
        connection = await driver(session)
        try:
            connection.executemany(self._sql, [{**self._fixed, **self._processed(row)} for row in rows])
        except sqlite3.Error as error:
            raise translate(error) or error from error

    def _row(self, row: tuple[Any, ...]) -> Columns:
        returns = zip(self._returns, row, strict=True)
        return {name: value if process is None else process(value) for (name, process), value in returns}

    def _processed(self, values: Columns) -> Columns:
        processed = dict(values)
        for name in self._processors.keys() & values.keys():
            processed[name] = self._processors[name](values[name])
        return processed


def _inserted(statement: Any) -> list[str] | None:
    """The columns of an INSERT; None for other statements."""
    if not getattr(statement, "is_insert", False):
        return None
    table = statement.table
    return [column.name for column in table.columns if column is not table.autoincrement_column]


def _bind(kind: TypeEngine[Any]) -> Process | None:
    return kind.dialect_impl(_DIALECT).bind_processor(_DIALECT)


def _result(kind: TypeEngine[Any]) -> Process | None:
    return kind.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
