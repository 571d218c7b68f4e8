"""The cart process: the service with all that it does."""

from shop.cart import api, reactions
from shop.cart.service import service

__all__ = ["api", "reactions", "service"]
