"""SQLite's errors in Hanse's words, translated once where they leave the driver."""

import sqlite3

from hanse.core.errors import Conflict, HanseError, OutcomeUnknown, Unavailable


class ReadOnlySession(HanseError):
    """A write was tried in a session that reads. Open it with `Database.transaction()`; over HTTP, use POST."""

    code = "read_only_session"


class DurabilityLost(OutcomeUnknown):
    """The disk refused to confirm a commit: the data may or may not survive a power cut. The process must end."""

    code = "durability_lost"
    retryable = False


_UNIQUE = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
}
_PRIMARY_CODE = 0xFF  # extended result codes keep the primary one in their low byte: sqlite.org/rescode.html


def is_busy(error: BaseException) -> bool:
    """True when another connection holds the lock that was wanted; trying again can help."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translate(error: BaseException | None) -> HanseError | None:
    """The error to raise in place of one of sqlite3's; None when it is a bug that should stay as it is."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _UNIQUE:
        columns = _after_colon(error)
        names = [column.rpartition(".")[2] for column in columns.split(", ")]
        return Conflict(f"already exists: {', '.join(names)}", constraint=columns)
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return Conflict("refers to something that does not exist, or is still referred to", constraint="foreign key")
    if code == sqlite3.SQLITE_CONSTRAINT_CHECK:
        return Conflict(f"violates the rule {_after_colon(error)}", constraint=_after_colon(error))
    if is_busy(error):
        return Unavailable("the database is locked by another process")
    primary = code & _PRIMARY_CODE
    if primary == sqlite3.SQLITE_FULL:
        return Unavailable("the disk is full: nothing was written")
    if primary == sqlite3.SQLITE_IOERR:
        return Unavailable("the disk failed: nothing was written")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return Unavailable("the database file can't be opened")
    if primary == sqlite3.SQLITE_READONLY:
        return ReadOnlySession("this session only reads: write inside `database.transaction()`")
    return None


def _after_colon(error: BaseException) -> str:
    return str(error).partition(": ")[2] or str(error)
