"""The orders service itself: its name, its tables, whom it asks, whom it wakes."""

from hanse import Service
from hanse.resilience import BreakerConfig, BulkheadConfig
from shop.settings import ShopSettings
from shop.signals import Signals

service = Service("orders", version="1.0.0", models="shop.orders.store", settings=ShopSettings)

_SAGAS = BulkheadConfig(limit=40, queue=2000, wait_s=5.0)
"""Orders come faster than they are worked off in a rush: their sagas queue here, and do not flood the next service."""

catalog = service.client("catalog", timeout=3.0)
cart = service.client("cart", timeout=3.0)
inventory = service.client("inventory", timeout=5.0, bulkhead=_SAGAS)
payments = service.client(
    "payments",
    timeout=10.0,
    retry=0,
    breaker=BreakerConfig(failure_threshold=200, error_percentage=0),
    bulkhead=_SAGAS,
)
"""No retry in the client: the saga repeats a payment, with pauses, and across crashes.

Payments also says 503 when one customer's processor is down, which says nothing about the next customer's: only a very
long row of failures may keep calls from it.
"""

changes = Signals()
"""An order's id is notified when this process has changed its status."""
