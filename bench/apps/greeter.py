"""The service that B11 edits: its answer is the number of the edit."""

from hanse import Service

service = Service("greeter")


@service.get("/answer")
async def answer() -> dict[str, int]:
    return {"edit": 0}
