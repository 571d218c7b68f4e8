"""The inventory process: the service with all that it does."""

from shop.inventory import api, reactions, seeding
from shop.inventory.service import service

__all__ = ["api", "reactions", "seeding", "service"]
