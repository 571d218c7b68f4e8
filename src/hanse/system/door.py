"""`Door`: the system's gateway, as the topology says, in front of whatever the registry knows."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse.core import Env
from hanse.core.errors import HanseError
from hanse.system.ports import reserve
from hanse.system.topology import GatewaySpec, RouteSpec, System

if TYPE_CHECKING:
    from hanse.gateway import Envoy, GatewayController, GatewayModel, Route
    from hanse.registry import Registry

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 10.0
_CAUGHT_UP_S = 5.0


def rule(spec: RouteSpec) -> "Route":
    """The gateway's own form of a declared route."""
    from hanse.gateway.route import ONE_MIB, Route

    return Route(
        path=spec.path,
        service=spec.service,
        methods=spec.methods,
        strip=spec.strip,
        auth=spec.auth,
        roles=spec.roles,
        limit=spec.limit,
        timeout=spec.timeout,
        stream=spec.stream,
        max_body_bytes=ONE_MIB if spec.max_body_bytes is None else spec.max_body_bytes,
    )


class Door:
    """Runs Envoy and the controller that keeps it in step with the registry; starts Envoy again when it dies.

    Args:
        spec: as declared.
        folder: Envoy's files.
        access_log: one JSON line per request goes here.
    """

    def __init__(self, env: Env, system: System, spec: GatewaySpec, folder: Path, access_log: Path) -> None:
        self._env = env
        self._system = system
        self._spec = spec
        self._folder = folder
        self._access_log = access_log
        self._port = 0
        self._kept: socket.socket | None = None
        self._envoy: Envoy | None = None
        self._controller: GatewayController | None = None
        self._published: set[tuple[str, int]] = set()
        self._publication = asyncio.Event()
        self._stopping = False
        self.restarts = 0

    @property
    def url(self) -> str:
        return f"http://{self._spec.host}:{self._port}"

    def choose_port(self, wanted: int | None, note: Callable[[str], None]) -> None:
        """Settle on a port; one that the person asked for, or that the topology fixes, is not replaced.

        Raises:
            PortTaken: it is held by another process.
        """
        fixed = self._spec.fixed or wanted is not None
        self._kept, choice = reserve(self._spec.host, wanted or self._spec.port, fixed=fixed, label="gateway")
        self._port = choice.port
        if choice.note:
            note(choice.note)

    async def open(self, registry: "Registry", jwks: Path) -> None:
        """Start, with the instances that the registry knows at this moment; from then on keep it running.

        Raises:
            HanseError: the model is refused, or Envoy can't be started.
        """
        from hanse.gateway import Envoy, GatewayController

        self._envoy = Envoy(self._env, self._folder, self._spec.host, self._port)
        self._controller = GatewayController(
            self._env, registry, self._model(jwks), self, on_refused=lambda e: self._env.scope.on_error("gateway", e)
        )
        await self._controller.start()
        await self._envoy.start()
        self._env.scope.spawn(self._keep(self._envoy), name="gateway")

    async def publish(self, model: "GatewayModel") -> tuple[str, ...]:
        """Pass a model on to Envoy, and remember which endpoints are in force."""
        if self._envoy is None:
            return ()
        changed = await self._envoy.publish(model)
        self._published = {(s, end.port) for s, cluster in model.clusters.items() for end in cluster.endpoints}
        self._publication.set()
        return changed

    async def caught_up(self, endpoints: set[tuple[str, int]]) -> None:
        """Until these (service, port) can be reached through the gateway, for at most 5 s."""
        routed = {route.service for route in self._spec.routes}
        wanted = {(service, port) for service, port in endpoints if service in routed}
        with suppress(TimeoutError):
            async with asyncio.timeout(_CAUGHT_UP_S):
                while not wanted <= self._published:
                    self._publication.clear()
                    await self._publication.wait()

    async def stop(self, grace_s: float) -> None:
        """Let the requests in progress end, for at most `grace_s`, and end Envoy. Idempotent."""
        self._stopping = True
        if self._controller is not None:
            await self._controller.stop()
        if self._envoy is not None:
            with suppress(TimeoutError, HanseError, OSError):
                async with asyncio.timeout(grace_s):
                    await self._envoy.drain()
            await self._envoy.stop()
        if self._kept is not None:
            self._kept.close()

    def status(self) -> dict[str, Any]:
        pid = self._envoy.pid if self._envoy else None
        return {"name": "gateway", "pid": pid, "address": self.url, "restarts": self.restarts}

    def _model(self, jwks: Path) -> "GatewayModel":
        from hanse.gateway import GatewayModel, JwtProvider

        issuer = self._spec.jwt
        providers = (JwtProvider(issuer.service, issuer.name, self._system.name, jwks),) if issuer else ()
        return GatewayModel(
            routes=tuple(rule(route) for route in self._spec.routes),
            providers=providers,
            host=self._spec.host,
            port=self._port,
            origins=self._spec.cors,
            access_log=str(self._access_log),
            port_kept=True,
        )

    async def _keep(self, envoy: "Envoy") -> None:
        pause = _BACKOFF_FIRST_S
        while not self._stopping:
            began = self._env.clock.monotonic()
            how = await envoy.exited()
            if self._stopping:
                return
            lived = self._env.clock.monotonic() - began
            pause = _BACKOFF_FIRST_S if lived > _BACKOFF_MAX_S else min(pause * 2, _BACKOFF_MAX_S)
            self._env.scope.on_error("gateway", HanseError(f"Envoy {how}; it is started again"))
            self.restarts += 1
            try:
                await envoy.start()
            except HanseError as error:
                self._env.scope.on_error("gateway", error)
                await self._env.clock.sleep(pause)
