"""The users service itself: its name, its tables."""

from hanse import Service
from shop.settings import ShopSettings

service = Service("users", version="1.0.0", models="shop.users.store", settings=ShopSettings)
