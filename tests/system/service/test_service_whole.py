"""Two services in their own processes with a real broker: saga, client, outbox, events, tokens, and kill -9."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hanse.core import Env
from hanse.security import SigningKey, TokenIssuer, write_jwks
from hanse.testing.nats_server import NatsServer

pytestmark = pytest.mark.system


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.stop()


class Shop:
    """Starts services of a system with keys and a broker."""

    def __init__(self, launch: Any, folder: Path, broker: NatsServer) -> None:
        env = Env.build("keys")
        key = SigningKey.generate(env)
        write_jwks(folder / "jwks.json", [key])
        self._launch, self._folder, self._broker = launch, folder, broker
        self._services = TokenIssuer(env, key, "shop", "shop")
        users = TokenIssuer(env, key, "shop/users", "shop")
        self.ada = {"authorization": f"Bearer {users.issue('ada', ttl_s=600)}"}
        self.bob = {"authorization": f"Bearer {users.issue('bob', ttl_s=600)}"}

    def start(self, name: str) -> Any:
        process = self._launch(
            f"{name}:service",
            service=name,
            system="shop",
            issuer="shop/users",
            jwks_file=str(self._folder / "jwks.json"),
            service_token=self._services.issue(f"service:{name}", roles=["service"], ttl_s=600),
            broker_url=self._broker.url,
            database_url=f"sqlite:///{self._folder}/{name}.db",
            grace_s="3",
        )
        assert process.said == "ready\n", process.log()
        return process


@pytest.fixture
def shop(launch: Any, tmp_path: Path, broker: NatsServer) -> Shop:
    return Shop(launch, tmp_path, broker)


def until(what: Callable[[], Any], wanted: Any, within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while (got := what()) != wanted:
        assert time.monotonic() < end, f"still {got}, not {wanted}"
        time.sleep(0.02)


async def test_an_order_goes_through_everything(shop: Shop) -> None:
    def scenario() -> None:
        stock, orders = shop.start("stock"), shop.start("orders")
        headers = {**shop.ada, "idempotency-key": "k1", "x-correlation-id": "buy-1"}
        status, answered, order = orders.call("POST", "/orders", {"product": "rope"}, headers)
        assert (status, order["status"], answered["x-correlation-id"]) == (201, "pending", "buy-1")
        assert orders.call("POST", "/orders", {"product": "rope"}, headers)[2] == order
        path = f"/orders/{order['id']}"
        until(lambda: orders.call("GET", path, None, shop.ada)[2]["status"], "confirmed")
        until(lambda: stock.call("GET", "/count")[2], {"reserved": 1, "confirmed": 1})
        told = stock.call("GET", f"/reservations/{order['id']}")[2]
        assert told == {"caller": "orders", "confirmed_by": "buy-1"}
        assert orders.call("GET", path, None, shop.bob)[0] == 404
        assert orders.call("GET", path)[0] == 401
        assert stock.call("PUT", "/internal/reservations/x", {"product": "rope"})[0] == 401
        sold_out = orders.call("POST", "/orders", {"product": "gone"}, shop.ada)[2]
        until(lambda: orders.call("GET", f"/orders/{sold_out['id']}", None, shop.ada)[2]["status"], "rejected")
        asked = (answered["x-trace-id"], f"/internal/reservations/{order['id']}")
        until(lambda: asked in {(line["trace_id"], line["path"]) for line in stock.lines("request")}, True)
        for process in (orders, stock):
            process.signal()
            assert process.wait() == 0, process.log()
            assert "Traceback" not in process.log()

    await asyncio.to_thread(scenario)


async def test_orders_survive_kills_of_both_services(shop: Shop) -> None:
    def scenario() -> None:
        stock, orders = shop.start("stock"), shop.start("orders")
        stock.signal(signal.SIGKILL)
        stock.wait()
        placed = [orders.call("POST", "/orders", {"product": "rope"}, shop.ada) for _ in range(5)]
        assert {status for status, _, _ in placed} == {201}
        orders.signal(signal.SIGKILL)
        orders.wait()
        stock, orders = shop.start("stock"), shop.start("orders")
        for _, _, order in placed:
            path = f"/orders/{order['id']}"
            until(lambda path=path: orders.call("GET", path, None, shop.ada)[2]["status"], "confirmed", 40.0)
        until(lambda: stock.call("GET", "/count")[2], {"reserved": 5, "confirmed": 5})

    await asyncio.to_thread(scenario)


async def test_orders_survive_a_restart_of_the_broker(shop: Shop, broker: NatsServer) -> None:
    stock, orders = await asyncio.to_thread(lambda: (shop.start("stock"), shop.start("orders")))
    broker.kill()
    status, _, order = await asyncio.to_thread(orders.call, "POST", "/orders", {"product": "rope"}, shop.ada)
    assert status == 201
    until(lambda: orders.call("GET", "/health")[2]["status"], "degraded")
    assert orders.call("GET", "/ready")[0] == 200
    await broker.start()

    def after() -> None:
        path = f"/orders/{order['id']}"
        until(lambda: orders.call("GET", path, None, shop.ada)[2]["status"], "confirmed", 40.0)
        until(lambda: stock.call("GET", "/count")[2], {"reserved": 1, "confirmed": 1}, 40.0)
        until(lambda: orders.call("GET", "/health")[2]["status"], "up")

    await asyncio.to_thread(after)
