"""The notifications service itself: its name, its tables, whom it wakes."""

from hanse import Service
from shop.settings import ShopSettings
from shop.signals import Signals

service = Service("notifications", version="1.0.0", models="shop.notifications.store", settings=ShopSettings)

changes = Signals()
"""A recipient is notified when this process has made a notification for them."""
