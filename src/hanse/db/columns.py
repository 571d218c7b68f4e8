"""Column types that mean the same on every database."""

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import DateTime, Dialect, Text, TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: takes and gives aware datetimes, keeps them in UTC with microseconds.

    Raises:
        ValueError: a naive datetime is stored; nobody could say which instant it means.
    """

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a datetime without time zone can't be stored: {value.isoformat()}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """A JSON value kept as text (PostgreSQL's jsonb would refuse the character U+0000).

    None is stored as NULL. A value that is changed in place is not noticed: assign a new one.

    Raises:
        TypeError: the value is not made of dict (with str keys), list, str, int, float, bool, None, datetime or UUID.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)
