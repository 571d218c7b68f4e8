"""Ownership of tasks and resources: who started what, and who ends it.

A node owns one scope. Ending the node gracefully is `close`; a crash in simulation is `crash`, which must not
run any coroutine. Nothing in Hanse starts a task or a thread except through a scope.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hanse.core.clock import Clock

T = TypeVar("T")
ErrorHook = Callable[[str, BaseException], None]

_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 5.0


def _to_stderr(name: str, error: BaseException) -> None:
    sys.stderr.write(f"task {name} failed: {error!r}\n")


class Scope:
    """Owns the background tasks, blocking calls and resources of one node.

    Args:
        clock: used for the pauses between restarts of supervised tasks.
        name: the node, put in front of the tasks' names.
    """

    def __init__(self, clock: Clock, name: str = "") -> None:
        self.name = name
        self.on_error: ErrorHook = _to_stderr
        """Called with the task's name and the error when a task of this scope fails; telemetry sets it."""
        self._clock = clock
        self._tasks: dict[asyncio.Task[Any], None] = {}  # a dict, so that the order is that of spawning
        self._releases: list[Callable[[], None]] = []
        self._pool: ThreadPoolExecutor | None = None

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `work` in the background, owned by this scope. An error goes to `on_error` and ends only this task."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}" if self.name else name)
        self._tasks[task] = None
        task.add_done_callback(self._done)
        return task

    def supervise(self, work: Callable[[], Awaitable[None]], *, name: str) -> asyncio.Task[None]:
        """Run `work()` for ever: when it fails or returns, start it again after 0.05 s, doubling up to 5 s.

        For loops that must not die silently (relays, heartbeats, watches). Cancel the returned task to end it.
        """

        async def loop() -> None:
            pause = _BACKOFF_FIRST_S
            while True:
                began = self._clock.monotonic()
                try:
                    await work()
                except Exception as error:
                    self.on_error(name, error)
                if self._clock.monotonic() - began > _BACKOFF_MAX_S:
                    pause = _BACKOFF_FIRST_S
                await self._clock.sleep(pause)
                pause = min(pause * 2, _BACKOFF_MAX_S)

        return self.spawn(loop(), name=name)

    async def blocking(self, work: Callable[..., T], *args: Any) -> T:
        """Run a blocking or CPU-heavy function in a thread; at most 4 at once in a node."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(4, thread_name_prefix=self.name or "hanse")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    def own(self, release: Callable[[], None]) -> None:
        """Have `release` called, when the scope closes or its node crashes (last in, first out)."""
        self._releases.append(release)

    async def close(self) -> None:
        """Cancel the tasks, wait for them, release the resources. Safe to call twice, and before anything ran."""
        while self._tasks:
            tasks = [task for task in self._tasks if task is not asyncio.current_task()]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in tasks:
                self._tasks.pop(task, None)
        self.crash()

    def crash(self) -> None:
        """Release the resources without running a coroutine: what is left when a process is killed."""
        while self._releases:
            self._releases.pop()()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_error(task.get_name(), error)
