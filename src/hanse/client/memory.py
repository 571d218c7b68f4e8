"""A network inside the process: for unit tests and simulation."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from urllib.parse import urlsplit

from hanse.client.transport import AnswerTooLarge, HttpRequest, HttpResponse, HttpTransport, TransportFailure
from hanse.core import Env

Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class MemoryNetwork:
    """Who listens at which address. Where nobody does, connections are refused."""

    def __init__(self) -> None:
        self._listeners: dict[str, tuple[Env, Handler]] = {}

    def listen(self, address: str, env: Env, handler: Handler) -> None:
        """Answer requests to `address` (`host:port`) with `handler`, in tasks of the node `env`.

        A handler that raises `TransportFailure` breaks the exchange in that way; any other error is a lost connection.
        """
        self._listeners[address] = (env, handler)

    def close(self, address: str) -> None:
        """Refuse connections from now on. What is under way goes on."""
        self._listeners.pop(address, None)

    def find(self, address: str) -> tuple[Env, Handler] | None:
        """Who listens there."""
        return self._listeners.get(address)


class MemoryTransport(HttpTransport):
    """Hands requests over to the listeners of a `MemoryNetwork`. Time runs on the sender's clock.

    A handler does not see that its caller gave up: as on a real network, it runs to its end. Streams are whole here.
    """

    def __init__(self, env: Env, network: MemoryNetwork) -> None:
        self._env = env
        self._network = network

    async def send(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        listener = self._network.find(urlsplit(request.url).netloc)
        if listener is None:
            raise TransportFailure("connection refused", sent=False)
        server, handler = listener
        answer: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        # An empty context: nothing but bytes crosses from one node to the other.
        Context().run(server.scope.spawn, self._serve(handler, request, answer), name=f"serve {request.url}")
        timer = self._env.scope.spawn(self._limit(timeout_s, answer), name="request timeout")
        try:
            response = await answer
        finally:
            timer.cancel()
        if len(response.body) > request.limit_bytes:
            raise AnswerTooLarge(request.limit_bytes)
        return response

    async def _serve(self, handler: Handler, request: HttpRequest, answer: asyncio.Future[HttpResponse]) -> None:
        try:
            response = await handler(request)
        except TransportFailure as failure:
            self._fail(answer, failure)
        except BaseException as error:
            self._fail(answer, TransportFailure(f"connection lost: {error!r}", sent=True))
            raise
        else:
            if not answer.done():
                answer.set_result(response)

    async def _limit(self, timeout_s: float, answer: asyncio.Future[HttpResponse]) -> None:
        await self._env.clock.sleep(timeout_s)
        self._fail(answer, TransportFailure("operation timed out", sent=True, timed_out=True))

    @staticmethod
    def _fail(answer: asyncio.Future[HttpResponse], failure: TransportFailure) -> None:
        if not answer.done():
            answer.set_exception(failure)
