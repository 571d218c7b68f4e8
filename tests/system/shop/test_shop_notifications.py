"""Notifications: in the inbox and over the WebSocket."""

import json
from collections.abc import Iterator

import pytest
from tests.system.shop.shop_rig import Customer, RunningShop, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.system


@pytest.fixture
def socket(shop: RunningShop, ida: Customer) -> Iterator[ClientConnection]:
    until(lambda: ida.get("/api/notifications")["unread"] == 1, "the welcome is there")
    url = f"{shop.url.replace('http', 'ws')}/api/notifications/ws"
    with connect(f"{url}?access_token={ida.token}") as socket:
        yield socket


def test_an_order_is_told_of_live_and_stays_in_the_inbox(
    shop: RunningShop, admin: Customer, ida: Customer, socket: ClientConnection
) -> None:
    assert json.loads(socket.recv(10)) == {"type": "hello", "unread": 1}
    order = ida.order((shop.product(admin, 5), 1))
    live = [json.loads(socket.recv(20))["notification"] for _ in range(2)]
    assert sorted(each["kind"] for each in live) == ["order.confirmed", "order.placed"]
    assert {each["subject"] for each in live} == {order["id"]}
    inbox = ida.get("/api/notifications")
    assert {each["id"] for each in live} < {each["id"] for each in inbox["items"]}
    assert inbox["unread"] == 3
    assert "10.00 EUR" in live[0]["body"]

    marked = ida.call("POST", "/api/notifications/mark-read", {"ids": [live[0]["id"], "unknown"]})
    assert (marked.status, marked.body) == (200, {"marked": 1, "unread": 2})
    unread = ida.get("/api/notifications?unread_only=true")["items"]
    assert live[0]["id"] not in [each["id"] for each in unread]
    assert len(unread) == 2


def test_a_rejection_is_explained(shop: RunningShop, admin: Customer, ida: Customer) -> None:
    order = ida.order((shop.product(admin, 5), 1), token="tok_declined")

    def told() -> bool:
        texts = [each["body"] for each in ida.get("/api/notifications")["items"] if each["kind"] == "order.rejected"]
        return texts == [f"Order {order['id']}: your payment was declined. Nothing was charged."]

    until(told, "the rejection is explained")


def test_others_notifications_are_out_of_reach(shop: RunningShop, ida: Customer) -> None:
    until(lambda: ida.get("/api/notifications")["unread"] == 1, "the welcome is there")
    mine = [each["id"] for each in ida.get("/api/notifications")["items"]]
    bo = shop.customer("Bo")
    assert bo.call("POST", "/api/notifications/mark-read", {"ids": mine}).body["marked"] == 0
    assert ida.get("/api/notifications")["unread"] == 1


def test_the_socket_is_for_those_who_are_signed_in(shop: RunningShop) -> None:
    with pytest.raises(InvalidStatus), connect(f"{shop.url.replace('http', 'ws')}/api/notifications/ws"):
        pass
