"""Load shedding: how many requests are served at once, and who goes first when there are too many.

A request holds a place of the adaptive limit until its response begins: a stream, a download and work that goes on in
the background hold none, and a WebSocket holds one until it is accepted. As long as even LOW requests find a place,
nobody asks for the class of a request; it is looked up only when places run short.

Handlers that compute without ever waiting never overlap, so that counting them would find one under way, however long
the queue is. Therefore places are given back when the event loop has dealt with everything that was ready together
(one *turn*), and time counts from the beginning of the turn: what waited behind others in the event loop counts as
under way, and its wait as latency.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import Scope

from hanse.config import ServiceSettings
from hanse.core import Env
from hanse.core.errors import ConfigurationError, HanseError
from hanse.resilience import AdaptiveConfig, AdaptiveLimit, Priority
from hanse.service.identity import Identity
from hanse.service.problem import Problem
from hanse.telemetry import Metrics

if TYPE_CHECKING:
    from hanse.telemetry.metrics import CounterValue

HEADER = b"x-priority"
_LOW = Priority.LOW
_GATEWAY_TIMEOUT = 504
_FAILED = 400
_NAME = "requests"

FindRoute = Callable[[Scope], BaseRoute | None]


def route_priority(text: str, path: str) -> Priority:
    """The class that a route declares.

    Raises:
        ConfigurationError: there is no such class.
    """
    found = Priority.__members__.get(text.upper())
    if found is None:
        names = ", ".join(priority.name.lower() for priority in Priority)
        raise ConfigurationError(f'{path}: priority is one of {names}, not "{text}"')
    return found


class Place:
    """What one request holds. Exactly one of `leave` and `abandon` gives it back."""

    __slots__ = ("_gate", "arrived", "task")

    def __init__(self, gate: "Gate", task: "asyncio.Task[object] | None", arrived: float) -> None:
        self._gate = gate
        self.task = task
        self.arrived = arrived

    def leave(self, status: int) -> None:
        """The response begins, with this status."""
        self._gate._left(self, status)

    def abandon(self) -> None:
        """The request ended without one."""
        self._gate.limit.abandon()


class Gate:
    """Lets requests in as long as they can be served without queueing for long; refuses the least important first.

    Args:
        settings: the bounds of the limit.
        identity: tells whether a request that claims more than its route allows comes from a service of the system.

    Guarantees: CRITICAL routes are always let in; X-Priority lowers the class of a request, and raises it to HIGH at
    most, for a service that proves itself; a refusal does no I/O.
    """

    def __init__(self, env: Env, settings: ServiceSettings, metrics: Metrics, identity: Identity) -> None:
        least, most = settings.concurrency_minimum, settings.concurrency_maximum
        if least > most:
            raise ConfigurationError(f"HANSE_CONCURRENCY_MINIMUM ({least}) exceeds HANSE_CONCURRENCY_MAXIMUM ({most})")
        config = AdaptiveConfig(initial=min(2 * least, most), minimum=least, maximum=most)
        self.limit = AdaptiveLimit(_NAME, env, config)
        self._identity = identity
        self._monotonic = env.clock.monotonic
        self._turn_began: float | None = None
        self._left_in_turn: list[tuple[Place, int, float]] = []
        shed = metrics.counter("http_server_shed_requests_total", "Requests refused under overload.", ("priority",))
        self._shed: list[CounterValue] = [shed.labels(priority.name.lower()) for priority in Priority]
        limit = metrics.gauge("http_server_concurrency_limit", "Requests that may be served at once.")
        limit.labels().set_function(lambda: float(self.limit.limit))
        retry_after = (b"retry-after", b"%d" % max(round(config.retry_after_s), 1))
        self.refusal = Problem(
            503,
            "overloaded",
            "The service has more requests than it can serve. Ask again later.",
            headers=(retry_after,),
        )

    def enter(self, scope: Scope, task: "asyncio.Task[object] | None", now: float, find: FindRoute) -> Place | None:
        """Take a place for a request; None when it is shed.

        Args:
            task: that serves it.
            now: on the node's monotonic clock.
            find: the route that the request is for; asked only when places run short.
        """
        limit = self.limit
        if not limit.try_acquire(_LOW):
            if self._left_in_turn and self._left_in_turn[-1][0].task is task:
                self._end_turn()  # called by a program, not by a server: it asks again, so it has its answer
            priority = self._priority(scope, find)
            if not limit.try_acquire(priority):
                limit.refuse(priority)
                self._shed[priority].inc()
                return None
        began = self._turn_began
        if began is None:
            began = self._turn_began = now
            get_running_loop().call_soon(self._end_turn)
        return Place(self, task, began)

    def _left(self, place: Place, status: int) -> None:
        took_s = self._monotonic() - place.arrived
        if self._turn_began is None:
            self._give_back(status, took_s)
        else:
            self._left_in_turn.append((place, status, took_s))

    def _end_turn(self) -> None:
        self._turn_began = None
        left, self._left_in_turn = self._left_in_turn, []
        for _, status, took_s in left:
            self._give_back(status, took_s)

    def _give_back(self, status: int, took_s: float) -> None:
        """Only what was really served says how long serving takes."""
        if status < _FAILED:
            self.limit.release(took_s)
        elif status == _GATEWAY_TIMEOUT:
            self.limit.drop(took_s)
        else:
            self.limit.abandon()

    def _priority(self, scope: Scope, find: FindRoute) -> Priority:
        allowed: Priority = getattr(find(scope), "priority", Priority.NORMAL)
        claimed = next((value for name, value in scope["headers"] if name == HEADER), None)
        if claimed is None or allowed is Priority.CRITICAL:
            return allowed
        wanted = Priority.parse(claimed.decode("latin-1"), most=Priority.HIGH)
        return wanted if wanted <= allowed or self._proven(scope) else allowed

    def _proven(self, scope: Scope) -> bool:
        try:
            self._identity.caller(HTTPConnection(scope))
        except HanseError:
            return False
        return True
