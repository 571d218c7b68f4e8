"""Runs sagas: one task each, one durable mark after every step, retries in between."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env, RequestContext, use
from hanse.core.errors import HanseError, Unavailable
from hanse.durable.context import Failure, SagaContext
from hanse.durable.definition import Call, StepDefinition
from hanse.durable.errors import LeaseLost
from hanse.durable.instance import Instance
from hanse.durable.journal import Journal, Outcome
from hanse.durable.machine import Action, Kind
from hanse.durable.options import Attempt, DurableOptions, Hooks, SagaEnd
from hanse.durable.store import Store
from hanse.durable.verdict import Verdict, explain, failure_of, judge
from hanse.durable.worker import Worker

_LONGEST_ASKED_S = 60.0
"""A pause that another service asks for is kept up to here."""


@dataclass(slots=True)
class _Try:
    """One action of one instance while it is being attempted."""

    instance: Instance
    action: Action
    step: StepDefinition
    call: Call
    target: Any
    context: RequestContext
    began_s: float = 0.0

    @property
    def success(self) -> Kind:
        return Kind.UNDONE if self.action.compensating else Kind.DONE


class Runner:
    """The sagas in this replica's hands.

    Guarantees: the next step begins only when the mark of the one before is durable. A task that finds the lease lost
    ends without a further mark. No database transaction is held while a network step runs.
    """

    def __init__(
        self, env: Env, store: Store, journal: Journal, worker: Worker, options: DurableOptions, hooks: Hooks
    ) -> None:
        self.running: dict[str, asyncio.Task[None]] = {}
        """By saga id."""
        self.expected: dict[str, object] = {}
        """Ids of sagas that are about to be launched: their transaction is open, or they are being adopted."""
        self.freed: Callable[[], None] = lambda: None
        """Called when a saga has left this replica's hands."""
        self.closing = False
        """True: no further action is begun; what is left of a saga is left to other replicas."""
        self._env = env
        self._store = store
        self._journal = journal
        self._worker = worker
        self._options = options
        self._hooks = hooks

    @property
    def room(self) -> int:
        """How many more sagas this replica takes."""
        taken = len(self.running) + len(self.expected)
        return 0 if self.closing else max(self._options.max_running - taken, 0)

    def holds(self, saga_id: str) -> bool:
        """True when the saga is in this replica's hands, or about to be."""
        return saga_id in self.running or saga_id in self.expected

    def launch(self, instance: Instance, make: Callable[[], Any]) -> None:
        """Run an instance that this replica owns, in the background.

        Args:
            make: builds the object whose methods are the steps.
        """
        stale = self.running.pop(instance.id, None)
        if stale is not None:
            stale.cancel()
        # In an empty context: a saga outlives the request that started it, its span and its deadline.
        self.running[instance.id] = Context().run(
            self._env.scope.spawn, self._run(instance, make), name=f"saga {instance.id}"
        )

    def drop_all(self) -> list[asyncio.Task[None]]:
        """Cancel all that runs: the lease is lost, or the replica stops. The sagas live on in the database."""
        running, self.running = list(self.running.values()), {}
        for task in running:
            task.cancel()
        return running

    async def _run(self, instance: Instance, make: Callable[[], Any]) -> None:
        task = asyncio.current_task()
        try:
            target = make()
            context = RequestContext(correlation_id=instance.correlation_id)
            with use(context):
                while (action := instance.machine.action()) is not None:
                    if self.closing:
                        return
                    await self._act(instance, action, target, context)
        except LeaseLost:
            return  # whoever owns it now goes on
        finally:
            if self.running.get(instance.id) is task:
                del self.running[instance.id]
            self.freed()
        if self._hooks.ended is not None:
            duration_s = self._env.clock.now() - instance.created_at_s
            end = SagaEnd(
                instance.id, instance.definition.name, instance.machine.state, instance.correlation_id, duration_s
            )
            self._hooks.ended(end)

    async def _act(self, instance: Instance, action: Action, target: Any, context: RequestContext) -> None:
        """Attempt one action until it is done or given up, and write the mark."""
        step = instance.definition.steps[action.step]
        call = step.undo if action.compensating else step.do
        if call is None:
            raise LookupError(f"step {step.name} has no compensation")
        work = _Try(instance, action, step, call, target, context)
        if action.compensating and step.undo_needs_result and action.step not in instance.results:
            text = f'the outcome of "{step.name}" is unknown, and "{call.method}" can\'t do without its result'
            await self._write(work, Kind.PARKED, None, text)
            return
        while True:
            self._worker.require()
            instance.attempt += 1
            work.began_s = self._env.clock.now()
            try:
                if call.local:
                    await self._local(work)
                    return
                result, value = _encode(work, await self._call(work, None))
            except LeaseLost:
                raise
            except Exception as error:
                if await self._failed(work, error):
                    return
                continue
            if result is not None:
                instance.results[action.step] = value
            await self._write(work, work.success, result, None)
            return

    async def _call(self, work: _Try, session: AsyncSession | None) -> Any:
        """One call of the user's method, within its time."""
        instance, step = work.instance, work.step
        work.context.deadline = self._env.clock.monotonic() + step.timeout_s
        arguments = work.call.arguments(instance.given, instance.results, lambda: _context_of(work), session)
        around = nullcontext() if self._hooks.attempt is None else self._hooks.attempt(_attempt_of(work))
        with around:
            async with asyncio.timeout(step.timeout_s):
                return await getattr(work.target, work.call.method)(**arguments)

    async def _local(self, work: _Try) -> None:
        """A local step: its rows and its mark in one transaction."""
        written = False
        try:
            async with self._store.transaction() as session:
                result, value = _encode(work, await self._call(work, session))
                mark = work.instance.machine.mark(work.success)
                outcome = Outcome(mark, result, None, work.instance.attempt, work.began_s)
                await self._journal.write_in(session, work.instance, outcome)
                written = True
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            if written:  # the commit itself failed: only the database knows; the audit takes the saga up again
                raise LeaseLost(f"saga {work.instance.id}: {explain(error)}") from error
            raise
        if result is not None:
            work.instance.results[work.action.step] = value
        self._applied(work, work.success)

    async def _failed(self, work: _Try, error: Exception) -> bool:
        """Deal with a failed attempt. True when the action is over; False, after a pause, to try again."""
        instance, verdict = work.instance, judge(error)
        if not work.call.local:
            instance.doubt |= verdict.doubt
        instance.hopeless += not verdict.retry
        if not self._again(work, verdict):
            failure = None if work.action.compensating else failure_of(work.step.name, error)
            await self._write(work, self._failure_kind(work, verdict), None, explain(error), failure)
            return True
        await self._patiently(lambda: self._journal.write_failure(instance, explain(error)))
        if self.closing:
            raise LeaseLost(f"saga {instance.id} is left to another replica")
        pause_s = self._options.retry.pause(instance.attempt, self._env.random)
        asked_s = error.details.get("retry_after", 0.0) if isinstance(error, HanseError) else 0.0
        await self._env.clock.sleep(max(pause_s, min(asked_s, _LONGEST_ASKED_S)))
        return False

    def _again(self, work: _Try, verdict: Verdict) -> bool:
        """Whether an action that has failed is tried once more."""
        instance, step, usual = work.instance, work.step, self._options.undo_attempts
        if step.ending:
            return True
        if not work.action.compensating:
            return verdict.retry and (step.attempts == 0 or instance.attempt < step.attempts)
        if step.undo_attempts == 0:
            return verdict.retry or instance.hopeless < usual
        return instance.attempt < (step.undo_attempts or usual)

    def _failure_kind(self, work: _Try, verdict: Verdict) -> Kind:
        if work.action.compensating:
            return Kind.PARKED
        if work.call.local:
            return Kind.FAILED  # rolled back
        if work.instance.doubt:
            return Kind.DOUBT
        # "Not done" comes from the last call of a step; one that can be undone without a result is, to be sure.
        tidy = verdict is Verdict.NOT_DONE and not work.step.undo_needs_result
        return Kind.DOUBT if tidy else Kind.FAILED

    async def _write(
        self, work: _Try, kind: Kind, result: str | None, error: str | None, failure: Failure | None = None
    ) -> None:
        instance = work.instance
        began_s = work.began_s or self._env.clock.now()
        outcome = Outcome(instance.machine.mark(kind), result, error, instance.attempt, began_s, failure)
        try:
            await self._journal.write(instance, outcome)
        except Unavailable:
            await self._patiently(lambda: self._journal.write(instance, outcome))
        instance.failure = failure or instance.failure
        self._applied(work, kind)

    def _applied(self, work: _Try, kind: Kind) -> None:
        work.instance.machine.apply(work.action.step, kind)
        work.instance.attempt = work.instance.hopeless = 0
        work.instance.doubt = False

    async def _patiently(self, write: Callable[[], Any]) -> None:
        """Repeat a write while the database is not to be had and the lease holds: the step must not run again."""
        tries = 0
        while True:
            try:
                await write()
            except LeaseLost:
                raise
            except Unavailable:
                self._worker.require()
                tries += 1
                await self._env.clock.sleep(min(self._options.retry.pause(tries, self._env.random), 1.0))
            else:
                return


def _encode(work: _Try, value: Any) -> tuple[str | None, Any]:
    """The result as JSON text, and as the next steps see it; (None, None) when there is none."""
    adapter = work.step.result
    if work.action.compensating or adapter is None:
        return None, None
    checked = adapter.validate_python(value)
    return adapter.dump_json(checked).decode(), checked


def _context_of(work: _Try) -> SagaContext:
    instance, step = work.instance, work.step
    return SagaContext(
        id=instance.id,
        saga=instance.definition.name,
        step=step.name,
        key=f"{instance.id}:{step.name}",
        attempt=instance.attempt,
        compensating=work.action.compensating,
        correlation_id=instance.correlation_id,
        failure=instance.failure,
    )


def _attempt_of(work: _Try) -> Attempt:
    instance = work.instance
    return Attempt(
        saga_id=instance.id,
        saga=instance.definition.name,
        step=work.step.name,
        number=instance.attempt,
        compensating=work.action.compensating,
        correlation_id=instance.correlation_id,
        traceparent=instance.traceparent,
    )
