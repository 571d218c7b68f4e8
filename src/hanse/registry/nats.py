"""The registry in a NATS key-value bucket: keys with a time to live, renewed by their owners."""

import asyncio

import orjson

from hanse.broker import JetStream, Link
from hanse.core import Env
from hanse.core.errors import HanseError, Unavailable
from hanse.registry.contract import Capability, Instance, OnChange, Registry, Watch, ttl_s
from hanse.registry.nats_bucket import CONFIG, Entry, delete_headers, put_headers, subject, write_entry
from hanse.registry.nats_feed import Feed

_START_WITHIN_S = 10.0
_RETRY_S = 0.2


class NatsWatch(Watch):
    """One listener of a feed."""

    def __init__(self, feed: Feed, on_change: OnChange) -> None:
        self._feed = feed
        self._on_change = on_change

    async def stop(self) -> None:
        self._feed.listeners.pop(self._call, None)

    def start(self) -> None:
        self._feed.listeners[self._call] = None
        self._call(self._feed.current())

    def _call(self, current: dict[str, tuple[Instance, ...]]) -> None:
        self._on_change(current)


class NatsRegistry(Registry):
    """Instances in a key-value bucket.

    Args:
        env: the node's seams.
        url: of the server or cluster, see `hanse.broker.Link`.
        heartbeat_s: pause between renewals.
        name: of the client.
    """

    name = "registry"
    capabilities = frozenset({Capability.SERVER})

    def __init__(self, env: Env, url: str, *, heartbeat_s: float = 3.0, name: str = "registry") -> None:
        self._env = env
        self._heartbeat_s = heartbeat_s
        self._link = Link(env, url, name=name)
        self._jetstream = JetStream(self._link)
        self._mine: dict[tuple[str, str], Instance] = {}
        self._feeds: dict[str | None, Feed] = {}
        self._usable = asyncio.Event()
        self._heart: asyncio.Task[None] | None = None
        self._reviver: asyncio.Task[None] | None = None
        self._link.on_connected.append(self._connected)
        self._link.on_disconnected.append(self._disconnected)

    async def start(self) -> None:
        await self._link.start()
        self._heart = self._env.scope.supervise(self._beat, name="registry/heartbeat")
        await self._wait_usable()

    async def ready(self) -> str | None:
        return await self._link.ready()

    async def stop(self) -> None:
        if self._heart is not None:
            self._heart.cancel()
            self._heart = None
        for service, id in list(self._mine):
            if self._usable.is_set():
                try:
                    await self.deregister(service, id)
                except HanseError as error:
                    self._env.scope.on_error("registry/deregister", error)
        self._mine.clear()
        while self._feeds:
            await self._feeds.popitem()[1].stop()
        self._disconnected()
        await self._link.stop()

    async def register(self, instance: Instance) -> None:
        await self._wait_usable()
        await self._put(instance)
        self._mine[instance.service, instance.id] = instance

    async def deregister(self, service: str, id: str) -> None:
        self._mine.pop((service, id), None)
        await self._wait_usable()
        await self._store(subject(service, id), b"", delete_headers())

    async def discover(self, service: str) -> tuple[Instance, ...]:
        return (await self._feed(service)).current().get(service, ())

    async def watch(self, service: str | None, on_change: OnChange) -> Watch:
        watch = NatsWatch(await self._feed(service), on_change)
        watch.start()
        return watch

    async def _feed(self, service: str | None) -> Feed:
        """The feed of a service, filled. It is kept: the next question is answered from memory."""
        feed = self._feeds.get(service)
        if feed is None:
            feed = self._feeds[service] = Feed(self._env, self._link, service, hold_s=max(1.0, self._heartbeat_s))
            if self._usable.is_set():
                feed.sync()
        await feed.first()
        return feed

    async def _put(self, instance: Instance) -> None:
        ttl = ttl_s(self._heartbeat_s)
        await self._store(subject(instance.service, instance.id), write_entry(Entry(instance, ttl)), put_headers(ttl))

    async def _store(self, key: str, value: bytes, headers: bytes) -> None:
        answer = orjson.loads(await self._link.request(key, value, headers=headers))
        if (error := answer.get("error")) is not None:
            raise Unavailable(f"the registry refuses {key}: {error.get('description', 'no reason given')}")

    async def _wait_usable(self) -> None:
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                await self._usable.wait()
        except TimeoutError as error:
            raise Unavailable(await self._link.ready() or "the registry's bucket is not ready") from error

    async def _beat(self) -> None:
        while True:
            await self._env.clock.sleep(self._heartbeat_s)
            if self._usable.is_set() and not await self._renew() and self._link.connected:
                self._connected()  # connected, yet not served: somebody may have deleted the bucket

    async def _renew(self) -> bool:
        """Renew what is ours. A failure waits for the next heartbeat; the time to live allows for two."""
        for key in list(self._mine):
            try:
                if (instance := self._mine.get(key)) is not None:
                    await self._put(instance)
            except HanseError as error:
                self._env.scope.on_error("registry/heartbeat", error)
                return False
        return True

    def _connected(self) -> None:
        self._disconnected()
        self._reviver = self._env.scope.spawn(self._revive(), name="registry/revive")

    def _disconnected(self) -> None:
        self._usable.clear()
        if self._reviver is not None:
            self._reviver.cancel()
            self._reviver = None

    async def _revive(self) -> None:
        """After each connect: the bucket may be gone, and with it our instances and the feeds' consumers."""
        while True:
            try:
                await self._jetstream.ensure_stream(CONFIG)
                break
            except HanseError as error:
                if not error.retryable:
                    self._env.scope.on_error("registry/revive", error)
                await self._env.clock.sleep(_RETRY_S)
        self._usable.set()
        for feed in self._feeds.values():
            feed.sync()
        await self._renew()
