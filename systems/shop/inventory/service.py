"""The inventory service itself: its name, its tables, whom it wakes."""

from hanse import Service
from shop.settings import ShopSettings
from shop.signals import Signals

service = Service("inventory", version="1.0.0", models="shop.inventory.store", settings=ShopSettings)

CHANGED = "stock"

changes = Signals()
"""`CHANGED` is notified when this process has changed any stock."""
