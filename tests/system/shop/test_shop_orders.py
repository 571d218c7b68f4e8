"""Orders from the cart to the money back, through the gateway."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from tests.system.shop.shop_rig import ADDRESS, Customer, RunningShop, until

pytestmark = pytest.mark.system

BODY = {"shipping_address": ADDRESS, "payment": {"provider": "card", "token": "tok_ok"}}


@pytest.fixture(scope="module")
def tea(shop: RunningShop, admin: Customer) -> str:
    return shop.product(admin, 1000, price=1000, name="Ordinary tea")


def available(customer: Customer, product: str) -> int:
    return int(customer.get(f"/api/inventory/{product}")["available"])


def test_the_cart_is_ordered_and_emptied(shop: RunningShop, admin: Customer, ida: Customer) -> None:
    product = shop.product(admin, 10, price=250)
    ida.call("PUT", f"/api/cart/items/{product}", {"quantity": 1})
    cart = ida.call("PUT", f"/api/cart/items/{product}", {"quantity": 3}).body
    assert (cart["count"], cart["total"]) == (3, {"amount": 750, "currency": "EUR"})
    order = ida.order()
    assert (order["status"], order["total"]) == ("pending", {"amount": 750, "currency": "EUR"})
    assert order["items"][0]["unit_price"]["amount"] == 250
    assert ida.decided(order)["status"] == "confirmed"
    ida.settled(order, "confirmed")
    assert available(ida, product) == 7
    until(lambda: ida.get("/api/cart")["items"] == [], "the cart is emptied")


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        ("tok_ok", "confirmed", None),
        ("tok_flaky", "confirmed", None),
        ("tok_slow", "confirmed", None),
        ("tok_declined", "rejected", "payment_declined"),
    ],
)
def test_the_card_decides(ida: Customer, tea: str, token: str, status: str, reason: str | None) -> None:
    before = available(ida, tea)
    decided = ida.decided(ida.order((tea, 2), token=token))
    assert (decided["status"], decided["reason"]) == (status, reason)
    left = before - 2 if status == "confirmed" else before
    until(lambda: available(ida, tea) == left, "the stock agrees")


def test_flaky_cards_of_some_hold_up_nobody_else(shop: RunningShop, ida: Customer, tea: str) -> None:
    tokens = ["tok_flaky", "tok_ok"] * 12
    with ThreadPoolExecutor(24) as pool:
        orders = list(pool.map(lambda token: ida.order((tea, 1), token=token), tokens))
        assert {each["status"] for each in pool.map(ida.decided, orders)} == {"confirmed"}
    steps = "SELECT o.id, s.attempts FROM hanse_saga_step s JOIN orders o ON o.saga_id = s.saga_id WHERE s.name = ?"
    with closing(sqlite3.connect(f"file:{shop.data / 'orders.db'}?mode=ro", uri=True)) as db:
        attempts = dict(db.execute(steps, ("authorise",)))
    assert [attempts[order["id"]] for order in orders] == [3, 1] * 12


def test_an_invoice_is_never_declined(ida: Customer, tea: str) -> None:
    assert ida.decided(ida.order((tea, 1), token="", provider="invoice"))["status"] == "confirmed"


def test_more_than_there_is_is_rejected(shop: RunningShop, admin: Customer, ida: Customer) -> None:
    product = shop.product(admin, 3)
    decided = ida.decided(ida.order((product, 4)))
    assert (decided["status"], decided["reason"]) == ("rejected", "out_of_stock")
    assert available(ida, product) == 3


def test_the_last_piece_is_sold_once(shop: RunningShop, admin: Customer) -> None:
    product = shop.product(admin, 3)
    customers = [shop.customer() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(lambda n: (customers[n % 4], customers[n % 4].order((product, 1))), range(8)))
        decided = list(pool.map(lambda each: each[0].decided(each[1])["status"], orders))
    assert sorted(decided) == ["confirmed"] * 3 + ["rejected"] * 5
    until(lambda: available(customers[0], product) == 0, "nothing is left")
    stock = customers[0].get(f"/api/inventory/{product}")
    assert (stock["quantity"], stock["reserved"]) == (0, 0)


def test_one_key_is_one_order_also_at_the_same_time(ida: Customer, tea: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(lambda _: ida.order((tea, 1), idempotency_key="once"), range(8)))
    assert len({order["id"] for order in orders}) == 1
    assert ida.get("/api/orders")["pagination"]["total"] == 1
    other = {**BODY, "items": [{"product_id": tea, "quantity": 2}]}
    reused = ida.call("POST", "/api/orders", other, idempotency_key="once")
    assert (reused.status, reused.body["code"]) == (422, "idempotency_key_reused")


def test_a_repeated_cart_order_finds_the_first_although_the_cart_is_empty(ida: Customer, tea: str) -> None:
    ida.call("PUT", f"/api/cart/items/{tea}", {"quantity": 1})
    first = ida.order(idempotency_key="cart")
    until(lambda: ida.get("/api/cart")["items"] == [], "the cart is emptied")
    again = ida.call("POST", "/api/orders", BODY, idempotency_key="cart")
    assert (again.status, again.body["id"], again.headers["idempotent-replayed"]) == (201, first["id"], "true")


def test_keys_of_different_customers_do_not_meet(shop: RunningShop, ida: Customer, tea: str) -> None:
    mine = ida.order((tea, 1), idempotency_key="same")
    theirs = shop.customer().order((tea, 1), idempotency_key="same")
    assert mine["id"] != theirs["id"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"items": []},
        {"items": [{"product_id": "prod_none", "quantity": 1}]},
        {"items": [{"product_id": "prod_brw-paper-100", "quantity": 0}]},
        {"items": [{"product_id": "prod_brw-paper-100", "quantity": 1}], "shipping_address": {"name": "Ida"}},
        {"items": [{"product_id": "prod_brw-paper-100", "quantity": 1}], "payment": {"provider": "gold"}},
    ],
)
def test_a_senseless_order_is_refused(ida: Customer, change: dict[str, object]) -> None:
    answer = ida.call("POST", "/api/orders", {**BODY, **change})
    assert (answer.status, answer.body["code"]) == (422, "invalid_input")
    assert ida.get("/api/orders")["items"] == []


def test_orders_are_their_owners_business(shop: RunningShop, admin: Customer, ida: Customer, tea: str) -> None:
    order = ida.order((tea, 1))
    stranger = shop.customer("Bo")
    for method, path in (
        ("GET", ""),
        ("GET", "/timeline"),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/return"),
    ):
        assert stranger.call(method, f"/api/orders/{order['id']}{path}").status == 404
    assert stranger.call("PUT", f"/api/orders/{order['id']}/status", {"status": "shipped"}).status == 403
    assert Customer(shop.url).call("GET", f"/api/orders/{order['id']}").status == 401
    assert admin.get(f"/api/orders/{order['id']}")["id"] == order["id"]
    assert stranger.get("/api/orders")["items"] == []


def test_a_confirmed_order_is_cancelled(ida: Customer, tea: str) -> None:
    before = available(ida, tea)
    order = ida.order((tea, 5))
    ida.decided(order)
    answers = [ida.call("POST", f"/api/orders/{order['id']}/cancel") for _ in range(2)]
    assert answers[0].status == 202
    assert answers[1].status in (202, 409)
    cancelled = ida.settled(order, "cancelled")
    assert cancelled["reason"] == "cancelled_by_customer"
    assert available(ida, tea) == before
    assert ida.call("POST", f"/api/orders/{order['id']}/cancel").status == 409


def test_a_pending_order_is_cancelled(ida: Customer, tea: str) -> None:
    before = available(ida, tea)
    order = ida.order((tea, 5), token="tok_slow")
    answer = ida.call("POST", f"/api/orders/{order['id']}/cancel")
    assert (answer.status, answer.body["status"], answer.body["intent"]) == (202, "pending", "cancel")
    cancelled = ida.settled(order, "cancelled")
    assert cancelled["reason"] == "cancelled_by_customer"
    assert available(ida, tea) == before


def test_an_order_is_shipped_delivered_and_returned(ida: Customer, admin: Customer, tea: str) -> None:
    before = available(ida, tea)
    order = ida.order((tea, 2))
    ida.decided(order)
    ida.settled(order, "confirmed")
    path = f"/api/orders/{order['id']}"
    assert ida.call("POST", f"{path}/return").status == 409
    for status, wanted in (("delivered", 409), ("confirmed", 409), ("shipped", 200), ("cancelled", 409)):
        assert admin.call("PUT", f"{path}/status", {"status": status}).status == wanted, status
    assert admin.call("PUT", f"{path}/status", {"status": "lost"}).status == 422
    assert admin.call("PUT", f"{path}/status", {"status": "delivered"}).body["status"] == "delivered"
    assert ida.call("POST", f"{path}/return").status == 202
    ida.settled(order, "refunded")
    assert available(ida, tea) == before
    way = ["pending", "confirmed", "shipped", "delivered", "refunded"]
    assert [entry["status"] for entry in ida.get(f"{path}/timeline")] == way
    assert [entry["status"] for _, entry in ida.events(f"{path}/events")] == way  # and the stream ends by itself


def test_a_stream_is_resumed_where_it_broke(ida: Customer, tea: str) -> None:
    order = ida.order((tea, 1), token="tok_declined")
    path = f"/api/orders/{order['id']}/events"
    entries = list(ida.events(path))
    assert [entry["status"] for _, entry in entries] == ["pending", "rejected"]
    assert list(ida.events(path, last_event_id=entries[0][0])) == entries[1:]


def test_orders_are_listed_latest_first(ida: Customer, tea: str) -> None:
    placed = [ida.order((tea, 1))["id"] for _ in range(3)]
    page = ida.get("/api/orders?limit=2")
    assert [order["id"] for order in page["items"]] == [placed[2], placed[1]]
    assert page["pagination"] == {"page": 1, "limit": 2, "total": 3, "pages": 2}
