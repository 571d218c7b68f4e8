"""A service whose handlers compute without ever waiting."""

import time

from hanse import Service

service = Service("busy")


@service.get("/compute")
async def compute(ms: float = 20.0) -> str:
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end:
        pass
    return "computed"


@service.get("/pay", priority="high")
async def pay() -> str:
    return "paid"
