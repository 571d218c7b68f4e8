"""Processes are killed while people order: every order still ends, and nothing is lost, doubled or left over."""

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from http.client import HTTPException
from itertools import cycle, islice

import pytest
from tests.system.shop.shop_rig import ADDRESS, DECIDED, Customer, RunningShop, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

TOKENS = ["tok_ok", "tok_declined", "tok_flaky", "tok_ok"]
AT_ONCE = 50
ACKNOWLEDGED_FIRST = 10
WHOLE_AGAIN_S = 15.0
"""Far more than the second or so that it takes: machines that run tests have other things to do, too."""
ORDERS = 24
KILLS = 3
NOT_YET = {502, 503, 504}
ANSWERED_BY = {
    "users": "/api/users/me",
    "catalog": "/api/categories",
    "inventory": "/api/inventory/prod_brw-paper-100",
    "cart": "/api/cart",
    "orders": "/api/orders",
    "notifications": "/api/notifications",
}


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
        except (OSError, HTTPException):  # the gateway itself is away
            return False
        if answer.status == 201:
            ids.append(str(answer.body["id"]))
            return True
        assert answer.status in NOT_YET or answer.body["code"] == "idempotency_key_in_progress", answer
        return False

    until(placed, "the order is taken")
    return ids[0]


def answers(customer: Customer) -> bool:
    """Whether every service is there for customers."""
    try:
        return all(customer.call("GET", path).status == 200 for path in ANSWERED_BY.values())
    except (OSError, HTTPException):
        return False


def all_end_well(shop: RunningShop, customer: Customer, product: str, orders: dict[str, str]) -> None:
    """Each of the customer's orders (id: token) ends as its card says, and all books agree."""

    found: dict[str, str] = {}

    def all_are_decided() -> bool:
        listed = customer.call("GET", "/api/orders?limit=100")
        if listed.status == 200:
            found.update((each["id"], each["status"]) for each in listed.body["items"])
        return len(found) >= len(orders) and set(found.values()) <= set(DECIDED)

    until(all_are_decided, "all are decided")
    wanted = {order: "rejected" if token == "tok_declined" else "confirmed" for order, token in orders.items()}
    assert found == wanted, "these orders, and no other one"
    assert shop.violations() == []
    sold = sum(status == "confirmed" for status in wanted.values())
    assert customer.get(f"/api/inventory/{product}")["quantity"] == 1000 - sold


@pytest.mark.parametrize("victim", ["orders", "payments", "inventory", "nats", "gateway"])
def test_one_death_amid_50_orders_at_once(shop: RunningShop, admin: Customer, victim: str) -> None:
    """Killed while orders are accepted, paid slowly, repeated and refused; everything comes back by itself."""
    product = shop.product(admin, 1000)
    customer = shop.customer()
    tokens = {f"{victim}-{n}": token for n, token in enumerate(islice(cycle([*TOKENS, "tok_slow"]), AT_ONCE))}
    pid = shop.pids(victim)[0]

    def order(pool: ThreadPoolExecutor) -> dict[str, Future[str]]:
        return {key: pool.submit(order_stubbornly, customer, product, token, key) for key, token in tokens.items()}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ordering = order(pool)
        acknowledged = as_completed(ordering.values())
        first = [next(acknowledged).result() for _ in range(ACKNOWLEDGED_FIRST)]
        os.kill(pid, signal.SIGKILL)
        until(lambda: shop.is_whole(without=pid), f"{victim} is back", WHOLE_AGAIN_S)
        until(lambda: answers(customer), "all services answer", WHOLE_AGAIN_S)
        orders = {key: placed.result() for key, placed in ordering.items()}
        again = {key: placed.result() for key, placed in order(pool).items()}
    assert len(set(orders.values())) == AT_ONCE
    assert set(first) <= set(orders.values())
    assert again == orders, "one key is one order, whether its first answer arrived or not"
    all_end_well(shop, customer, product, {orders[key]: token for key, token in tokens.items()})


@pytest.mark.parametrize("victim", ["orders", "payments", "inventory", "catalog", "notifications"])
def test_whoever_is_killed_again_and_again_every_order_ends_as_it_must(
    shop: RunningShop, admin: Customer, victim: str
) -> None:
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
    all_end_well(shop, customer, product, {order: token for (token, _), order in zip(plan, orders, strict=True)})
