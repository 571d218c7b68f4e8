"""What a service does with sagas: make them known, start them, ask how they stand, take parked ones up again."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env, current
from hanse.core.errors import InvalidInput, NotFound
from hanse.durable.adoption import Adoption
from hanse.durable.errors import LeaseLost, SagaExists
from hanse.durable.instance import Instance, machine_of
from hanse.durable.options import Hooks
from hanse.durable.register import Register
from hanse.durable.runner import Runner
from hanse.durable.status import SagaStatus, status_of
from hanse.durable.store import Store
from hanse.durable.worker import Worker


class Sagas:
    """The door to sagas; part of `Durable`."""

    def __init__(
        self,
        env: Env,
        store: Store,
        worker: Worker,
        register: Register,
        runner: Runner,
        adoption: Adoption,
        hooks: Hooks,
    ) -> None:
        self._env = env
        self._store = store
        self._worker = worker
        self._register = register
        self._runner = runner
        self._adoption = adoption
        self._hooks = hooks

    def register(self, cls: type, make: Callable[[], Any] | None = None) -> None:
        """Make a saga known, so that instances left by other replicas can be resumed. Do it before the start.

        Args:
            cls: decorated with `@saga`.
            make: builds the object whose methods are the steps; the class itself when None.

        Raises:
            ConfigurationError: not a saga, or its name and version are taken by another class.
        """
        self._register.add(cls, make)

    async def start(self, session: AsyncSession, cls: type, given: Any, *, saga_id: str | None = None) -> str:
        """Start a saga in the caller's transaction: it runs once that is committed, and never if it is rolled back.

        It keeps the correlation id of the running request.

        Args:
            session: of `Database.transaction()`.
            cls: decorated with `@saga`.
            given: the input, of the type that the first step declares.
            saga_id: a name of your own that makes starting idempotent, for example from an order's id.

        Returns: the saga's id.

        Raises:
            InvalidInput: the input does not fit.
            SagaExists: that `saga_id` is taken; the transaction is still usable.
        """
        known = self._register.add(cls)
        definition = known.definition
        try:
            value = definition.input.validate_python(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InvalidInput(f'the input of saga "{definition.name}" does not fit: {first["msg"]}') from error
        owner = self._worker.id if self._worker.valid() and self._runner.room else None
        now = self._env.clock.now()
        saga_id = saga_id or self._env.ids.new("saga")
        values = {
            "id": saga_id,
            "name": definition.name,
            "version": definition.version,
            "owner": owner,
            "fence": 0 if owner is None else 1,
            "due": now if owner is None else None,
            "input": definition.input.dump_json(value).decode(),
            "correlation_id": current().correlation_id,
            "traceparent": self._hooks.traceparent(),
            "now": now,
        }
        if await self._store.run_in(session, "saga_insert", values) != 1:
            raise SagaExists(f"saga {saga_id} has been started before", saga_id=saga_id)
        if owner is None:
            self._store.on_commit(session, self._adoption.bell.ring)
            return saga_id
        instance = Instance(
            saga_id,
            definition,
            1,
            value,
            machine_of(definition),
            str(values["correlation_id"]),
            str(values["traceparent"]),
            now,
        )
        self._runner.expected[saga_id] = None
        self._store.on_commit(session, lambda: self._committed(instance, owner, known.make))
        self._store.on_rollback(session, lambda: self._runner.expected.pop(saga_id, None))
        return saga_id

    async def status(self, saga_id: str) -> SagaStatus:
        """How a saga stands, with its steps.

        Raises:
            NotFound: no such saga, or it ended so long ago that it was forgotten.
        """
        rows = await self._store.read("saga_read", {"id": saga_id})
        if not rows:
            raise NotFound(f"there is no saga {saga_id}")
        marks = await self._store.read("saga_steps", {"id": saga_id})
        known = self._register.find(rows[0][1], rows[0][2])
        return status_of(tuple(rows[0]), marks, known.definition if known else None)

    async def recent(
        self, which: Literal["live", "ended", "stuck"] = "live", *, limit: int = 100
    ) -> tuple[SagaStatus, ...]:
        """The newest sagas of that kind, at most `limit` (1–1,000)."""
        rows = await self._store.read(f"saga_list_{which}", {"count": min(max(limit, 1), 1000)})
        return tuple([await self.status(row[0]) for row in rows])

    async def retry_stuck(self, saga_id: str) -> None:
        """Have a stuck saga go on: its parked compensations are tried again, by any replica.

        Raises:
            NotFound: no such saga is stuck.
        """
        async with self._store.transaction() as session:
            values = {"id": saga_id, "now": self._env.clock.now()}
            if await self._store.run_in(session, "saga_unpark", values) != 1:
                raise NotFound(f"there is no stuck saga {saga_id}")
            await self._store.run_in(session, "saga_unpark_marks", values)
            self._store.on_commit(session, self._adoption.bell.ring)

    def _committed(self, instance: Instance, owner: int, make: Callable[[], Any]) -> None:
        self._runner.expected.pop(instance.id, None)
        try:
            if self._worker.require() == owner:
                self._runner.launch(instance, make)
        except LeaseLost:
            return  # its owner is dead: whoever scans takes it over
