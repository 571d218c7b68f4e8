"""The journal of sagas: marks written in groups, each fenced; or in the transaction of a local step."""

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env
from hanse.durable.context import Failure
from hanse.durable.errors import LeaseLost
from hanse.durable.instance import Instance
from hanse.durable.machine import Mark, State
from hanse.durable.store import Run, Store, Values

_SINGLE = {"attempt failed": "attempt_failed", "birth": "saga_insert"}
"""Writes that are one statement."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action ended."""

    mark: Mark
    result: str | None
    """JSON text."""
    error: str | None
    attempts: int
    started_at_s: float
    failure: Failure | None = None
    """Why the saga is to be undone from now on."""


class Journal:
    """Writes what has happened to sagas.

    Checkpoints that come while a commit is under way gather for the next one: one transaction, one flush of the disk
    for all of them.

    Guarantees: a mark is written once, by the replica whose fence the saga bears; else `LeaseLost` is raised and
    nothing is written. A mark is durable when the call returns.
    """

    def __init__(self, env: Env, store: Store) -> None:
        self.groups = 0
        """Transactions made; writes per group is the measure of how well grouping works."""
        self._env = env
        self._store = store
        self._waiting: list[tuple[str, Values, asyncio.Future[bool]]] = []

    async def write(self, instance: Instance, outcome: Outcome) -> None:
        """Write a mark, in a group.

        Raises:
            LeaseLost: the saga belongs to another replica.
            Unavailable: nothing was written; may be tried again.
        """
        what = "mark and move" if _moves(outcome) else "mark"
        if not await self._gather(what, self._values(instance, outcome)):
            raise _lost(instance)

    async def write_in(self, session: AsyncSession, instance: Instance, outcome: Outcome) -> None:
        """Write a mark in a local step's own transaction. Raises as `write`; the transaction must then roll back."""
        values = self._values(instance, outcome)
        if await self._store.run_in(session, "mark_insert", values) != 1:
            raise _lost(instance)
        if _moves(outcome):
            await self._store.run_in(session, "mark_saga", values)

    async def write_failure(self, instance: Instance, trouble: str) -> None:
        """Note that an attempt failed and will be repeated: for status, and for the count after a crash."""
        values = {
            "id": instance.id,
            "fence": instance.fence,
            "attempt": instance.attempt,
            "trouble": trouble,
            "now": self._env.clock.now(),
        }
        if not await self._gather("attempt failed", values):
            raise _lost(instance)

    async def write_birth(self, values: Values) -> bool:
        """Write a new saga, in a group; False when its id is taken."""
        return await self._gather("birth", values)

    async def _gather(self, what: str, values: Values) -> bool:
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._env.scope.spawn(self._commit(), name="saga checkpoints")
        self._waiting.append((what, values, written))
        return await written

    async def _commit(self) -> None:
        """One group: taken once the transaction has begun, answered once it is durable."""
        group: list[tuple[str, Values, asyncio.Future[bool]]] = []
        answers: list[bool] = []

        def apply(run: Run) -> None:
            group[:], self._waiting = self._waiting, []
            for what, values, _ in group:
                if what in _SINGLE:
                    fits = run(_SINGLE[what], values) == 1
                else:
                    fits = run("mark_insert", values) == 1
                    if fits and what == "mark and move":
                        run("mark_saga", values)
                answers.append(fits)

        try:
            await self._store.write_group(apply)
        except BaseException as error:
            if not group:
                group, self._waiting = self._waiting, []
            for _, _, written in group:
                if written.done():
                    continue
                if isinstance(error, Exception):
                    written.set_exception(error)
                else:
                    written.cancel()
            if not isinstance(error, Exception):
                raise
            return
        self.groups += 1
        for (_, _, written), fits in zip(group, answers, strict=True):
            if not written.done():
                written.set_result(fits)

    def _values(self, instance: Instance, outcome: Outcome) -> dict[str, Any]:
        mark = outcome.mark
        return {
            "id": instance.id,
            "fence": instance.fence,
            "step": mark.step,
            "kind": int(mark.kind),
            "name": instance.definition.steps[mark.step].name,
            "state": int(mark.state),
            "attempts": outcome.attempts,
            "result": outcome.result,
            "error": outcome.error,
            "reason": outcome.error if outcome.failure else None,
            "failure": json.dumps(asdict(outcome.failure)) if outcome.failure else None,
            "started_at": outcome.started_at_s,
            "now": self._env.clock.now(),
        }


def _moves(outcome: Outcome) -> bool:
    """True when the saga's own row changes too: its state does, or it tells of failed attempts.

    A mark alone is enough for a step that went well; it halves the cost of a checkpoint.
    """
    return outcome.mark.state is not State.RUNNING or outcome.attempts > 1


def _lost(instance: Instance) -> LeaseLost:
    return LeaseLost(f"saga {instance.id} belongs to another replica")
