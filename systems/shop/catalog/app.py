"""The catalogue process: the service with all that it does."""

from shop.catalog import api, reactions, seeding
from shop.catalog.service import service

__all__ = ["api", "reactions", "seeding", "service"]
