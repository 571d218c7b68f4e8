"""A service whose only handler computes for about 3 ms and never waits: the event loop is what becomes scarce."""

from hanse import Service

service = Service("computing")


@service.get("/compute")
async def compute() -> dict[str, int]:
    return {"sum": sum(number * number for number in range(75_000))}
