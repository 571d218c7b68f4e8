"""Named SQL, one file per noun and dialect: the logic knows names, the files know the dialect."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from hanse.core.errors import ConfigurationError

TABLES = Path(__file__).parent / "tables"
"""The numbered scripts that make the tables, for `Database.apply_sql`."""
_FOLDER = Path(__file__).parent / "queries"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Queries:
    """The statements of one dialect, by name. Parameters are written `:name`.

    Args:
        dialect: `sqlite`; it must have files `queries/*.<dialect>.sql`.

    Raises:
        ConfigurationError: no files for that dialect.
    """

    def __init__(self, dialect: str) -> None:
        self._sql = _load(dialect)

    def sql(self, name: str) -> str:
        """One statement, for execution on the driver's own connection."""
        return self._sql[name]


@functools.cache
def _load(dialect: str) -> Mapping[str, str]:
    queries: dict[str, str] = {}
    for path in sorted(_FOLDER.glob(f"*.{dialect}.sql")):
        parts = _NAME.split(path.read_text())
        for name, sql in zip(parts[1::2], parts[2::2], strict=True):
            queries[name] = sql.strip().rstrip(";")
    if not queries:
        raise ConfigurationError(f"sagas, outbox and inbox do not know the database dialect {dialect!r}")
    return queries
