"""A service that cannot start."""

from hanse import Service
from hanse.core.errors import Unavailable

service = Service("broken")


@service.on_start
async def fail() -> None:
    raise Unavailable("the warehouse is closed")
