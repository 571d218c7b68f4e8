"""The bulkhead: never more than its limit, first come first served, no place lost by cancellation."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.core import Env
from hanse.resilience import Bulkhead, BulkheadConfig, BulkheadFull, CallRejected, ResilienceEvent


async def turns(n: int = 3) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_refuses_beyond_the_limit_without_a_queue(env: Env) -> None:
    heard: list[ResilienceEvent] = []
    bulkhead = Bulkhead("b", env, BulkheadConfig(limit=1), on_event=heard.append)
    assert bulkhead.try_acquire()
    assert not bulkhead.try_acquire()
    with pytest.raises(BulkheadFull):
        await bulkhead.acquire()
    assert [type(event) for event in heard] == [CallRejected]
    bulkhead.release()
    assert bulkhead.try_acquire()


async def test_a_free_place_goes_to_the_first_who_waits(env: Env) -> None:
    bulkhead = Bulkhead("b", env, BulkheadConfig(limit=1, queue=2))
    order: list[str] = []

    async def enter(name: str) -> None:
        async with bulkhead.place():
            order.append(name)

    bulkhead.try_acquire()
    waiting = [asyncio.create_task(enter(name)) for name in ("first", "second")]
    await turns()
    assert bulkhead.snapshot().waiting == 2
    with pytest.raises(BulkheadFull, match="queue is full"):
        await bulkhead.acquire()
    bulkhead.release()
    assert not bulkhead.try_acquire(), "a newcomer must not overtake"
    await asyncio.gather(*waiting)
    assert order == ["first", "second"]
    assert bulkhead.running == 0


async def test_waits_no_longer_than_asked(env: Env) -> None:
    bulkhead = Bulkhead("b", env, BulkheadConfig(limit=1, queue=1, wait_s=60))
    bulkhead.try_acquire()
    with pytest.raises(BulkheadFull, match="in time"):
        await bulkhead.acquire(0.001)
    assert bulkhead.snapshot().waiting == 0


@pytest.mark.parametrize("release_first", [True, False])
async def test_no_place_is_lost_when_a_waiter_is_cancelled(env: Env, release_first: bool) -> None:
    bulkhead = Bulkhead("b", env, BulkheadConfig(limit=1, queue=1))
    bulkhead.try_acquire()
    waiter = asyncio.create_task(bulkhead.acquire())
    await turns()
    if release_first:
        bulkhead.release()
        waiter.cancel()
    else:
        waiter.cancel()
        bulkhead.release()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert bulkhead.running == 0
    assert bulkhead.snapshot().waiting == 0


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 3),
    queue=st.integers(0, 3),
    steps=st.lists(st.sampled_from(["enter", "leave", "cancel", "turn"]), max_size=40),
)
def test_any_use_keeps_the_count(limit: int, queue: int, steps: list[str]) -> None:
    async def scenario() -> None:
        bulkhead = Bulkhead("b", Env.build("test"), BulkheadConfig(limit=limit, queue=queue, wait_s=60))
        tasks: list[asyncio.Task[None]] = []
        held = 0
        for step in steps:
            if step == "enter":
                tasks.append(asyncio.create_task(bulkhead.acquire()))
            elif step == "cancel" and tasks:
                tasks[0].cancel()
            await turns(4 if step != "cancel" else 0)
            for task in [task for task in tasks if task.done()]:
                tasks.remove(task)
                held += not task.cancelled() and task.exception() is None
            if step == "leave" and held:
                bulkhead.release()
                held -= 1
            assert bulkhead.running <= limit
            assert bulkhead.snapshot().waiting <= queue
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            held += result is None
        for _ in range(held):
            bulkhead.release()
        assert (bulkhead.running, bulkhead.snapshot().waiting) == (0, 0)

    asyncio.run(scenario())
