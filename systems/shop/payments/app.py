"""The payments process: the service with all that it does."""

from shop.payments import api, opening
from shop.payments.service import service

__all__ = ["api", "opening", "service"]
