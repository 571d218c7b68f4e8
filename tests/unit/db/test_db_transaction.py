"""Transactions: all or nothing, one after another, and nobody is left holding the lock."""

import asyncio
import gc
import warnings
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import MissingGreenlet, SAWarning

from hanse.core.errors import ConfigurationError, Conflict
from hanse.db import Database, ReadOnlySession, UnitOfWork, on_commit, on_rollback

Tables = Any


async def _emails(database: Database, tables: Tables) -> list[str]:
    async with database.read() as session:
        return list((await session.scalars(select(tables.email).order_by(tables.id))).all())


async def test_what_is_committed_is_there_for_readers(database: Database, tables: Tables) -> None:
    async with database.transaction() as session:
        session.add(tables(email="a"))
        await session.flush()
        assert await _emails(database, tables) == []
    assert await _emails(database, tables) == ["a"]


async def test_an_error_undoes_everything(database: Database, tables: Tables) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as session:
            session.add(tables(email="a"))
            await session.flush()
            session.add(tables(email="b"))
            await session.flush()
            raise ZeroDivisionError
    assert await _emails(database, tables) == []


async def test_the_same_error_inside_raw_undoes_everything(database: Database, tables: Tables) -> None:
    with pytest.raises(Conflict, match="email"):
        async with database.raw() as connection:
            connection.execute("INSERT INTO accounts (email, balance) VALUES ('a', 0)")
            connection.execute("INSERT INTO accounts (email, balance) VALUES ('a', 0)")
    assert await _emails(database, tables) == []
    async with database.raw() as connection:
        connection.execute("INSERT INTO accounts (email, balance) VALUES ('a', 0)")
    assert await _emails(database, tables) == ["a"]


async def test_a_savepoint_is_undone_alone(database: Database, tables: Tables) -> None:
    async with database.transaction() as session:
        session.add(tables(email="a"))
        await session.flush()
        with pytest.raises(Conflict):
            async with session.begin_nested():
                session.add(tables(email="a"))
        session.add(tables(email="b"))
    assert await _emails(database, tables) == ["a", "b"]


async def test_readers_refuse_to_write(database: Database, tables: Tables) -> None:
    with pytest.raises(ReadOnlySession):
        async with database.read() as session:
            await session.execute(text("INSERT INTO accounts (email, balance) VALUES ('a', 0)"))
    with pytest.raises(ReadOnlySession):
        async with database.read() as session:
            session.add(tables(email="a"))
    with pytest.raises(ReadOnlySession):
        async with database.read() as session:
            session.add(tables(email="a"))
            await session.flush()
    assert await _emails(database, tables) == []


async def test_a_reader_sees_one_state_while_others_write(database: Database, tables: Tables) -> None:
    async with database.read() as session:
        count = select(func.count()).select_from(tables)
        before = await session.scalar(count)
        async with database.transaction() as other:
            other.add(tables(email="a"))
        assert await session.scalar(count) == before == 0


async def test_constraints_are_conflicts(database: Database, tables: Tables, entries: Tables) -> None:
    async with database.transaction() as session:
        session.add(tables(id=1, email="a"))
    with pytest.raises(Conflict) as same_email:
        async with database.transaction() as session:
            session.add(tables(email="a"))
    assert (same_email.value.message, same_email.value.details) == (
        "already exists: email",
        {"constraint": "accounts.email"},
    )
    with pytest.raises(Conflict):
        async with database.transaction() as session:
            await session.execute(text("INSERT INTO accounts (id, email, balance) VALUES (1, 'b', 0)"))
    with pytest.raises(Conflict, match="not_negative"):
        async with database.transaction() as session:
            session.add(tables(email="c", balance=-1))
    with pytest.raises(Conflict, match="refers to"):
        async with database.transaction() as session:
            session.add(entries(account_id=77))


async def test_hooks_follow_the_outcome(database: Database, tables: Tables) -> None:
    calls: list[str] = []
    async with database.transaction() as session:
        on_commit(session, lambda: calls.append("committed"))
        on_rollback(session, lambda: calls.append("not this"))
        session.add(tables(email="a"))
        await session.flush()
        assert calls == []
    assert calls == ["committed"]
    with pytest.raises(Conflict):
        async with database.transaction() as session:
            on_commit(session, lambda: calls.append("nor this"))
            on_rollback(session, lambda: calls.append("rolled back"))
            session.add(tables(email="a"))
    assert calls == ["committed", "rolled back"]


async def test_hooks_of_an_explicit_commit_run_once(database: Database, tables: Tables) -> None:
    calls: list[str] = []
    async with database.transaction() as session:
        on_commit(session, lambda: calls.append("first"))
        session.add(tables(email="a"))
        await session.commit()
        assert calls == ["first"]
        on_commit(session, lambda: calls.append("second"))
    assert calls == ["first", "second"]


async def test_a_failing_hook_does_not_undo_the_commit(database: Database, tables: Tables, env: Any) -> None:
    reported: list[BaseException] = []
    env.scope.on_error = lambda name, error: reported.append(error)
    calls: list[str] = []
    async with database.transaction() as session:
        session.add(tables(email="a"))
        on_commit(session, lambda: [].pop())
        on_commit(session, lambda: calls.append("the next one runs"))
    assert await _emails(database, tables) == ["a"]
    assert calls == ["the next one runs"]
    assert [type(error) for error in reported] == [IndexError]


async def test_hooks_are_refused_where_nothing_is_committed(database: Database) -> None:
    async with database.read() as session:
        with pytest.raises(ConfigurationError):
            on_commit(session, lambda: None)


async def test_a_task_cancelled_inside_a_transaction_frees_the_gate(database: Database, tables: Tables) -> None:
    inside = asyncio.Event()

    async def stuck() -> None:
        async with database.transaction() as session:
            session.add(tables(email="never"))
            await session.flush()
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1), database.transaction() as session:
        session.add(tables(email="next"))
    assert await _emails(database, tables) == ["next"]


async def test_a_task_cancelled_in_the_queue_leaves_it_whole(database: Database, tables: Tables) -> None:
    async def write(email: str) -> None:
        async with database.transaction() as session:
            session.add(tables(email=email))

    async with database.transaction() as session:
        session.add(tables(email="first"))
        await session.flush()
        tasks = [asyncio.create_task(write(email)) for email in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await _emails(database, tables) == ["first", "a", "c"]


async def test_concurrent_increments_are_not_lost(database: Database, tables: Tables) -> None:
    async with database.transaction() as session:
        session.add(tables(id=1, email="a"))

    async def increment() -> None:
        async with database.transaction() as session:
            account = await session.get(tables, 1, with_for_update=False)
            before = account.balance
            await asyncio.sleep(0)
            account.balance = before + 1

    await asyncio.gather(*(increment() for _ in range(20)))
    async with database.read() as session:
        # The transaction begins with its first statement, so a read and a write in it can't be torn apart.
        assert (await session.get(tables, 1)).balance == 20


async def test_a_transaction_inside_a_transaction_is_an_error_not_a_standstill(
    database: Database, tables: Tables
) -> None:
    with pytest.raises(ConfigurationError, match="pass its session on"):
        async with database.transaction() as session:
            session.add(tables(email="a"))
            await session.flush()
            async with database.transaction() as inner:
                inner.add(tables(email="b"))
    async with database.transaction() as session:
        session.add(tables(email="c"))
    assert await _emails(database, tables) == ["c"]


async def test_a_session_lost_by_its_owner_frees_the_gate(database: Database, tables: Tables) -> None:
    async def lose() -> None:
        session = UnitOfWork(database._writer())
        session.add(tables(email="lost"))
        await session.flush()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # it says that the session was lost
        await asyncio.create_task(lose())
        gc.collect()
    async with asyncio.timeout(1), database.transaction() as session:
        session.add(tables(email="next"))
    assert await _emails(database, tables) == ["next"]


async def test_large_results_can_be_streamed(database: Database, tables: Tables) -> None:
    async with database.transaction() as session:
        session.add_all([tables(email=f"{number:03}") for number in range(300)])
    async with database.read() as session:
        result = await session.stream(select(tables.email).order_by(tables.email))
        assert [row.email async for row in result][-1] == "299"


async def test_lazy_loading_outside_a_session_call_is_refused_as_on_other_databases(
    database: Database, tables: Tables
) -> None:
    async with database.transaction() as session:
        session.add(tables(id=1, email="a"))
    async with database.read() as session:
        account = await session.get(tables, 1)
        session.expire(account)
        with pytest.raises(MissingGreenlet):
            _ = account.email


async def test_rows_are_fetched_before_the_task_can_be_suspended(database: Database, tables: Tables) -> None:
    async with database.transaction() as session:
        session.add_all([tables(email=str(number)) for number in range(3)])
    async with database.transaction() as session:
        result = await session.execute(select(tables.email).order_by(tables.email))
        await session.execute(text("DELETE FROM accounts"))
        assert result.scalars().all() == ["0", "1", "2"]


async def test_a_simulation_can_suspend_around_each_statement(open_database: Any, tables: Tables) -> None:
    points: list[str] = []

    async def pause(point: str) -> None:
        points.append(point)
        await asyncio.sleep(0)

    database = await open_database(pause=pause)
    points.clear()
    async with database.transaction() as session:
        session.add(tables(email="a"))
    assert points == ["begin", "execute", "commit", "committed"]
    points.clear()
    async with database.raw() as connection:
        connection.execute("DELETE FROM accounts")
    assert points == ["begin", "commit", "committed"]


async def test_no_statement_suspends_in_production(database: Database, tables: Tables) -> None:
    """What another task could do in between would show here."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    async with database.transaction() as session:
        before = turns
        session.add(tables(email="a"))
        await session.flush()
        await session.execute(select(tables))
        assert turns == before
        committed: list[int] = []
        event.listen(session.sync_session, "after_commit", lambda _: committed.append(turns))
    assert committed == [before]
    task.cancel()


async def test_stop_is_idempotent_and_works_before_start(env: Any, tmp_path: Any) -> None:
    database = Database(env, f"sqlite:///{tmp_path}/x.db")
    await database.stop()
    assert await database.ready() == "not started"
    await database.start()
    assert await database.ready() is None
    await database.stop()
    await database.stop()
    await database.start()
    assert await database.ready() is None
    await database.stop()


async def test_a_temporary_database_leaves_nothing_behind(env: Any, tables: Tables) -> None:
    database = Database(env, "sqlite://", metadata=tables.metadata)
    await database.start()
    async with database.transaction() as session:
        session.add(tables(email="a"))
    folder = database._temporary
    await database.stop()
    assert folder is not None
    assert not Path(folder).exists()


@pytest.mark.parametrize("url", ["postgresql://x/y", "nonsense", "mysql+aiomysql://x"])
def test_unknown_urls_are_refused_before_anything_starts(env: Any, url: str) -> None:
    with pytest.raises(ConfigurationError, match="database"):
        Database(env, url)


async def test_a_file_that_is_no_database_is_refused_at_the_start(env: Any, tmp_path: Any) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look at " * 40)
    database = Database(env, f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(ConfigurationError, match="can't be opened"):
        await database.start()
    await database.stop()
