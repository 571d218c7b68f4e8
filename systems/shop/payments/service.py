"""The payments service itself: its name, its tables."""

from hanse import Service
from shop.settings import ShopSettings

service = Service("payments", version="1.0.0", models="shop.payments.store", settings=ShopSettings)
