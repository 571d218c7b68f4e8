"""The users process: the service with all that it does."""

from shop.users import api, seeding
from shop.users.service import service

__all__ = ["api", "seeding", "service"]
