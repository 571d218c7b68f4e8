"""Health: is the process alive, may it get requests, and how is each of its parts.

| path | answers 200 when | else |
|---|---|---|
| `/health/live` | the event loop turns | no answer |
| `/health/ready`, `/ready` | started, not draining, and every part that requests need is ready | 503 |
| `/health` | as ready; names each part with its state and how long the check took | 503 |
| `/metrics` | always: Prometheus' text format | |

A broker that is away makes the service `degraded`, not unready: it can still answer from its own database, and what it
publishes waits in the outbox.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from hanse.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from hanse.service.node import Node

_CHECK_S = 2.0
_SLOW_MS = 500.0
_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can be well or not."""

    name: str
    ready: Callable[[], Awaitable[str | None]]
    """None when it is well, else the reason."""
    needed: bool = True
    """False: without it the service still answers, degraded."""


def probes(node: "Node") -> dict[str, ASGIApp]:
    """The paths that orchestrators ask, each with what answers it."""

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, _JSON, b'{"status":"up"}')

    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        status, told = await report(node)
        del told["checks"]
        await _answer(send, status, _JSON, orjson.dumps(told))

    async def health(scope: Scope, receive: Receive, send: Send) -> None:
        status, told = await report(node)
        await _answer(send, status, _JSON, orjson.dumps(told))

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, CONTENT_TYPE.encode(), node.metrics.render())

    return {
        "/health": health,
        "/health/live": live,
        "/health/ready": ready,
        "/ready": ready,
        "/metrics": metrics,
    }


async def report(node: "Node") -> tuple[int, dict[str, Any]]:
    """HTTP status and document: the service's state and that of each part, all checked at once, 2 s at most."""
    results = await asyncio.gather(*[_run(node, check) for check in node.checks])
    worst = "up"
    for check, result in zip(node.checks, results, strict=True):
        if result["status"] == "down" and check.needed:
            worst = "down"
        elif result["status"] != "up" and worst == "up":
            worst = "degraded"
    if not node.started:
        worst = "starting"
    if node.draining:
        worst = "draining"
    settings, clock = node.settings, node.env.clock
    told = {
        "status": worst,
        "service": node.name,
        "version": node.version,
        "instance": node.instance,
        "environment": settings.environment,
        "uptime_s": round(clock.monotonic() - node.began, 1),
        "checks": {check.name: result for check, result in zip(node.checks, results, strict=True)},
    }
    return (200 if worst in ("up", "degraded") else 503), told


async def _run(node: "Node", check: Check) -> dict[str, Any]:
    monotonic = node.env.clock.monotonic
    began = monotonic()
    try:
        async with asyncio.timeout(_CHECK_S):
            reason = await check.ready()
    except TimeoutError:
        reason = f"no answer within {_CHECK_S:g} s"
    except Exception as error:
        node.log.warning("health check failed", check=check.name, exc_info=error)
        reason = "the check failed"
    took_ms = round((monotonic() - began) * 1000, 2)
    if reason is not None:
        return {"status": "down", "took_ms": took_ms, "reason": reason}
    return {"status": "degraded" if took_ms > _SLOW_MS else "up", "took_ms": took_ms}


async def _answer(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
