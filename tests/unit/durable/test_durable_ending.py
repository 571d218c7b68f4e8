"""Why a saga is undone, compensations that never give up, and the method that closes a saga either way."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import Conflict, OutcomeUnknown, Unavailable
from hanse.durable import Failure, SagaContext, saga, step

Join = Callable[..., Awaitable[Any]]


class OutOfStock(Conflict):
    code = "out_of_stock"


@dataclass
class World:
    """What was done, what was told about failures, and what fails next."""

    fails: dict[str, list[Exception]] = field(default_factory=lambda: defaultdict(list))
    log: list[str] = field(default_factory=list)
    told: list[Failure | None] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    hold: bool = False

    def act(self, name: str) -> None:
        self.log.append(name)
        if self.fails[name]:
            raise self.fails[name].pop(0)


@saga("buy", ended="close")
class Buy:
    def __init__(self, world: World) -> None:
        self.world = world

    @step(compensate="release", attempts=2, undo_attempts=0)
    async def reserve(self, order_id: str, context: SagaContext) -> str:
        self.world.told.append(context.failure)
        self.world.act("reserve")
        return f"held-{order_id}"

    async def release(self, context: SagaContext) -> None:
        self.world.told.append(context.failure)
        if self.world.hold:
            self.world.entered.set()
            await asyncio.Event().wait()
        self.world.act("release")

    @step(attempts=2)
    async def charge(self) -> None:
        self.world.act("charge")

    async def close(self, order_id: str, reserve: str | None, context: SagaContext, db: AsyncSession) -> None:
        self.world.told.append(context.failure)
        outcome = context.failure.code if context.failure else "bought"
        await db.execute(
            text("INSERT INTO ends VALUES (:id, :held, :how)"), [{"id": order_id, "held": reserve, "how": outcome}]
        )
        self.world.act("close")


@pytest.fixture
def world() -> World:
    return World()


async def with_world(join: Join, world: World) -> Any:
    replica = await join(start=False)
    replica.durable.sagas.register(Buy, lambda: Buy(world))
    await replica.rows("CREATE TABLE IF NOT EXISTS ends (id TEXT PRIMARY KEY, held TEXT, how TEXT)")
    await replica.durable.start()
    return replica


@pytest.fixture
async def shop(join: Join, world: World) -> Any:
    return await with_world(join, world)


async def test_the_end_is_written_with_the_last_mark(shop: Any, world: World) -> None:
    assert await shop.finish(Buy, "o1") == "done"
    assert world.log == ["reserve", "charge", "close"]
    assert await shop.rows("SELECT * FROM ends") == [("o1", "held-o1", "bought")]
    assert world.told == [None, None]
    (status,) = await shop.durable.sagas.recent("ended")
    assert [(s.name, s.state) for s in status.steps] == [("reserve", "done"), ("charge", "done"), ("close", "done")]


@pytest.mark.parametrize(
    ("errors", "failure"),
    [
        ([OutOfStock("none  left")], Failure("charge", "out_of_stock", "none left", refused=True)),
        ([Unavailable("away")] * 2, Failure("charge", "unavailable", "away", refused=False)),
        ([OutcomeUnknown("sent")] * 2, Failure("charge", "outcome_unknown", "sent", refused=False)),
        ([TimeoutError()] * 2, Failure("charge", "deadline_exceeded", "TimeoutError", refused=False)),
        ([ZeroDivisionError("oops")], Failure("charge", "internal", "ZeroDivisionError: oops", refused=False)),
    ],
)
async def test_compensations_and_the_end_know_why(
    shop: Any, world: World, errors: list[Exception], failure: Failure
) -> None:
    world.fails["charge"] = list(errors)
    assert await shop.finish(Buy, "o1") == "undone"
    assert world.log[-2:] == ["release", "close"]
    assert world.told == [None, failure, failure]
    assert await shop.rows("SELECT * FROM ends") == [("o1", "held-o1", failure.code)]
    (status,) = await shop.durable.sagas.recent("ended")
    assert [s.state for s in status.steps] == ["undone", "failed", "done"]


async def test_the_end_of_a_saga_whose_first_step_was_refused(shop: Any, world: World) -> None:
    world.fails["reserve"] = [OutOfStock("none left")]
    assert await shop.finish(Buy, "o1") == "undone"
    assert world.log == ["reserve", "close"]
    assert await shop.rows("SELECT * FROM ends") == [("o1", None, "out_of_stock")]


async def test_why_survives_the_replica(join: Join, world: World) -> None:
    doomed, heir = World(hold=True), world
    doomed.fails["charge"] = [OutOfStock("none left")]
    one, two = await with_world(join, doomed), await with_world(join, heir)
    saga_id = await one.run(Buy, "o1")
    await doomed.entered.wait()
    one.durable.worker._task.cancel()
    one.durable.adoption.stop()
    await two.rows("UPDATE hanse_worker SET lease_until = 0 WHERE id = ?", one.durable.worker.id)
    await two.durable.adoption.scan()
    async with asyncio.timeout(10):
        while (await two.durable.sagas.status(saga_id)).state != "undone":
            await asyncio.sleep(0.001)
    failure = Failure("charge", "out_of_stock", "none left", refused=True)
    assert (heir.log, heir.told) == (["release", "close"], [failure, failure])


async def test_an_end_can_not_refuse(shop: Any, world: World) -> None:
    world.fails["close"] = [Conflict("no"), ZeroDivisionError(), *[Unavailable("busy")] * 20]
    assert await shop.finish(Buy, "o1") == "done"
    assert world.log == ["reserve", "charge", *["close"] * 23]
    assert await shop.rows("SELECT * FROM ends") == [("o1", "held-o1", "bought")], "each failure was rolled back"


async def test_a_compensation_that_may_pass_is_repeated_for_ever(shop: Any, world: World) -> None:
    world.fails["charge"] = [Conflict("no")]
    world.fails["release"] = [Unavailable("away"), OutcomeUnknown("sent"), TimeoutError()] * 5 + [Conflict("once")]
    assert await shop.finish(Buy, "o1") == "undone"
    assert world.log.count("release") == 17, "more than the three attempts of the options"


async def test_a_compensation_that_is_refused_for_good_is_parked_and_the_saga_closed(shop: Any, world: World) -> None:
    world.fails["charge"] = [Conflict("no")]
    world.fails["release"] = [Unavailable("away")] * 5 + [Conflict("never")] * 3
    assert await shop.finish(Buy, "o1") == "stuck"
    assert world.log[-2:] == ["release", "close"]
    (status,) = await shop.durable.sagas.recent("stuck")
    assert [s.state for s in status.steps] == ["stuck", "failed", "done"]
    await shop.durable.sagas.retry_stuck(status.id)
    await shop.durable.settled()
    assert (await shop.durable.sagas.status(status.id)).state == "undone"
    assert world.log[-2:] == ["close", "release"], "it was closed once"
    assert world.told[-1] == Failure("charge", "conflict", "no", refused=True)


async def test_a_step_may_say_how_often_it_is_undone(shop: Any, world: World) -> None:
    @saga("twice")
    class Twice:
        @step(compensate="undo", undo_attempts=2)
        async def one(self, order_id: str) -> None: ...

        async def undo(self) -> None:
            world.log.append("undo")
            raise Unavailable("away")

        @step
        async def two(self) -> None:
            raise Conflict("no")

    assert await shop.finish(Twice, "o1") == "stuck"
    assert world.log == ["undo", "undo"]
