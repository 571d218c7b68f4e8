"""A service whose handlers take the time they are told to."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request, WebSocket
from fastapi.sse import EventSourceResponse, ServerSentEvent

from hanse import Service

service = Service("waiter")


@service.get("/hello/{name}")
async def hello(name: str) -> dict[str, str]:
    return {"message": f"Hello, {name}"}


@service.get("/wait")
async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


@service.post("/size")
async def size(request: Request) -> int:
    return len(await request.body())


@service.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(data="first")
    await asyncio.sleep(60)


@service.websocket("/ws")
async def ws(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await asyncio.sleep(60)
