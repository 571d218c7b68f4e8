"""The cart service itself: its name, its tables, whom it asks."""

from hanse import Service
from shop.settings import ShopSettings

service = Service("cart", version="1.0.0", models="shop.cart.store", settings=ShopSettings)
catalog = service.client("catalog", timeout=3.0)
