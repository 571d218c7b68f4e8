"""The orders process: the service with all that it does."""

from shop.orders import api, sagas, stream
from shop.orders.service import service

__all__ = ["api", "sagas", "service", "stream"]
