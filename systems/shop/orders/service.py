"""The orders service itself: its name, its tables, whom it asks, whom it wakes."""

from hanse import Service
from shop.settings import ShopSettings
from shop.signals import Signals

service = Service("orders", version="1.0.0", models="shop.orders.store", settings=ShopSettings)

catalog = service.client("catalog", timeout=3.0)
cart = service.client("cart", timeout=3.0)
inventory = service.client("inventory", timeout=5.0)
payments = service.client("payments", timeout=10.0, retry=0)
"""No retry in the client: the saga repeats a payment, with pauses, and across crashes."""

changes = Signals()
"""An order's id is notified when this process has changed its status."""
