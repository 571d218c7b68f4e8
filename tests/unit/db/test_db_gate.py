"""The gate is fair and never gets lost."""

import asyncio

import pytest

from hanse.core.errors import ConfigurationError, Unavailable
from hanse.db.gate import Gate


async def _queue(gate: Gate, count: int, order: list[int]) -> list[asyncio.Task[None]]:
    async def one(number: int) -> None:
        await gate.acquire()
        order.append(number)
        gate.release()

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_those_who_wait_are_served_in_order_and_not_overtaken() -> None:
    gate, order = Gate(), []
    await gate.acquire()
    tasks = await _queue(gate, 5, order)
    gate.release()
    assert not await asyncio.create_task(_try(gate)), "a newcomer must not overtake"
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert not gate.locked


async def _try(gate: Gate) -> bool:
    return gate.try_acquire()


async def test_a_cancelled_waiter_is_skipped() -> None:
    gate, order = Gate(), []
    await gate.acquire()
    tasks = await _queue(gate, 3, order)
    tasks[0].cancel()
    gate.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [1, 2]
    assert not gate.locked


async def test_a_turn_given_to_a_task_that_is_cancelled_at_once_is_passed_on() -> None:
    gate, order = Gate(), []
    await gate.acquire()
    tasks = await _queue(gate, 2, order)
    gate.release()
    tasks[0].cancel()  # it was given the turn and has not run yet
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[0].cancelled()
    assert order == [1]
    assert not gate.locked


async def test_waiting_has_an_end() -> None:
    gate = Gate(patience_s=0.01)
    await gate.acquire()
    with pytest.raises(Unavailable):
        await asyncio.create_task(gate.acquire())
    gate.release()
    assert gate.try_acquire()


async def test_a_task_that_would_wait_for_itself_is_told() -> None:
    gate = Gate()
    await gate.acquire()
    with pytest.raises(ConfigurationError, match="already inside a write transaction"):
        await gate.acquire()
