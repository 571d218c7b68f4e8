"""Inventory through the gateway: adjustments, alerts, the live stream."""

import pytest
from tests.system.shop.shop_rig import Customer, RunningShop, until

pytestmark = pytest.mark.system


def adjust(admin: Customer, product: str, operation: str, quantity: int) -> int:
    return admin.call("POST", f"/api/inventory/{product}/adjust", {"operation": operation, "quantity": quantity}).status


def test_an_admin_corrects_stock_and_nobody_else(shop: RunningShop, admin: Customer, ida: Customer) -> None:
    product = shop.product(admin, 5)
    assert adjust(ida, product, "add", 5) == 403
    assert [adjust(admin, product, *change) for change in (("add", 5), ("subtract", 3), ("set", 20))] == [200] * 3
    stock = Customer(shop.url).get(f"/api/inventory/{product}")
    assert (stock["quantity"], stock["reserved"], stock["available"]) == (20, 0, 20)
    assert adjust(admin, product, "subtract", 21) == 409
    assert adjust(admin, product, "double", 1) == 422
    assert adjust(admin, "prod_none", "add", 1) == 404


def test_low_stock_is_told_to_admins(shop: RunningShop, admin: Customer, ida: Customer) -> None:
    product = shop.product(admin, 50, name="Rare tea")
    assert adjust(admin, product, "set", 9) == 200

    def told() -> bool:
        return product in [each["subject"] for each in admin.get("/api/notifications?limit=100")["items"]]

    until(told, "the admins are told")
    assert product not in [each["subject"] for each in ida.get("/api/notifications?limit=100")["items"]]
    assert product in [each["product_id"] for each in admin.get("/api/inventory?low=true&limit=100")["items"]]


def test_the_stream_tells_of_every_change_of_what_is_watched(shop: RunningShop, admin: Customer) -> None:
    product, other = shop.product(admin, 5), shop.product(admin, 5)
    visitor = Customer(shop.url)
    stream = visitor.events(f"/api/inventory/stream?product_id={product}")
    assert adjust(admin, other, "add", 1) == 200
    seen = []
    for quantity in (7, 3):
        assert adjust(admin, product, "set", quantity) == 200
        seen.append(next(stream))
    assert [news for _, news in seen] == [
        {"product_id": product, "quantity": quantity, "reserved": 0, "available": quantity} for quantity in (7, 3)
    ]
    missed = next(visitor.events(f"/api/inventory/stream?product_id={product}", last_event_id=seen[0][0]))
    assert missed == seen[1]
