"""Mending: takes up again what was parked because another service was away for too long."""

from hanse.core.errors import NotFound
from shop.orders.service import service

_PAUSE_S = 30.0


@service.on_start
async def mend_stuck_sagas() -> None:
    """From now on look for parked compensations and have them tried again; any number of replicas may do so at once."""
    service.env.scope.supervise(_mend, name="mend-stuck-sagas")


async def _mend() -> None:
    while True:
        await service.env.clock.sleep(_PAUSE_S)
        for stuck in await service.durable.sagas.recent("stuck"):
            try:
                await service.durable.sagas.retry_stuck(stuck.id)
            except NotFound:
                continue  # another replica was faster
            service.log.warning("a stuck saga is tried again", saga=stuck.id)
