"""The instances of one service, or of all, as a mirror of the bucket that survives a lost server.

The stock key-value watcher is silent for many seconds after a restart of the server, and keeps ghosts. This one makes a
new consumer at every reconnect, takes a full snapshot, and compares.
"""

import asyncio
from dataclasses import dataclass

from hanse.broker import NANOS, JetStream, Link
from hanse.core import Env
from hanse.core.errors import HanseError, InvalidInput, Unavailable
from hanse.registry.contract import Instance, OnChange, group
from hanse.registry.nats_bucket import BUCKET, read_entry, removal, subjects

HEARTBEAT_S = 1
FIRST_WITHIN_S = 5.0
_LATE_S = 2.0


@dataclass(slots=True)
class _Known:
    instance: Instance
    gone_at: float
    """Monotonic time after which it is forgotten, unless it is heard of again."""


class Feed:
    """A mirror of part of the bucket.

    Args:
        env: the node's seams.
        link: the connection.
        service: whose instances; None for all.
        hold_s: how long after a reconnect to keep what the server has forgotten: its owners need a moment to come back
            and renew it.
    """

    def __init__(self, env: Env, link: Link, service: str | None, *, hold_s: float) -> None:
        self.listeners: dict[OnChange, None] = {}
        self._env = env
        self._link = link
        self._service = service
        self._hold_s = hold_s
        self._known: dict[str, _Known] = {}
        self._snapshot: dict[str, bool] | None = None
        """While a snapshot comes in: the keys in it."""
        self._hold_until = 0.0
        self._told: dict[str, tuple[Instance, ...]] = {}
        self._first = asyncio.Event()
        self._listening = 0
        self._sequence = 0
        self._heard = 0.0
        self._syncing: asyncio.Task[None] | None = None
        self._sweeper = env.scope.supervise(self._sweep, name=f"registry/feed/{service or '*'}")

    def current(self) -> dict[str, tuple[Instance, ...]]:
        """The full current set, as a watcher gets it."""
        return group((known.instance for known in self._known.values()), self._service)

    async def first(self) -> None:
        """Wait for the first full set; raises Unavailable when none comes in time."""
        try:
            async with asyncio.timeout(FIRST_WITHIN_S):
                await self._first.wait()
        except TimeoutError as error:
            raise Unavailable(await self._link.ready() or "the registry's bucket is not ready") from error

    def sync(self) -> None:
        """Take a new snapshot."""
        if self._syncing is not None:
            self._syncing.cancel()
        self._heard = self._env.clock.monotonic()
        self._hold_until = self._heard + self._hold_s
        self._syncing = self._env.scope.spawn(self._sync(), name="registry/sync")

    async def stop(self) -> None:
        self.listeners.clear()
        self._sweeper.cancel()
        if self._syncing is not None:
            self._syncing.cancel()
        await self._link.silence(self._listening)

    async def _sync(self) -> None:
        while self._link.connected:
            try:
                await self._subscribe()
                break
            except HanseError as error:
                if not error.retryable:
                    self._env.scope.on_error("registry/sync", error)
                await self._env.clock.sleep(0.2)

    async def _subscribe(self) -> None:
        await self._link.silence(self._listening)
        name = self._env.ids.new("feed")
        inbox = f"{self._link.inbox}.w.{name}"
        self._snapshot = {}
        self._sequence = 0
        self._heard = self._env.clock.monotonic()
        self._listening = await self._link.listen(inbox, self._received)
        config = {
            "name": name,
            "deliver_subject": inbox,
            "filter_subject": subjects(self._service),
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "mem_storage": True,
            "inactive_threshold": 30 * NANOS,
            "idle_heartbeat": HEARTBEAT_S * NANOS,
        }
        body = {"stream_name": BUCKET, "config": config}
        answer = await JetStream(self._link).call(f"CONSUMER.CREATE.{BUCKET}.{name}.{subjects(self._service)}", body)
        if answer["num_pending"] == 0 and answer["delivered"]["consumer_seq"] == 0:
            self._complete()

    def _received(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self._heard = self._env.clock.monotonic()
        if not reply:
            return  # a heartbeat
        tokens = reply.split(b".")
        sequence, pending = int(tokens[-3]), int(tokens[-1])
        if sequence != self._sequence + 1:
            self.sync()  # something was lost on the way
            return
        self._sequence = sequence
        changed = self._apply(subject.decode(), data, headers)
        if self._snapshot is not None:
            if pending == 0:
                self._complete()
        elif changed:
            self._tell()

    def _apply(self, key: str, data: bytes, headers: bytes | None) -> bool:
        """Take in one message of the bucket; True when the set of instances changed by it."""
        now = self._env.clock.monotonic()
        known = self._known.get(key)
        match removal(headers):
            case "expired" if known is not None and now < self._hold_until:
                known.gone_at = min(known.gone_at, self._hold_until)  # it may just have been unable to renew
                return False
            case "expired" | "deleted":
                return self._known.pop(key, None) is not None
        try:
            entry = read_entry(data)
        except InvalidInput as error:
            self._env.scope.on_error("registry/feed", error)
            return False
        if self._snapshot is not None:
            self._snapshot[key] = True
        self._known[key] = _Known(entry.instance, now + entry.ttl_s + _LATE_S)
        return known is None or known.instance != entry.instance

    def _complete(self) -> None:
        """The snapshot is complete: hold what it lacks for a moment, then tell."""
        for key, known in self._known.items():
            if self._snapshot is not None and key not in self._snapshot:
                known.gone_at = min(known.gone_at, self._hold_until)
        self._snapshot = None
        self._first.set()
        self._tell()

    def _tell(self) -> None:
        current = self.current()
        if current == self._told:
            return
        self._told = current
        for listener in list(self.listeners):
            listener(current)

    async def _sweep(self) -> None:
        """Forget what was held long enough, and notice a consumer that fell silent."""
        last = self._env.clock.monotonic()
        while True:
            await self._env.clock.sleep(0.25)
            now = self._env.clock.monotonic()
            slept, last = now - last > 2.0, now
            if slept or not self._link.connected:
                continue  # we may not have read yet what would renew them
            if now - self._heard > 3 * HEARTBEAT_S:
                self.sync()
            if self._snapshot is not None:
                continue
            gone = [key for key, known in self._known.items() if now >= known.gone_at]
            for key in gone:
                del self._known[key]
            if gone:
                self._tell()
