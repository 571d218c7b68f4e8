"""`/resilience`: the breakers, limiters, bulkheads and retries of a service as they are now, and the levers to them.

| request | does | who |
|---|---|---|
| `GET /resilience?kind=breaker` | lists all patterns, or those of a kind, with their state | who reaches the service |
| `POST /resilience/reset` `{"name": "stock", "kind": "breaker"}` | forgets what was learnt, ends a force | role admin |
| `POST /resilience/force` `{"name": "stock/a", "state": "open"}` | holds a breaker `open` or `closed` | role admin |

Do not route it through the gateway for everybody: it names services and instances.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from hanse.resilience import Priority
from hanse.service.access import guards
from hanse.service.dependencies import node_of
from hanse.service.routes import ServiceRoute

if TYPE_CHECKING:
    from hanse.service.node import Node

PATH = "/resilience"
ADMIN = "admin"


class Reset(BaseModel):
    """Which patterns to reset."""

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: str | None = None
    """None: all kinds."""


class Force(BaseModel):
    """Which breaker to hold, and how."""

    model_config = ConfigDict(extra="forbid")

    name: str
    state: Literal["open", "closed"]


def resilience_routes() -> APIRouter:
    """The three routes, which are never shed; not part of the service's OpenAPI document."""
    router = APIRouter(route_class=ServiceRoute, include_in_schema=False)
    admin = guards(auth=True, scope=None, role=ADMIN, internal=False)

    async def show(request: Request, kind: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        node = node_of(request)
        return _told(node, list(node.parts.resilience.snapshot(kind)))

    async def reset(request: Request, wanted: Reset) -> dict[str, Any]:
        node = node_of(request)
        done = node.parts.resilience.reset(wanted.name, wanted.kind)
        node.log.warning("resilience: reset by hand", pattern=wanted.name, kinds=[pattern.kind for pattern in done])
        return _told(node, [{"kind": pattern.kind, **pattern.snapshot().as_json()} for pattern in done])

    async def force(request: Request, wanted: Force) -> dict[str, Any]:
        node = node_of(request)
        breaker = node.parts.resilience.force(wanted.name, wanted.state)
        node.log.warning("resilience: breaker forced by hand", pattern=wanted.name, state=wanted.state)
        return _told(node, [{"kind": breaker.kind, **breaker.snapshot().as_json()}])

    router.add_api_route(PATH, show, methods=["GET"])
    router.add_api_route(f"{PATH}/reset", reset, methods=["POST"], dependencies=admin)
    router.add_api_route(f"{PATH}/force", force, methods=["POST"], dependencies=admin)
    for route in router.routes:
        assert isinstance(route, ServiceRoute)
        route.priority = Priority.CRITICAL
    return router


def _told(node: "Node", patterns: list[dict[str, Any]]) -> dict[str, Any]:
    return {"service": node.name, "instance": node.instance, "patterns": patterns}
