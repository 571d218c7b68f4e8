"""Replicas that die, freeze and come back: who goes on, and what the others can no longer write."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import Conflict
from hanse.durable import Durable, SagaContext, saga, step
from hanse.durable.queries import Queries

Join = Callable[..., Awaitable[Any]]
Holds = Callable[[Callable[[], object]], Awaitable[None]]


@dataclass
class Stage:
    """Where a replica waits inside a step until the test lets it go on."""

    log: list[str] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


@saga("relay-race")
class Race:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @step(compensate="undo_first")
    async def first(self, number: int) -> int:
        self.stage.log.append("first")
        return number

    async def undo_first(self, first: int) -> None:
        self.stage.log.append("undo_first")

    @step(compensate="undo_second", timeout=30)
    async def second(self, number: int, context: SagaContext) -> None:
        self.stage.log.append("second")
        self.stage.entered.set()
        await self.stage.go.wait()

    async def undo_second(self) -> None:
        self.stage.log.append("undo_second")

    @step
    async def third(self, number: int, db: AsyncSession) -> None:
        await db.execute(text("INSERT INTO thirds VALUES (:number)"), {"number": number})


async def with_stage(join: Join, stage: Stage, **options: Any) -> Any:
    replica = await join(start=False, **options)
    replica.durable.sagas.register(Race, lambda: Race(stage))
    await replica.rows("CREATE TABLE IF NOT EXISTS thirds (number INTEGER)")
    await replica.durable.start()
    return replica


def freeze(durable: Durable) -> None:
    """As if the process had been stopped: no heartbeat, no scan; what runs stays where it is."""
    assert durable.worker._task is not None
    durable.worker._task.cancel()
    durable.adoption.stop()


async def expire(replica: Any, worker: int | None) -> None:
    await replica.rows("UPDATE hanse_worker SET lease_until = 0 WHERE id = ?", worker)


async def test_a_dead_replicas_saga_goes_on_elsewhere_without_repeating_what_is_done(join: Join) -> None:
    a, b = Stage(), Stage()
    one, two = await with_stage(join, a), await with_stage(join, b)
    b.go.set()
    saga_id = await one.run(Race, 7)
    await a.entered.wait()
    freeze(one.durable)
    await expire(two, one.durable.worker.id)
    two.durable.adoption.bell.ring()
    async with asyncio.timeout(5):
        while (await two.durable.sagas.status(saga_id)).state != "done":
            await asyncio.sleep(0.005)
    assert (a.log, b.log) == (["first", "second"], ["second"])
    assert two.durable.adoption.adopted == 1
    a.go.set()  # the frozen one thaws, in the middle of its step
    async with asyncio.timeout(5):
        while one.durable._runner.running:
            await asyncio.sleep(0.005)
    assert await two.rows("SELECT number FROM thirds") == [(7,)]
    marks = await two.rows("SELECT name, fence, owner FROM hanse_saga_step ORDER BY step")
    new, old = two.durable.worker.id, one.durable.worker.id
    assert marks == [("first", 1, old), ("second", 2, new), ("third", 2, new)]


async def test_a_zombies_local_step_is_rolled_back(join: Join) -> None:
    stage = Stage()

    @saga("local")
    class Local:
        @step(timeout=30)
        async def write(self, number: int, db: AsyncSession) -> None:
            stage.log.append("write")
            await db.execute(text("INSERT INTO thirds VALUES (:number)"), {"number": number})
            if len(stage.log) == 1:
                # between this step's first write and its commit nobody else can write: so the fence is raised here
                await db.execute(text("UPDATE hanse_saga SET fence = fence + 1"))

    one = await with_stage(join, stage)
    one.durable.sagas.register(Local)
    saga_id = await one.run(Local, 1)
    async with asyncio.timeout(5):
        while not stage.log or one.durable._runner.running:
            await asyncio.sleep(0.005)
    assert await one.rows("SELECT * FROM thirds") == []
    assert (await one.durable.sagas.status(saga_id)).state == "running"
    one.durable.adoption.bell.ring()  # the audit finds what this replica owns and does not run
    async with asyncio.timeout(5):
        await one.durable.settled()
    assert stage.log == ["write", "write"]
    assert await one.rows("SELECT * FROM thirds") == [(1,)]


async def test_a_replica_whose_lease_ran_out_drops_everything_and_comes_back_as_another(
    join: Join, holds: Holds
) -> None:
    stage = Stage()
    one = await with_stage(join, stage, lease_s=0.6)
    before = one.durable.worker.id
    await one.run(Race, 1)
    await stage.entered.wait()
    await expire(one, before)
    await holds(lambda: one.durable.worker.id not in (None, before))
    stage.go.set()
    async with asyncio.timeout(10):
        await one.durable.settled()
    assert await one.durable.ready() is None
    assert stage.log == ["first", "second", "second"], "the step under way was cancelled and begun again"
    marks = await one.rows("SELECT name, fence FROM hanse_saga_step ORDER BY step")
    assert marks == [("first", 1), ("second", 2), ("third", 2)]


async def test_a_saga_lost_from_memory_is_found_by_the_audit(join: Join) -> None:
    stage = Stage()
    one = await with_stage(join, stage)
    await one.run(Race, 1)
    await stage.entered.wait()
    one.durable._runner.drop_all()
    stage.go.set()
    one.durable.adoption.bell.ring()
    async with asyncio.timeout(5):
        await one.durable.settled()
    assert stage.log == ["first", "second", "second"]


async def test_stopping_hands_over_at_once(join: Join) -> None:
    a, b = Stage(), Stage()
    one, two = await with_stage(join, a, lease_s=60), await with_stage(join, b, lease_s=60)
    b.go.set()
    await one.run(Race, 1)
    await a.entered.wait()
    await one.durable.stop()
    two.durable.adoption.bell.ring()
    async with asyncio.timeout(5):
        await two.durable.settled()
    assert b.log == ["second"]
    await one.durable.stop()


async def test_draining_ends_after_the_step_under_way_and_leaves_the_rest(join: Join) -> None:
    stage = Stage()
    one = await with_stage(join, stage)
    saga_id = await one.run(Race, 1)
    await stage.entered.wait()
    drained = asyncio.create_task(one.durable.drain())
    stage.go.set()
    async with asyncio.timeout(5):
        await drained
    status = await one.durable.sagas.status(saga_id)
    assert [s.state for s in status.steps] == ["done", "done", "running"]
    assert await one.rows("SELECT * FROM thirds") == []
    unclaimed = await one.run(Race, 2)
    assert await one.rows("SELECT owner FROM hanse_saga WHERE id = ?", unclaimed) == [(None,)]


async def test_a_step_cut_short_by_a_crash_is_in_doubt(join: Join) -> None:
    """The dead replica may have reached the other side: a refusal of the new attempt proves nothing."""
    a, b = Stage(), Stage()

    class Refusing(Race):
        async def second(self, number: int, context: SagaContext) -> None:
            raise Conflict("no")

    one, two = await with_stage(join, a), await join(start=False)
    two.durable.sagas.register(Race, lambda: Refusing(b))
    saga_id = await one.run(Race, 1)
    await a.entered.wait()
    freeze(one.durable)
    one.durable._runner.drop_all()
    await two.durable.start()
    await expire(two, one.durable.worker.id)
    two.durable.adoption.bell.ring()
    async with asyncio.timeout(5):
        await two.durable.settled()
    assert (await two.durable.sagas.status(saga_id)).state == "undone"
    assert b.log == ["undo_second", "undo_first"]


async def test_sagas_that_a_service_does_not_know_are_left_alone(join: Join) -> None:
    stage = Stage()
    one = await with_stage(join, stage)
    saga_id = await one.run(Race, 1)
    await stage.entered.wait()
    await one.durable.stop()
    other = await join()
    assert not await other.durable.adoption.scan()
    assert await other.rows("SELECT fence FROM hanse_saga WHERE id = ?", saga_id) == [(1,)]
    assert (await other.durable.sagas.status(saga_id)).steps[0].name == "first"


async def test_a_journal_that_does_not_fit_the_code_is_set_aside_until_the_old_version_is_back(
    join: Join, holds: Holds
) -> None:
    stage = Stage()
    one = await with_stage(join, stage)
    saga_id = await one.run(Race, 1)
    await stage.entered.wait()
    await one.durable.stop()

    @saga("relay-race", version=2)
    class Renamed:
        @step
        async def start(self, number: int) -> None: ...

    newer = await join(Renamed)
    async with asyncio.timeout(5):
        while (await newer.durable.sagas.status(saga_id)).state != "stuck":
            await asyncio.sleep(0.005)
    assert 'whose step 1 is "first"' in ((await newer.durable.sagas.status(saga_id)).trouble or "")
    await holds(lambda: newer.errors)
    stage.go.set()
    newer.durable.sagas.register(Race, lambda: Race(stage))
    await newer.durable.sagas.retry_stuck(saga_id)
    async with asyncio.timeout(5):
        await newer.durable.settled()
    assert (await newer.durable.sagas.status(saga_id)).state == "done"


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("saga_orphaned", "USING INDEX hanse_saga_owner (owner=?)"),
        ("saga_due", "USING INDEX hanse_saga_due (due>? AND due<?)"),
        ("saga_owned", "hanse_saga_owner (owner=?)"),
        ("saga_list_stuck", "hanse_saga_stuck"),
    ],
)
async def test_the_probes_look_at_live_rows_only(replica: Any, query: str, index: str) -> None:
    values = {"now": 1.0, "names": "[]", "count": 1, "owner": 1}
    async with replica.database.raw() as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN " + Queries("sqlite").sql(query), values).fetchall()
    details = [row[3] for row in plan]
    assert any(index in detail for detail in details), details
    assert not any(detail.startswith("SCAN hanse_saga") for detail in details if "stuck" not in detail), details
