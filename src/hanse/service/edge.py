"""`Edge`: the one middleware. Everything that holds for each request is done here, in pure ASGI.

Order: probes (not traced, not logged, never shed), then for each request: context, checks, a place or a refusal (load
shedding), the application, the answer to whatever error left it, and the record of how it went.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import attach, detach
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from hanse.core import RequestContext, current
from hanse.core.context import enter
from hanse.service.exchange import Exchange
from hanse.service.paths import Paths
from hanse.service.problem import MEDIA_TYPE, Problem, problem_of

if TYPE_CHECKING:
    from hanse.service.node import Node
    from hanse.service.service import Service
    from hanse.service.shedding import Place

_NO_STATUS_HANDLERS: Mapping[int, ExceptionHandler] = MappingProxyType({})
_SERVICE_RESTARTS = 1012
_INTERNAL_ERROR = 1011
_TRY_AGAIN_LATER = 1013
_NOT_STARTED = Problem(503, "unavailable", "The service has not started yet.", headers=((b"retry-after", b"1"),))


class Edge:
    """Wraps the application of one service.

    Args:
        app: routing and what users put in front of it.
        service: gives the running node.
        handlers: what users registered for their own exceptions; everything else becomes a problem here.
        paths: tell which route a request is for.
    """

    def __init__(
        self, app: ASGIApp, service: "Service[Any]", handlers: Mapping[Any, ExceptionHandler], paths: Paths
    ) -> None:
        self._app = app
        self._find = paths.route
        self._service = service
        self._handlers = (handlers, _NO_STATUS_HANDLERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        node = self._service.running_node
        if node is None:
            await _refuse(scope, send)
            return
        scope["starlette.exception_handlers"] = self._handlers
        if kind == "websocket":
            await self._socket(node, scope, receive, send)
            return
        probe = node.probes.get(scope["path"])
        if probe is not None and scope["method"] in ("GET", "HEAD"):
            await probe(scope, receive, send)
            return
        await self._request(node, Exchange(node, scope, receive, send))

    async def _request(self, node: "Node", exchange: Exchange) -> None:
        before = current()
        token = attach(exchange.otel)
        enter(exchange.context)
        task = asyncio.current_task()
        node.in_flight[task] = exchange
        try:
            receive, gate = exchange.begin(), node.gate
            if gate is not None:
                exchange.place = gate.enter(exchange.scope, task, exchange.began, self._find)
                if exchange.place is None:
                    await exchange.answer(gate.refusal)
                    return
            await self._app(exchange.scope, receive, exchange.send)
            if not exchange.status:
                raise RuntimeError("the handler returned without a response")
        except asyncio.CancelledError:
            if not exchange.cut or task is None or task.uncancel():
                raise
            await exchange.finish_early()
        except Exception as error:
            await self._fail(node, exchange, error)
        finally:
            node.done(task)
            exchange.record()
            enter(before)
            detach(token)

    async def _fail(self, node: "Node", exchange: Exchange, error: Exception) -> None:
        problem = problem_of(error)
        if problem.status >= 500:
            exchange.span.record_exception(error)
            facts = {"method": exchange.method, "path": exchange.path, "code": problem.code}
            if problem.expected:
                node.log.warning("request failed", error=str(error), **facts)
            else:
                node.log.error("request failed", exc_info=error, **facts)
        if exchange.status:  # too late for a problem: let the server break the connection, so that nobody is misled
            exchange.code = problem.code
            raise error
        await exchange.answer(problem)

    async def _socket(self, node: "Node", scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        socket = _Socket(task, send)
        headers = dict(scope["headers"])
        correlation_id = headers.get(b"x-correlation-id", b"").decode("latin-1") or node.env.ids.new("ws")
        before = current()
        enter(RequestContext(correlation_id))
        node.in_flight[task] = socket
        try:
            if node.draining:
                socket.end_early()
            if node.gate is not None:
                socket.place = node.gate.enter(scope, task, node.env.clock.monotonic(), self._find)
                if socket.place is None:
                    await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
                    return
            await self._app(scope, receive, socket.send)
        except asyncio.CancelledError:
            if not socket.cut or task is None or task.uncancel():
                raise
            await send({"type": "websocket.close", "code": _SERVICE_RESTARTS})
        except Exception as error:
            node.log.error("websocket failed", path=scope["path"], exc_info=error)
            await send({"type": "websocket.close", "code": _INTERNAL_ERROR})
        finally:
            socket.begun()
            node.done(task)
            enter(before)


class _Socket:
    """A WebSocket being served."""

    streaming = True

    def __init__(self, task: asyncio.Task[object] | None, send: Send) -> None:
        self.cut = False
        self.place: Place | None = None
        """Held until it is accepted or refused."""
        self._task = task
        self._send = send

    def send(self, message: Message) -> Awaitable[None]:
        """What the application sends through."""
        if self.place is not None:
            self.begun()
        return self._send(message)

    def begun(self) -> None:
        """Give the place back; the time until then says nothing about requests."""
        if self.place is not None:
            self.place.abandon()
            self.place = None

    def end_early(self) -> None:
        if not self.cut and self._task is not None:
            self.cut = True
            self._task.cancel()


async def _refuse(scope: Scope, send: Send) -> None:
    """Answer a request that came before the node was started, or after it was stopped."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _SERVICE_RESTARTS})
        return
    headers = [(b"content-type", MEDIA_TYPE), *_NOT_STARTED.headers]
    await send({"type": "http.response.start", "status": _NOT_STARTED.status, "headers": headers})
    body = _NOT_STARTED.body(instance=scope["path"], correlation_id="")
    await send({"type": "http.response.body", "body": body})
