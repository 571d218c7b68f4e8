"""A service whose start never ends."""

import asyncio

from hanse import Service

service = Service("sleeper")


@service.on_start
async def sleep() -> None:
    service.log.info("starting")
    await asyncio.sleep(60)
