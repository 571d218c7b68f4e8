"""The demo: `python -m systems.shop.demo` orders things in a running shop and checks that it keeps its promises.

Standard library only, through the gateway only: it sees what any customer sees. Exit code 0 when all is as promised,
1 when something is not, 2 when there is no shop to talk to.
"""

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

_STATE = Path(__file__).parent / ".hanse" / "state.json"
_ADDRESS = {"name": "Ida Demo", "street": "Koberg 1", "city": "Lübeck", "zip_code": "23552", "country": "DE"}
_FINAL = ("confirmed", "rejected", "cancelled")
_PATIENCE_S = 30.0


class Broken(Exception):
    """The shop did not keep a promise."""


class Shop:
    """The shop, as one customer's browser reaches it.

    Args:
        url: of the gateway.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self.token = ""
        self.trace_id = ""
        """Of the latest request."""

    def call(self, method: str, path: str, body: Any = None, *, wanted: int = 200, key: str = "") -> Any:
        """One request; the decoded answer. Raises Broken when its status is not `wanted`."""
        response = self._send(method, path, body, key)
        text = response.read().decode()
        if response.status != wanted:
            raise Broken(f"{method} {path} answered {response.status} instead of {wanted}: {text[:300]}")
        return json.loads(text) if text else None

    def follow(self, order_id: str) -> str:
        """Follow an order's event stream until it is decided; its status then."""
        path = f"/api/orders/{order_id}/events"
        response = self._send("GET", path, accept="text/event-stream")
        if response.status != 200:
            raise Broken(f"GET {path} answered {response.status}: {response.read()[:300]!r}")
        while line := response.readline():
            if line.startswith(b"data:"):
                status = str(json.loads(line[5:])["status"])
                if status in _FINAL:
                    return status
        raise Broken(f"the stream of {order_id} ended before the order was decided")

    def _send(self, method: str, path: str, body: Any = None, key: str = "", accept: str = "*/*") -> HTTPResponse:
        self.trace_id = secrets.token_hex(16)
        headers = {"accept": accept, "traceparent": f"00-{self.trace_id}-{secrets.token_hex(8)}-01"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if key:
            headers["idempotency-key"] = key
        if body is not None:
            headers["content-type"] = "application/json"
        connection = HTTPConnection(self._host, self._port, timeout=_PATIENCE_S)
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse()


class Demo:
    """One run: a new customer, and what happens to them."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._product: dict[str, Any] = {}

    def run(self) -> None:
        """Play all scenes. Raises Broken at the first that goes wrong."""
        scenes: list[tuple[str, Callable[[], str]]] = [
            ("register and sign in", self.sign_in),
            ("search for coffee", self.search),
            ("fill the cart", self.fill_cart),
            ("order the cart, follow it live", self.order_cart),
            ("find the notifications", self.notifications),
            ("pay with a card that is declined", self.declined),
            ("pay through a flaky processor", self.flaky),
            ("send one order twice", self.twice),
            ("order more than there is", self.too_much),
        ]
        for name, scene in scenes:
            began = time.perf_counter()
            try:
                told = scene()
            except Broken as broken:
                raise Broken(f"{name}: {broken}") from broken
            took_ms = (time.perf_counter() - began) * 1000
            print(f"  {name:<34} {told:<46} {took_ms:>7.0f} ms   trace {self._shop.trace_id}")

    def sign_in(self) -> str:
        account = {"email": f"demo-{secrets.token_hex(6)}@example.org", "password": secrets.token_urlsafe(12)}
        self._shop.call("POST", "/api/auth/register", {**account, "name": "Ida Demo"}, wanted=201)
        self._shop.token = self._shop.call("POST", "/api/auth/login", account)["access_token"]
        me = self._shop.call("GET", "/api/users/me")
        return f"{me['name']}, {me['email']}"

    def search(self) -> str:
        query = urlencode({"q": "coffee", "in_stock": "true", "limit": 50})
        found = self._shop.call("GET", f"/api/products?{query}")["items"]
        stock = {item["id"]: self._available(item["id"]) for item in found}
        expect(found != [], "the search finds something")
        self._product = max(found, key=lambda item: stock[item["id"]])
        expect(stock[self._product["id"]] >= 10, "one of the products found has ten pieces left")
        return f"{len(found)} found, take {self._product['name'][:26]}"

    def fill_cart(self) -> str:
        cart = self._shop.call("PUT", f"/api/cart/items/{self._product['id']}", {"quantity": 2})
        expect(cart["total"]["amount"] == 2 * self._product["price"]["amount"], "the cart costs two pieces")
        return f"2 pieces, {euro(cart['total'])}"

    def order_cart(self) -> str:
        before = self._available()
        order = self._order(token="tok_ok", items=None)  # noqa: S106 - the sandbox's own token
        trace_id = self._shop.trace_id
        self._decided(order, "confirmed")
        expect(self._available() == before - 2, "two pieces have left the shelf")
        self._until(lambda: self._shop.call("GET", "/api/cart")["items"] == [], "the cart is empty after the order")
        self._shop.trace_id = trace_id
        return f"confirmed, {euro(order['total'])}, stock {before} → {before - 2}"

    def notifications(self) -> str:
        titles: list[str] = []

        def confirmed() -> bool:
            inbox = self._shop.call("GET", "/api/notifications")["items"]
            titles[:] = [item["title"] for item in inbox]
            return "order.confirmed" in [item["kind"] for item in inbox]

        self._until(confirmed, "a notification tells of the confirmation")
        return f"{len(titles)}, the latest: {titles[0]}"

    def declined(self) -> str:
        before = self._available()
        order = self._order(token="tok_declined", items=1)  # noqa: S106
        trace_id = self._shop.trace_id
        self._decided(order, "rejected", "payment_declined")
        self._until(lambda: self._available() == before, "the stock is back")
        self._shop.trace_id = trace_id
        return f"rejected: payment_declined, stock still {before}"

    def flaky(self) -> str:
        order = self._order(token="tok_flaky", items=1)  # noqa: S106
        trace_id = self._shop.trace_id
        self._decided(order, "confirmed")
        self._shop.trace_id = trace_id
        return "confirmed after two failures of the processor"

    def twice(self) -> str:
        key = secrets.token_hex(8)
        first = self._order(token="tok_ok", items=1, key=key)  # noqa: S106
        again = self._order(token="tok_ok", items=1, key=key)  # noqa: S106
        trace_id = self._shop.trace_id
        expect(first["id"] == again["id"], "the same Idempotency-Key gives the same order")
        orders = self._shop.call("GET", "/api/orders?limit=50")["items"]
        expect(len(orders) == 4, f"there are 4 orders so far, not {len(orders)}")
        self._decided(first, "confirmed")
        self._shop.trace_id = trace_id
        return "one order, one answer"

    def too_much(self) -> str:
        before = self._available()
        order = self._order(token="tok_ok", items=before + 1)  # noqa: S106
        trace_id = self._shop.trace_id
        self._decided(order, "rejected", "out_of_stock")
        expect(self._available() == before, "the stock is as before")
        self._shop.trace_id = trace_id
        return f"rejected: out_of_stock, {before + 1} wanted of {before}"

    def _order(self, *, token: str, items: int | None, key: str = "") -> Any:
        """Order `items` pieces of the product, or the cart."""
        body: dict[str, Any] = {"shipping_address": _ADDRESS, "payment": {"provider": "card", "token": token}}
        if items is not None:
            body["items"] = [{"product_id": self._product["id"], "quantity": items}]
        order = self._shop.call("POST", "/api/orders", body, wanted=201, key=key or secrets.token_hex(8))
        expect(order["status"] in ("pending", *_FINAL), f"a new order is pending, not {order['status']}")
        return order

    def _decided(self, order: Any, status: str, reason: str | None = None) -> None:
        """Follow the order until it is decided, and check how."""
        came = self._shop.follow(order["id"])
        now = self._shop.call("GET", f"/api/orders/{order['id']}")
        expect(came == status, f"order {order['id']} becomes {status}, not {came} ({now['reason']})")
        expect(now["reason"] == reason, f"its reason is {reason}, not {now['reason']}")

    def _available(self, product_id: str = "") -> int:
        return int(self._shop.call("GET", f"/api/inventory/{product_id or self._product['id']}")["available"])

    def _until(self, true: Callable[[], bool], promise: str) -> None:
        """Wait for something that follows by events."""
        deadline = time.monotonic() + _PATIENCE_S
        while not true():
            expect(time.monotonic() < deadline, f"{promise} within {_PATIENCE_S:.0f} s")
            time.sleep(0.02)


def expect(kept: bool, promise: str) -> None:
    """Raises Broken unless the promise was kept."""
    if not kept:
        raise Broken(f"not as promised: {promise}")


def euro(money: Any) -> str:
    """An amount for people."""
    return f"{money['amount'] / 100:.2f} {money['currency']}"


def running_shop() -> str:
    """The gateway of the shop that runs from this folder; empty when none does."""
    try:
        return str(json.loads(_STATE.read_text())["gateway"])
    except (OSError, ValueError, KeyError):
        return os.environ.get("SHOP_URL", "")


def main() -> int:
    """Run the demo; see the module."""
    parser = argparse.ArgumentParser(description="Order things in a running shop and check what it promises.")
    parser.add_argument("--url", default="", help="the gateway, for example http://127.0.0.1:8080")
    url = parser.parse_args().url or running_shop()
    if not url:
        print("no shop runs here; start one with: make run", file=sys.stderr)
        return 2
    print(f"  the shop at {url}")
    began = time.perf_counter()
    try:
        Demo(Shop(url)).run()
    except Broken as broken:
        print(f"  FAILED  {broken}", file=sys.stderr)
        return 1
    except (OSError, HTTPException) as error:
        print(f"  the shop at {url} does not answer: {error}", file=sys.stderr)
        return 2
    print(f"  all as promised, in {time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
