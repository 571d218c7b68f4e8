"""Sagas on a real database: what is done, undone, repeated, parked, and what a rollback leaves behind."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import RequestContext, current, use
from hanse.core.errors import ConfigurationError, Conflict, InvalidInput, NotFound, OutcomeUnknown, Unavailable
from hanse.durable import Attempt, DurableOptions, SagaContext, SagaEnd, SagaExists, saga, step

Join = Callable[..., Awaitable[Any]]


class Held(BaseModel):
    id: str


@dataclass
class World:
    """The services that the saga calls: fails as told, remembers what was done and undone."""

    fails: dict[str, list[Exception]] = field(default_factory=lambda: defaultdict(list))
    log: list[str] = field(default_factory=list)
    contexts: list[tuple[SagaContext, RequestContext, float | None]] = field(default_factory=list)

    async def act(self, name: str) -> None:
        await asyncio.sleep(0)
        self.log.append(name)
        if self.fails[name]:
            raise self.fails[name].pop(0)


@saga("place-order", version=2)
class Place:
    def __init__(self, world: World) -> None:
        self.world = world

    @step(compensate="release")
    async def reserve(self, order_id: str, context: SagaContext) -> Held:
        self.world.contexts.append((context, current(), current().deadline))
        await self.world.act("reserve")
        return Held(id=f"held-{order_id}")

    async def release(self, held: Held | None, context: SagaContext) -> None:
        self.world.contexts.append((context, current(), current().deadline))
        await self.world.act(f"release {held.id if held else '?'}")

    @step(compensate="reject")
    async def confirm(self, order_id: str, db: AsyncSession) -> int:
        await db.execute(text("INSERT INTO orders VALUES (:id)"), {"id": order_id})
        await self.world.act("confirm")
        return 7

    async def reject(self, order_id: str, confirmed: int, db: AsyncSession) -> None:
        await db.execute(text("DELETE FROM orders WHERE id = :id"), {"id": order_id})
        await self.world.act(f"reject {confirmed}")

    @step
    async def note(self) -> None:
        await self.world.act("note")

    @step(compensate="refund", timeout=0.3, attempts=3)
    async def charge(self, held: Held, confirm: int) -> str:
        await self.world.act("charge")
        return f"{held.id}/{confirm}"

    async def refund(self, charge: str | None) -> None:
        await self.world.act(f"refund {charge or '?'}")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def shop(join: Join, world: World) -> Any:
    replica = await join(start=False)
    replica.durable.sagas.register(Place, lambda: Place(world))
    await replica.rows("CREATE TABLE orders (id TEXT PRIMARY KEY)")
    await replica.durable.start()
    return replica


async def test_steps_run_in_order_and_see_the_results_before_them(shop: Any, world: World) -> None:
    ends: list[SagaEnd] = []
    shop.durable.hooks.ended = ends.append
    saga_id = await shop.run(Place, "o1")
    await shop.durable.settled()
    status = await shop.durable.sagas.status(saga_id)
    assert world.log == ["reserve", "confirm", "note", "charge"]
    assert status.state == "done"
    assert [(s.name, s.state, s.attempts) for s in status.steps] == [
        (name, "done", 1) for name in ("reserve", "confirm", "note", "charge")
    ]
    assert all(s.started_at <= s.ended_at for s in status.steps)
    stored = "SELECT name, result, fence FROM hanse_saga_step WHERE saga_id = ? ORDER BY step"
    assert await shop.rows(stored, saga_id) == [
        ("reserve", '{"id":"held-o1"}', 1),
        ("confirm", "7", 1),
        ("note", None, 1),
        ("charge", '"held-o1/7"', 1),
    ]
    assert [(end.id, end.name, end.state.name) for end in ends] == [(saga_id, "place-order", "DONE")]


async def test_a_decline_undoes_what_was_done_in_reverse(shop: Any, world: World) -> None:
    world.fails["charge"] = [Conflict("card declined")]
    assert await shop.finish(Place, "o1") == "undone"
    assert world.log == ["reserve", "confirm", "note", "charge", "reject 7", "release held-o1"]
    assert await shop.rows("SELECT * FROM orders") == []
    (status,) = await shop.durable.sagas.recent("ended")
    assert status.error == "Conflict: card declined"
    assert [s.state for s in status.steps] == ["undone", "undone", "done", "failed"]


async def test_what_may_pass_is_tried_again(shop: Any, world: World) -> None:
    world.fails["reserve"] = [Unavailable("down"), OutcomeUnknown("sent"), TimeoutError()]
    assert await shop.finish(Place, "o1") == "done"
    assert world.log.count("reserve") == 4
    (status,) = await shop.durable.sagas.recent("ended")
    assert status.steps[0].attempts == 4


async def test_an_outcome_that_stays_unknown_is_undone_too(shop: Any, world: World) -> None:
    world.fails["charge"] = [OutcomeUnknown("sent")] * 3
    assert await shop.finish(Place, "o1") == "undone"
    assert world.log[3:] == ["charge", "charge", "charge", "refund ?", "reject 7", "release held-o1"]


async def test_an_unknown_outcome_is_not_forgotten_when_a_later_attempt_is_refused(shop: Any, world: World) -> None:
    world.fails["charge"] = [OutcomeUnknown("sent"), Conflict("declined")]
    assert await shop.finish(Place, "o1") == "undone"
    assert world.log[3:] == ["charge", "charge", "refund ?", "reject 7", "release held-o1"]


async def test_a_bug_in_a_step_is_not_repeated_but_undone(shop: Any, world: World) -> None:
    world.fails["charge"] = [ZeroDivisionError("oops")]
    assert await shop.finish(Place, "o1") == "undone"
    assert world.log[3:5] == ["charge", "refund ?"]


async def test_a_step_that_takes_too_long_is_cut_off_and_undone(shop: Any, world: World) -> None:
    never = asyncio.Event()

    @saga("slow")
    class Slow:
        @step(compensate="undo", timeout=0.01, attempts=2)
        async def hang(self, order_id: str) -> str:
            world.log.append("hang")
            await never.wait()
            return order_id

        async def undo(self, hang: str | None) -> None:
            world.log.append(f"undo {hang}")

    assert await shop.finish(Slow, "o1") == "undone"
    assert world.log == ["hang", "hang", "undo None"]


async def test_compensation_goes_on_past_a_failing_one_which_is_parked_and_can_be_taken_up(
    shop: Any, world: World
) -> None:
    world.fails["charge"] = [Conflict("declined")]
    world.fails["reject 7"] = [Conflict("no")] * 3
    saga_id = await shop.run(Place, "o1")
    await shop.durable.settled()
    status = await shop.durable.sagas.status(saga_id)
    assert status.state == "stuck"
    assert [s.state for s in status.steps] == ["undone", "stuck", "done", "failed"]
    assert status.steps[1].error == "Conflict: no"
    assert world.log[4:] == ["reject 7"] * 3 + ["release held-o1"]
    assert [s.id for s in await shop.durable.sagas.recent("stuck")] == [saga_id]
    assert await shop.rows("SELECT * FROM orders") == [("o1",)], "what the failed compensation did was rolled back"
    await shop.durable.sagas.retry_stuck(saga_id)
    await shop.durable.settled()
    assert (await shop.durable.sagas.status(saga_id)).state == "undone"
    assert world.log[-1] == "reject 7"
    assert world.log.count("release held-o1") == 1
    with pytest.raises(NotFound):
        await shop.durable.sagas.retry_stuck(saga_id)


async def test_a_compensation_that_needs_the_result_is_parked_when_nobody_knows_it(shop: Any, world: World) -> None:
    @saga("strict")
    class Strict:
        @step(compensate="undo", attempts=2)
        async def take(self, failure: str) -> str:
            raise OutcomeUnknown("sent") if failure == "unknown" else Unavailable("down")

        async def undo(self, take: str) -> None:
            world.log.append("undo")

    assert await shop.finish(Strict, "unknown") == "stuck"
    (status,) = await shop.durable.sagas.recent("stuck")
    assert "can't do without its result" in (status.steps[0].error or "")
    assert await shop.finish(Strict, "down") == "undone", "it certainly did nothing"
    assert world.log == []


async def test_a_local_step_is_all_or_nothing(shop: Any, world: World) -> None:
    world.fails["confirm"] = [Unavailable("once"), ZeroDivisionError()]
    assert await shop.finish(Place, "o1") == "undone"
    assert await shop.rows("SELECT * FROM orders") == []
    assert world.log == ["reserve", "confirm", "confirm", "release held-o1"], "rolled back, so there is nothing to undo"


async def test_a_local_step_that_was_given_up_needs_no_undo(shop: Any, world: World) -> None:
    @saga("local")
    class Local:
        @step(compensate="undo", attempts=2)
        async def save(self, order_id: str, db: AsyncSession) -> None:
            raise Unavailable("busy")

        async def undo(self) -> None:
            world.log.append("undo")

    assert await shop.finish(Local, "o1") == "undone"
    (status,) = await shop.durable.sagas.recent("ended")
    assert (status.steps[0].state, status.steps[0].attempts) == ("failed", 2)
    assert world.log == []


async def test_a_rolled_back_start_never_runs(shop: Any, world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with shop.database.transaction() as session:
            saga_id = await shop.durable.sagas.start(session, Place, "o1")
            assert not world.log
            raise ZeroDivisionError
    assert await shop.durable.quiet()
    with pytest.raises(NotFound):
        await shop.durable.sagas.status(saga_id)
    assert world.log == []


async def test_nothing_runs_before_the_commit(shop: Any, world: World) -> None:
    async with shop.database.transaction() as session:
        await shop.durable.sagas.start(session, Place, "o1")
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.log == []
    await shop.durable.settled()
    assert len(world.log) == 4


async def test_an_id_of_ones_own_starts_once(shop: Any, world: World) -> None:
    assert await shop.finish(Place, "o1", saga_id="order-1") == "done"
    with pytest.raises(SagaExists):
        await shop.run(Place, "o1", saga_id="order-1")
    assert len(world.log) == 4


async def test_a_saga_can_be_started_without_a_transaction_of_ones_own(shop: Any, world: World) -> None:
    await asyncio.gather(*(shop.durable.sagas.start_now(Place, f"o{n}", saga_id=f"s{n}") for n in range(10)))
    groups = shop.durable.journal.groups
    assert groups < 10, "what comes at once is committed at once"
    with pytest.raises(SagaExists):
        await shop.durable.sagas.start_now(Place, "o1", saga_id="s1")
    await shop.durable.settled()
    assert world.log.count("charge") == 10
    assert {status.state for status in await shop.durable.sagas.recent("ended")} == {"done"}


async def test_checkpoints_of_sagas_in_flight_share_commits(shop: Any, world: World) -> None:
    async with shop.database.transaction() as session:
        for number in range(20):
            await shop.durable.sagas.start(session, Place, f"o{number}")
    await shop.durable.settled()
    assert shop.durable.journal.groups < 20 * 3 / 2


async def test_an_input_that_does_not_fit_is_refused(shop: Any) -> None:
    with pytest.raises(InvalidInput, match='input of saga "place-order" does not fit'):
        await shop.run(Place, {"order": 1})


async def test_steps_run_in_the_context_of_the_request_that_started_the_saga(shop: Any, world: World) -> None:
    shop.durable.hooks.traceparent = lambda: "00-abc-def-01"
    attempts: list[Attempt] = []

    class Span:
        def __init__(self, attempt: Attempt) -> None:
            attempts.append(attempt)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    shop.durable.hooks.attempt = Span
    world.fails["charge"] = [Conflict("declined")]
    with use(RequestContext(correlation_id="c-1", deadline=0.0)):
        saga_id = await shop.run(Place, "o1")
    await shop.durable.settled()
    (do, context, deadline), (undo, _, _) = world.contexts
    assert context.correlation_id == do.correlation_id == "c-1"
    assert context.principal is None
    assert deadline is not None and deadline > 1.0, "the step's own, not the request's"
    assert do.key == undo.key == f"{saga_id}:reserve"
    assert (do.compensating, undo.compensating) == (False, True)
    status = await shop.durable.sagas.status(saga_id)
    assert (status.correlation_id, status.traceparent) == ("c-1", "00-abc-def-01")
    assert [(a.step, a.compensating, a.traceparent) for a in attempts][-2:] == [
        ("confirm", True, "00-abc-def-01"),
        ("reserve", True, "00-abc-def-01"),
    ]


async def test_status_tells_of_a_step_under_way(shop: Any, world: World, holds: Any) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()

    @saga("gated")
    class Gated:
        @step(compensate="undo")
        async def one(self, order_id: str) -> None: ...

        async def undo(self) -> None:
            entered.set()
            await gate.wait()

        @step
        async def two(self) -> None:
            entered.set()
            await gate.wait()
            raise Conflict("no")

        @step
        async def three(self) -> None: ...

    saga_id = await shop.run(Gated, "o1")
    await entered.wait()
    assert [s.state for s in (await shop.durable.sagas.status(saga_id)).steps] == ["done", "running", "pending"]
    entered.clear()
    gate.set()
    gate = asyncio.Event()
    await entered.wait()
    status = await shop.durable.sagas.status(saga_id)
    assert (status.state, [s.state for s in status.steps]) == ("undoing", ["undoing", "failed", "pending"])
    assert [s.id for s in await shop.durable.sagas.recent("live")] == [saga_id]
    gate.set()
    await shop.durable.settled()


async def test_two_classes_of_one_name_and_version_are_refused(shop: Any) -> None:
    @saga("place-order", version=2)
    class Other:
        @step
        async def one(self, order_id: str) -> None: ...

    with pytest.raises(ConfigurationError, match='both declare saga "place-order" version 2'):
        shop.durable.sagas.register(Other)


async def test_more_sagas_than_a_replica_takes_wait_in_the_database(join: Join, world: World) -> None:
    replica = await join(options=DurableOptions(max_running=3))
    busiest = 0

    @saga("small")
    class Small:
        @step
        async def one(self, order_id: int) -> None:
            nonlocal busiest
            busiest = max(busiest, len(replica.durable._runner.running))
            await asyncio.sleep(0)
            world.log.append(str(order_id))

    async with replica.database.transaction() as session:
        for number in range(20):
            await replica.durable.sagas.start(session, Small, number)
    async with asyncio.timeout(10):
        await replica.durable.settled()
    assert sorted(map(int, world.log)) == list(range(20))
    assert busiest == 3


errors = st.sampled_from([None, Conflict("no"), Unavailable("down"), OutcomeUnknown("sent"), ZeroDivisionError()])
NAMES = ("reserve", "confirm", "note", "charge", "refund ?", "reject 7", "release held-o1", "release ?")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fails=st.dictionaries(st.sampled_from(NAMES), st.lists(errors, max_size=7), max_size=5))
async def test_whatever_fails_the_end_is_final_and_what_took_effect_is_undone(
    shop: Any, world: World, fails: dict[str, list[Exception | None]]
) -> None:
    world.log.clear()
    world.fails.clear()
    world.fails.update({name: [error for error in some if error is not None] for name, some in fails.items()})
    await shop.rows("DELETE FROM orders")
    saga_id = await shop.run(Place, "o1")
    async with asyncio.timeout(20):
        await shop.durable.settled()
    state = (await shop.durable.sagas.status(saga_id)).state
    assert state in ("done", "undone", "stuck")
    marks = await shop.rows("SELECT name, kind FROM hanse_saga_step WHERE saga_id = ? ORDER BY at, step", saga_id)
    done = [name for name, kind in marks if kind == 0]
    assert done == list(("reserve", "confirm", "note", "charge")[: len(done)])
    orders = await shop.rows("SELECT * FROM orders")
    if state == "done":
        assert len(done) == 4 and orders == [("o1",)]
    if state == "undone":
        assert orders == []
        undone = [name for name, kind in marks if kind == 1]
        doubtful = [name for name, kind in marks if kind == 3]
        assert set(undone) == {name for name in [*done, *doubtful] if name != "note"}
