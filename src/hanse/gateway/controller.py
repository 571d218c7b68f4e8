"""The controller: keeps the gateway in step with the registry and with the issuers' key files."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from hanse.core import Component, Env
from hanse.core.errors import ConfigurationError, HanseError
from hanse.gateway.jwks import fingerprint
from hanse.gateway.model import Cluster, Endpoint, GatewayModel
from hanse.gateway.publisher import Refused
from hanse.registry import Instance, Registry, Watch

_KEYS_POLL_S = 0.5
_RETRY_S = 1.0


class Publishes(Protocol):
    """What the controller needs of `Envoy`."""

    async def publish(self, model: GatewayModel) -> tuple[str, ...]: ...


class GatewayController(Component):
    """Publishes the model again whenever instances, routes or keys change.

    Start it before `Envoy.start`, which needs something published; from then on either may be restarted alone.

    Args:
        env: the node's seams.
        registry: where instances are known; started.
        model: routes and rules; the clusters' settings count, their endpoints come from the registry.
        envoy: gets the models.
        on_refused: told of every model that could not be published; what was published last stays in force.
    """

    name = "gateway-controller"

    def __init__(
        self,
        env: Env,
        registry: Registry,
        model: GatewayModel,
        envoy: Publishes,
        *,
        on_refused: Callable[[HanseError], None] = lambda error: None,
    ) -> None:
        self._env = env
        self._registry = registry
        self._model = model
        self._envoy = envoy
        self._on_refused = on_refused
        self._instances: Mapping[str, tuple[Instance, ...]] = {}
        self._changed = asyncio.Event()
        self._trouble: str | None = "nothing is published yet"
        self._watch: Watch | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Publish the model with the instances of this moment, then follow.

        Raises:
            ConfigurationError, Refused: the model is wrong.
            Unavailable: the registry can't be reached.
        """
        self._watch = await self._registry.watch(None, self._on_instances)
        self._changed.clear()
        keys = fingerprint(self._model)
        await self._publish()
        self._tasks = [
            self._env.scope.supervise(self._follow, name="gateway-follow"),
            self._env.scope.supervise(lambda: self._follow_keys(keys), name="gateway-keys"),
        ]

    async def replace(self, model: GatewayModel) -> None:
        """Make `model` the one to follow. Raises as `start`, and then goes on with the one before."""
        before, self._model = self._model, model
        try:
            await self._publish()
        except HanseError:
            self._model = before
            raise

    async def ready(self) -> str | None:
        return self._trouble

    async def stop(self) -> None:
        if self._watch:
            await self._watch.stop()
            self._watch = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _on_instances(self, instances: dict[str, tuple[Instance, ...]]) -> None:
        self._instances = instances
        self._changed.set()

    async def _follow(self) -> None:
        """Changes that come while one is being published are published together."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._publish()
            except (ConfigurationError, Refused):
                continue  # only another change can help
            except HanseError:
                await self._env.clock.sleep(_RETRY_S)
                self._changed.set()

    async def _follow_keys(self, seen: tuple[bytes | None, ...]) -> None:
        while True:
            await self._env.clock.sleep(_KEYS_POLL_S)
            now = fingerprint(self._model)
            if now != seen:
                seen = now
                self._changed.set()

    async def _publish(self) -> None:
        try:
            await self._envoy.publish(with_instances(self._model, self._instances))
        except HanseError as error:
            self._trouble = error.message
            self._on_refused(error)
            raise
        self._trouble = None


def with_instances(model: GatewayModel, instances: Mapping[str, tuple[Instance, ...]]) -> GatewayModel:
    """The model with the endpoints that the registry knows; an instance of weight 0 gets nothing."""
    clusters = {}
    for service in model.services:
        settings = model.clusters.get(service, Cluster())
        members = [i for i in instances.get(service, ()) if i.weight]
        clusters[service] = settings.with_endpoints(Endpoint(i.host, i.port, i.weight) for i in members)
    return model.with_clusters(clusters)
