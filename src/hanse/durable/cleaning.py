"""Forgets what is old: ended sagas, applied messages, answered keys, dead replicas. In small bites."""

import asyncio

from hanse.core import Env
from hanse.durable.options import DurableOptions
from hanse.durable.store import Store

_EVERY_S = 600.0
_BITE = 500
_DEAD_WORKER_S = 86_400.0


class Cleaning:
    """A slow loop in every replica; that several do the same is harmless."""

    def __init__(self, env: Env, store: Store, options: DurableOptions) -> None:
        self._env = env
        self._store = store
        self._options = options
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first round comes after a pause, so that a start stays quick."""
        self._task = self._env.scope.supervise(self._loop, name="durable cleaning")

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel the loop; the task that is ending, if any."""
        task, self._task = self._task, None
        if task is None:
            return []
        task.cancel()
        return [task]

    async def _loop(self) -> None:
        while True:
            await self._env.clock.sleep(_EVERY_S * self._env.random.uniform(0.5, 1.5))
            await self.round()

    async def round(self) -> int:
        """Forget everything that is old enough; the number of rows forgotten."""
        keep = self._options
        rounds = (
            ("saga_forget_steps", keep.keep_sagas_s),
            ("inbox_forget", keep.keep_inbox_s),
            ("idempotency_forget", keep.keep_keys_s),
            ("worker_forget", _DEAD_WORKER_S),
        )
        forgotten = 0
        for name, age_s in rounds:
            values = {"before": self._env.clock.now() - age_s, "count": _BITE}
            gone = _BITE
            while gone == _BITE:
                if name == "saga_forget_steps":
                    gone = await self._sagas(values)
                else:
                    gone = await self._store.write(name, values)
                forgotten += gone
        return forgotten

    async def _sagas(self, values: dict[str, float]) -> int:
        """Steps and saga in one transaction; the number of sagas."""
        async with self._store.transaction() as session:
            await self._store.run_in(session, "saga_forget_steps", values)
            return await self._store.run_in(session, "saga_forget", values)
