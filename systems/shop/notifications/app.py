"""The notifications process: the service with all that it does."""

from shop.notifications import api, live, reactions
from shop.notifications.service import service

__all__ = ["api", "live", "reactions", "service"]
