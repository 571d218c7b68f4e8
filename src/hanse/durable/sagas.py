"""What a service does with sagas: make them known, start them, ask how they stand, take parked ones up again."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import Env, current
from hanse.core.errors import InvalidInput, NotFound
from hanse.durable.adoption import Adoption
from hanse.durable.errors import SagaExists
from hanse.durable.instance import Instance, machine_of
from hanse.durable.journal import Journal
from hanse.durable.options import Hooks
from hanse.durable.register import Register
from hanse.durable.runner import Runner
from hanse.durable.status import SagaStatus, status_of
from hanse.durable.store import Rows, Store
from hanse.durable.worker import Worker


class Sagas:
    """The door to sagas; part of `Durable`."""

    def __init__(
        self,
        env: Env,
        store: Store,
        journal: Journal,
        worker: Worker,
        register: Register,
        runner: Runner,
        adoption: Adoption,
        hooks: Hooks,
    ) -> None:
        self._env = env
        self._store = store
        self._journal = journal
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
        birth = self._birth(cls, given, saga_id)
        if await self._store.run_in(session, "saga_insert", birth.values) != 1:
            raise _exists(birth.id)
        self._runner.expected.setdefault(birth.id, birth)
        self._store.on_commit(session, lambda: self._born(birth))
        self._store.on_rollback(session, lambda: self._unexpect(birth))
        return birth.id

    async def start_now(self, cls: type, given: Any, *, saga_id: str | None = None) -> str:
        """Start a saga when nothing else is to be committed with it; durable on return.

        As `start`, but cheaper: it is committed in one group with what other sagas write at the moment.

        Raises:
            InvalidInput, SagaExists: as `start`.
            Unavailable: nothing was started.
        """
        birth = self._birth(cls, given, saga_id)
        self._runner.expected.setdefault(birth.id, birth)
        try:
            started = await self._journal.write_birth(birth.values)
        except BaseException:
            self._unexpect(birth)  # if it was committed all the same, the audit finds it
            raise
        if not started:
            self._unexpect(birth)
            raise _exists(birth.id)
        self._born(birth)
        return birth.id

    async def status(self, saga_id: str) -> SagaStatus:
        """How a saga stands, with its steps.

        Raises:
            NotFound: no such saga, or it ended so long ago that it was forgotten.
        """
        rows = await self._store.read("saga_read", {"id": saga_id})
        if not rows:
            raise NotFound(f"there is no saga {saga_id}")
        return (await self._statuses(rows))[0]

    async def recent(
        self, which: Literal["live", "ended", "stuck"] = "live", *, limit: int = 100
    ) -> tuple[SagaStatus, ...]:
        """The newest sagas of that kind, at most `limit` (1–1,000)."""
        rows = await self._store.read(f"saga_list_{which}", {"count": min(max(limit, 1), 1000)})
        return await self._statuses(rows)

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

    async def _statuses(self, rows: Rows) -> tuple[SagaStatus, ...]:
        marks: dict[str, list[Sequence[Any]]] = defaultdict(list)
        for mark in await self._store.read("saga_steps", {"ids": json.dumps([row[0] for row in rows])}):
            marks[mark[0]].append(mark)
        found = []
        for row in rows:
            known = self._register.find(row[1], row[2])
            found.append(status_of(row, marks[row[0]], known.definition if known else None))
        return tuple(found)

    def _birth(self, cls: type, given: Any, saga_id: str | None) -> "_Birth":
        known = self._register.add(cls)
        definition = known.definition
        try:
            value = definition.input.validate_python(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InvalidInput(f'the input of saga "{definition.name}" does not fit: {first["msg"]}') from error
        owner = self._worker.id if self._worker.valid() and self._runner.room else None
        now, correlation_id = self._env.clock.now(), current().correlation_id
        saga_id, traceparent = saga_id or self._env.ids.new("saga"), self._hooks.traceparent()
        values = {
            "id": saga_id,
            "name": definition.name,
            "version": definition.version,
            "owner": owner,
            "fence": 0 if owner is None else 1,
            "due": now if owner is None else None,
            "input": definition.input.dump_json(value).decode(),
            "correlation_id": correlation_id,
            "traceparent": traceparent,
            "now": now,
        }
        machine = machine_of(definition)
        instance = Instance(saga_id, definition, 1, value, machine, correlation_id, traceparent, now)
        return _Birth(saga_id, values, owner, instance, known.make)

    def _born(self, birth: "_Birth") -> None:
        self._unexpect(birth)
        if birth.owner is None:
            self._adoption.bell.ring()
        elif birth.owner == self._worker.id:
            self._runner.launch(birth.instance, birth.make)
        # else its owner is dead: whoever scans takes it over

    def _unexpect(self, birth: "_Birth") -> None:
        """Expect it no longer."""
        if self._runner.expected.get(birth.id) is birth:  # not another start under the same id
            del self._runner.expected[birth.id]


@dataclass(frozen=True, slots=True)
class _Birth:
    """A saga that is being started."""

    id: str
    values: dict[str, Any]
    owner: int | None
    """The incarnation that will run it; None: whoever has room."""
    instance: Instance
    make: Callable[[], Any]


def _exists(saga_id: str) -> SagaExists:
    return SagaExists(f"saga {saga_id} has been started before", saga_id=saga_id)
