"""The server: one process that listens, serves a service with Granian, and ends well.

An entry point: it owns the listening socket, the signals and the event loop. Order: the node starts, then the server
listens, then the instance is registered, then whoever started the process is told. Ending is the reverse, within the
grace: on SIGTERM or SIGINT the node leaves the registry, connections are told to close, streams are ended, requests
finish; a second signal ends at once.
"""

import asyncio
import importlib
import os
import signal
import socket
from contextlib import suppress
from typing import Any

import uvloop
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from hanse.config import ServiceSettings
from hanse.core.errors import ConfigurationError, HanseError
from hanse.service.node import Node
from hanse.service.service import Service
from hanse.service.wiring import build

READY_FD = "HANSE_READY_FD"
_BACKLOG = 2048
_CONNECTIONS = 10_000
_IDLE_CONNECTION_MS = 75_000  # longer than gateways and clients keep an idle connection, so that they close first
_LINGER_S = 0.2  # how long connections are answered with `connection: close` after the instance left the registry
_SERVER_STOP_S = 1.0


class _Granian(Server):
    """Granian on a socket that is open already."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            log_enabled=False,
            backlog=_BACKLOG,
            backpressure=_CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=_IDLE_CONNECTION_MS),
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        fd = os.dup(self._listener.fileno())
        self._ssp, self._sfd = None, fd  # type: ignore[assignment]
        self._shd = SocketHolder(fd, False, _BACKLOG)  # type: ignore[assignment, call-arg]


async def serve(service: Service[Any], settings: ServiceSettings, *, ready_fd: int | None = None) -> bool:
    """Run `service` until the process is told to stop.

    Args:
        settings: what the platform says.
        ready_fd: gets the line `ready` once the instance is registered, and is closed.

    Returns: True when everything in hand was finished within the grace.

    Raises:
        HanseError: it could not start; what had been started is stopped again.
    """
    listener = _listen(settings)
    node = build(service, settings)
    node.logs.install()
    stop = _on_signals()
    service.running_node = node
    try:
        if not await _started(node, stop):
            return True
        host, port = listener.getsockname()[:2]
        server = _Granian(service, listener)
        serving = node.env.scope.spawn(server.serve(), name="http server")
        await node.announce(socket.gethostname() if host in ("0.0.0.0", "::") else host, port)
        node.log.info("service is ready", host=host, port=port)
        if ready_fd is not None:
            _tell(ready_fd, "ready")
        told = node.env.scope.spawn(stop.wait(), name="stop signal")
        await asyncio.wait({told, serving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            raise HanseError("the HTTP server ended by itself")
        return await _end(node, server, serving, stop)
    finally:
        try:
            await node.stop()
        finally:
            service.running_node = None
            listener.close()


def run(app: str) -> int:
    """Import a service, read `HANSE_*` from the environment, and serve it until a signal: what a service process does.

    Once it is registered, the line `ready` goes to the descriptor in HANSE_READY_FD, if there is one.

    Args:
        app: `module:attribute`, for example `shop.orders.app:service`.

    Returns: exit code: 0 ended well, 1 work in hand was cut off when the grace was over.

    Raises:
        ConfigurationError: it can't be put together; says what to change.
        HanseError: it could not start, or the server failed.
    """
    ready_fd = int(os.environ[READY_FD]) if READY_FD in os.environ else None
    return 0 if uvloop.run(serve(load(app), ServiceSettings(), ready_fd=ready_fd)) else 1


def load(app: str) -> Service[Any]:
    """The service that `module:attribute` names.

    Raises:
        ConfigurationError: no such module or attribute, or it is not a `Service`.
    """
    module_name, _, attribute = app.partition(":")
    attribute = attribute or "service"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise
        raise ConfigurationError(f'there is no module "{module_name}" on the import path') from error
    found = getattr(module, attribute, None)
    if not isinstance(found, Service):
        raise ConfigurationError(f'"{attribute}" in {module_name} is not a hanse Service')
    return found


def _tell(fd: int, line: str) -> None:
    """Write one line to a descriptor and close it; whoever waited there may be gone."""
    with suppress(OSError):
        os.write(fd, f"{line}\n".encode())
    with suppress(OSError):
        os.close(fd)


async def _started(node: Node, stop: asyncio.Event) -> bool:
    """Start the node; False when the process was told to stop meanwhile."""
    starting = asyncio.create_task(node.start(), name="start")
    told = asyncio.create_task(stop.wait(), name="stop before start")
    try:
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return False
        await starting
        return True
    finally:
        told.cancel()


async def _end(node: Node, server: _Granian, serving: "asyncio.Task[None]", stop: asyncio.Event) -> bool:
    """Drain the node and end the server, within the grace; a second signal cuts it short."""
    stop.clear()
    node.log.info("service stops", grace_s=node.settings.grace_s)
    draining = node.env.scope.spawn(_drain(node), name="drain")
    again = node.env.scope.spawn(stop.wait(), name="second signal")
    await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        draining.cancel()
        await node.drain(0.0)
    server.stop()  # type: ignore[no-untyped-call]
    await asyncio.wait({serving}, timeout=_SERVER_STOP_S)
    return draining.done() and not draining.cancelled() and draining.result()


async def _drain(node: Node) -> bool:
    grace_s, began = node.settings.grace_s, node.env.clock.monotonic()
    await node.leave()
    await node.env.clock.sleep(min(_LINGER_S, grace_s))
    return await node.drain(max(grace_s - (node.env.clock.monotonic() - began), 0.0))


def _listen(settings: ServiceSettings) -> socket.socket:
    """The inherited listening socket, or a new one."""
    if settings.listen_fd is not None:
        listener = socket.socket(fileno=settings.listen_fd)
    else:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"{settings.host}:{settings.port} can't be listened on: {error.strerror}"
            ) from error
        listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, each time."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
