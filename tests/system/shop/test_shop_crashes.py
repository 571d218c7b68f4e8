"""Processes are killed while people order: every order still ends, and nothing is lost, doubled or left over."""

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from itertools import cycle, islice

import pytest
from tests.system.shop.shop_rig import ADDRESS, DECIDED, Customer, RunningShop, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

TOKENS = ["tok_ok", "tok_declined", "tok_flaky", "tok_ok"]
ORDERS = 24
KILLS = 3


def order_stubbornly(customer: Customer, product: str, token: str, key: str) -> str:
    """Order as a browser does whose user tries again: with the same key, until there is an answer."""
    body = {
        "items": [{"product_id": product, "quantity": 1}],
        "shipping_address": ADDRESS,
        "payment": {"provider": "card", "token": token},
    }
    ids: list[str] = []

    def placed() -> bool:
        try:
            answer = customer.call("POST", "/api/orders", body, idempotency_key=key)
        except (OSError, HTTPException):
            return False
        assert answer.status in (201, 502, 503, 504), answer
        if answer.status == 201:
            ids.append(str(answer.body["id"]))
        return bool(ids)

    until(placed, "the order is taken")
    return ids[0]


@pytest.mark.parametrize("victim", ["orders", "payments", "inventory", "catalog", "notifications"])
def test_whoever_is_killed_every_order_ends_as_it_must(shop: RunningShop, admin: Customer, victim: str) -> None:
    product = shop.product(admin, 1000)
    customer = shop.customer()
    plan = [(token, f"{victim}-{n}") for n, token in enumerate(islice(cycle(TOKENS), ORDERS))]
    with ThreadPoolExecutor(6) as pool:
        ordering = [pool.submit(order_stubbornly, customer, product, token, key) for token, key in plan]
        for n in range(1, KILLS + 1):
            until(lambda n=n: sum(each.done() for each in ordering) >= n * ORDERS // (KILLS + 1), "orders come in")
            shop.kill(victim)
        orders = [each.result() for each in ordering]
    assert len(set(orders)) == ORDERS

    def statuses() -> list[str]:
        listed = customer.call("GET", "/api/orders?limit=100")
        return [each["status"] for each in listed.body["items"]] if listed.status == 200 else []

    until(lambda: len(found := statuses()) == ORDERS and all(each in DECIDED for each in found), "all are decided")
    by_id = {each["id"]: each for each in customer.get("/api/orders?limit=100")["items"]}
    for (token, _), order in zip(plan, orders, strict=True):
        expected = "rejected" if token == "tok_declined" else "confirmed"
        assert by_id[order]["status"] == expected, by_id[order]
    assert shop.violations() == []
    confirmed = sum(token != "tok_declined" for token, _ in plan)
    assert customer.get(f"/api/inventory/{product}")["quantity"] == 1000 - confirmed
