"""Durability: nobody is told of a commit before the disk has it, whatever checkpoints do in between."""

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanse.core import Env
from hanse.core.errors import Unavailable
from hanse.db import Database, DurabilityLost, on_commit, on_rollback
from hanse.db.fsync import GroupFsync


class HeldDisk:
    """A disk whose flushes end when the test lets them."""

    def __init__(self) -> None:
        self.flushes = 0
        self.begun = threading.Event()
        self.release = threading.Event()
        self.error: OSError | None = None
        self.held = False

    def __call__(self, file: int) -> None:
        self.flushes += 1
        if self.held:
            self.begun.set()
            assert self.release.wait(10)
        if self.error is not None:
            raise self.error
        os.fdatasync(file)


async def _begun(disk: HeldDisk) -> None:
    assert await asyncio.to_thread(disk.begun.wait, 10)


async def test_a_commit_returns_and_hooks_run_only_after_the_flush(open_database: Any, tables: Any) -> None:
    disk = HeldDisk()
    database = await open_database(flush=disk)
    disk.held = True
    calls: list[str] = []

    async def write() -> None:
        async with database.transaction() as session:
            on_commit(session, lambda: calls.append("durable"))
            session.add(tables(email="a"))

    task = asyncio.create_task(write())
    await _begun(disk)
    assert not task.done()
    assert calls == []
    disk.release.set()
    await task
    assert calls == ["durable"]


async def test_the_gate_is_free_while_the_disk_works_and_one_flush_serves_many(open_database: Any, tables: Any) -> None:
    disk = HeldDisk()
    database = await open_database(flush=disk)
    disk.held = True
    flushes = disk.flushes

    async def write(email: str) -> None:
        async with database.transaction() as session:
            session.add(tables(email=email))

    first = asyncio.create_task(write("first"))
    await _begun(disk)
    others = [asyncio.create_task(write(str(number))) for number in range(10)]
    commits = database._writer().commits
    while database._writer().commits < commits + 10:
        await asyncio.sleep(0)
    assert not any(task.done() for task in [first, *others])
    disk.release.set()
    await asyncio.gather(first, *others)
    assert disk.flushes == flushes + 2, "the flush under way, and one for the ten that came meanwhile"


async def test_a_transaction_that_changed_nothing_does_not_touch_the_disk(open_database: Any) -> None:
    disk = HeldDisk()
    database = await open_database(flush=disk)
    flushes = disk.flushes
    async with database.transaction():
        pass
    assert disk.flushes == flushes


async def test_a_cancellation_during_the_flush_is_delivered_after_it(open_database: Any, tables: Any) -> None:
    disk = HeldDisk()
    database = await open_database(flush=disk)
    disk.held = True
    calls: list[str] = []

    async def write() -> None:
        async with database.transaction() as session:
            on_commit(session, lambda: calls.append("committed"))
            on_rollback(session, lambda: calls.append("rolled back"))
            session.add(tables(email="a"))

    task = asyncio.create_task(write())
    await _begun(disk)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    disk.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["committed"]


@pytest.mark.parametrize("how", ["transaction", "raw"])
async def test_an_error_of_the_disk_is_told_and_is_final(open_database: Any, tables: Any, env: Env, how: str) -> None:
    reported: list[BaseException] = []
    env.scope.on_error = lambda name, error: reported.append(error)
    disk = HeldDisk()
    database = await open_database(flush=disk)
    disk.error = OSError(5, "Input/output error")
    calls: list[str] = []

    async def write() -> None:
        if how == "raw":
            async with database.raw() as connection:
                connection.execute("INSERT INTO accounts (email, balance) VALUES ('a', 0)")
        else:
            async with database.transaction() as session:
                on_commit(session, lambda: calls.append("committed"))
                on_rollback(session, lambda: calls.append("rolled back"))
                session.add(tables(email="a"))

    with pytest.raises(DurabilityLost, match="Input/output error"):
        await write()
    disk.error = None  # the kernel forgets: the next fsync would succeed, without the lost pages
    flushes = disk.flushes
    with pytest.raises(Unavailable, match="must be restarted"):
        await write()
    assert disk.flushes == flushes
    assert calls == [], "whether it is durable is unknown: neither hook may say so"
    assert "Input/output" in (await database.ready() or "")
    assert [type(error) for error in reported] == [DurabilityLost], "reported once"


async def test_all_who_wait_for_a_failing_flush_are_told(open_database: Any, tables: Any) -> None:
    disk = HeldDisk()
    database = await open_database(flush=disk)
    disk.held, disk.error = True, OSError(5, "Input/output error")

    async def write(email: str) -> None:
        async with database.transaction() as session:
            session.add(tables(email=email))

    first = asyncio.create_task(write("first"))
    await _begun(disk)
    others = [asyncio.create_task(write(str(number))) for number in range(3)]
    commits = database._writer().commits
    while database._writer().commits < commits + 3:
        await asyncio.sleep(0)
    disk.release.set()
    outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DurabilityLost] * 4


async def test_a_deleted_log_is_an_error_not_a_flush_of_nothing(
    open_database: Any, tables: Any, tmp_path: Path
) -> None:
    database = await open_database()
    (tmp_path / "test.db-wal").unlink()
    with pytest.raises(DurabilityLost, match="deleted"):
        async with database.transaction() as session:
            session.add(tables(email="a"))


class PowerCut:
    """At each flush, copies what a power cut right after it would leave at the least.

    The database file as it is, and the log as read through the very descriptor that was flushed: if SQLite had put
    the commits anywhere else (a new log file, a part of the log that a checkpoint reuses), they would be missing.
    """

    def __init__(self, path: Path, image: Path) -> None:
        self.path = path
        self.image = image
        self.log_sizes: list[int] = []

    def __call__(self, file: int) -> None:
        os.fdatasync(file)
        size = os.fstat(file).st_size
        self.log_sizes.append(size)
        shutil.copyfile(self.path, self.image)
        self.image.with_name(f"{self.image.name}-wal").write_bytes(os.pread(file, size, 0))
        self.image.with_name(f"{self.image.name}-shm").unlink(missing_ok=True)

    def survivors(self) -> set[int]:
        connection = sqlite3.connect(self.image)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return {row[0] for row in connection.execute("SELECT id FROM accounts")}
        finally:
            connection.close()


def _by_nobody(path: Path) -> None:
    """SQLite's own automatic checkpoints only."""


def _by_another(mode: str) -> Callable[[Path], None]:
    def checkpoint(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        connection.close()

    return checkpoint


@pytest.mark.parametrize(
    "checkpoint", [_by_nobody, *(_by_another(mode) for mode in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"))]
)
async def test_acknowledged_commits_are_in_what_was_flushed_across_checkpoints(
    open_database: Any, env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Callable[[Path], None]
) -> None:
    async def inline(work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)  # so that nothing is written while the image is taken

    monkeypatch.setattr(type(env.scope), "blocking", lambda self, work, *args: inline(work, *args))
    cut = PowerCut(tmp_path / "test.db", tmp_path / "image.db")
    database: Database = await open_database(flush=cut)
    async with database.raw() as connection:
        pass
    connection.execute("PRAGMA wal_autocheckpoint = 8")
    for number in range(1, 61):
        async with database.raw() as connection:
            connection.execute(
                "INSERT INTO accounts (id, email, balance) VALUES (?, ?, 0)", (number, f"{number}" * 500)
            )
        assert cut.survivors() == set(range(1, number + 1))
        if number % 7 == 0:
            checkpoint(tmp_path / "test.db")
    assert max(cut.log_sizes) < 60 * 4096, "the log was never reused: this proves nothing about checkpoints"


async def test_a_flush_cancelled_before_its_first_step_leaves_nobody_waiting(env: Env, tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    fsync = GroupFsync(env.scope, tmp_path / "log")
    fsync.open()
    durable = fsync.wait()
    await env.scope.close()  # cancels the task that has not run yet
    async with asyncio.timeout(5):
        with pytest.raises(DurabilityLost):
            await durable
        await fsync.settle()
    fsync.close()


async def test_a_commit_between_the_last_look_and_the_end_of_a_flush_is_flushed_too(env: Env, tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    fsync = GroupFsync(env.scope, tmp_path / "log")
    fsync.open()
    async with asyncio.timeout(5):
        for _ in range(50):
            first, late = fsync.wait(), asyncio.get_running_loop().create_future()
            first.add_done_callback(lambda _, late=late: late.set_result(fsync.wait()))  # type: ignore[misc]
            await first
            await (await late)
        await fsync.settle()
    await env.scope.close()
    fsync.close()
