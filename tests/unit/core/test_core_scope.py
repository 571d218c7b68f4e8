"""A scope owns what it starts: it ends it, it restarts what must not die, and it reports errors."""

import asyncio

from hanse.core import Clock, Scope


class InstantClock(Clock):
    """Sleeps end at once and are remembered."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = self.monotonic = lambda: 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def test_close_cancels_the_tasks_and_releases_in_reverse() -> None:
    scope, order = Scope(InstantClock(), "node"), list[str]()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = scope.spawn(work(), name="work")
    await asyncio.sleep(0)
    scope.own(lambda: order.append("first"))
    scope.own(lambda: order.append("second"))
    await scope.close()
    assert task.cancelled()
    assert ended.is_set()
    assert order == ["second", "first"]
    await scope.close()
    assert order == ["second", "first"]


async def test_close_works_before_anything_was_spawned() -> None:
    await Scope(InstantClock()).close()


async def test_a_failing_task_is_reported_by_name() -> None:
    scope, seen = Scope(InstantClock(), "node"), list[tuple[str, str]]()
    scope.on_error = lambda name, error: seen.append((name, str(error)))

    async def work() -> None:
        raise ValueError("boom")

    task = scope.spawn(work(), name="work")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert seen == [("node/work", "boom")]


async def test_supervised_work_starts_again_with_doubling_pauses() -> None:
    clock = InstantClock()
    scope, seen, enough = Scope(clock), list[str](), asyncio.Event()
    scope.on_error = lambda name, error: seen.append(name)

    async def work() -> None:
        if len(seen) == 4:
            enough.set()
            await asyncio.Event().wait()
        raise ValueError("boom")

    scope.supervise(work, name="loop")
    await enough.wait()
    await scope.close()
    assert seen == ["loop"] * 4
    assert clock.slept == [0.05, 0.1, 0.2, 0.4]


async def test_blocking_runs_off_the_loop() -> None:
    scope = Scope(InstantClock())
    started, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(number: int) -> int:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
        return number + 1

    result = asyncio.ensure_future(scope.blocking(work, 41))
    await started.wait()
    go.set()
    assert await result == 42
    await scope.close()


async def test_crash_runs_no_coroutine() -> None:
    scope, order = Scope(InstantClock()), list[str]()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("finally")

    task = scope.spawn(work(), name="work")
    await asyncio.sleep(0)
    scope.own(lambda: order.append("released"))
    scope.crash()
    assert order == ["released"]
    task.cancel()
    await asyncio.wait([task])
