"""B12: orders placed per second through gateway, saga, payment, inventory, events and notification; nothing lost."""

import asyncio
import itertools
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from pyreqwest.client import ClientBuilder

from bench.harness.processes import ROOT, cpu_s, free_port, hanse, hanse_json, memory_mb, tree
from bench.harness.result import Result
from bench.harness.rounds import percentile
from bench.harness.shop import copied_systems

ORDERS = 2000
IN_FLIGHT = 32
BUYERS = 32
LOOK_AGAIN_S = 0.25
"""How often the buyers look at their orders once all are placed: looking costs CPU that would count as the orders'."""
FINAL = {"confirmed", "rejected"}
ADDRESS = {"name": "Ada Buyer", "street": "Hansekai 1", "postcode": "20457", "city": "Hamburg", "country": "DE"}


@dataclass
class Load:
    """A closed loop of buyers, each with its own token."""

    base: str
    on_begin: Callable[[], None]
    placed: list[str] = field(default_factory=list)
    post_s: list[float] = field(default_factory=list)
    final: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, token: str = "", body: Any = None, key: str = "") -> Any:
        request = self.http.request(method, self.base + path)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["idempotency-key"] = key
        request = request.headers(headers)
        if body is not None:
            request = request.body_json(body)
        response = await request.build().send()
        content = await response.bytes()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {bytes(content)[:300]!r}")
        return json.loads(bytes(content))

    async def run(self) -> tuple[float, float]:
        """Returns the seconds for placing all, and until all were final."""
        async with ClientBuilder().max_connections(256).build() as self.http:
            tokens = [await self.buyer(number) for number in range(BUYERS)]
            products = (await self.call("GET", "/api/products?in_stock=true&limit=100"))["items"]
            numbers = iter(range(ORDERS))
            self.on_begin()  # signing up costs seconds of password hashing, which is no part of an order
            began = time.perf_counter()
            cycle = itertools.cycle(products)
            await asyncio.gather(*(self.worker(numbers, cycle, tokens[n % BUYERS]) for n in range(IN_FLIGHT)))
            placed = time.perf_counter() - began
            while time.perf_counter() - began < 60:
                await asyncio.gather(*(self.follow(token) for token in tokens))
                if len(self.final) == ORDERS:
                    break
                await asyncio.sleep(LOOK_AGAIN_S)
            return placed, time.perf_counter() - began

    async def buyer(self, number: int) -> str:
        email = f"buyer-{number}-{secrets.token_hex(4)}@bench.local"
        account = {"email": email, "password": "correct horse battery", "name": f"Buyer {number}"}
        await self.call("POST", "/api/auth/register", body=account)
        token: str = (await self.call("POST", "/api/auth/login", body=account))["access_token"]
        return token

    async def worker(self, numbers: Any, products: Any, token: str) -> None:
        for number in numbers:
            body = {
                "items": [{"product_id": next(products)["id"], "quantity": 1}],
                "shipping_address": ADDRESS,
                "payment": {"provider": "card", "token": "tok_ok"},
            }
            began = time.perf_counter()
            order = await self.call("POST", "/api/orders", token, body, f"bench-{number}-{secrets.token_hex(6)}")
            self.post_s.append(time.perf_counter() - began)
            self.placed.append(order["id"])

    async def follow(self, token: str) -> None:
        for page in itertools.count(1):
            found = await self.call("GET", f"/api/orders?limit=100&page={page}", token)
            for order in found["items"]:
                if order["status"] in FINAL:
                    self.final[order["id"]] = order["status"]
            if page >= found["pagination"]["pages"]:
                return


def run() -> list[Result]:
    with copied_systems() as shop:
        port = free_port()
        hanse("up", str(shop), "--detach", "--port", str(port), SHOP_ORDER_LIMIT="1000000/minute per user")
        try:
            family = tree([int(str(hanse_json("ps", str(shop))["pid"]))])
            before: list[float] = []
            load = Load(f"http://127.0.0.1:{port}", lambda: before.append(cpu_s(family)))
            placed_s, final_s = uvloop.run(load.run())
            used, memory = cpu_s(family) - before[0], memory_mb(family)
        finally:
            hanse("down", str(shop))
        violations = check(shop)
    confirmed = sum(status == "confirmed" for status in load.final.values())
    return [
        Result(
            id="B12",
            what="orders placed per second, all the way",
            unit="orders/s",
            ours=ORDERS / final_s,
            detail={
                "placed": f"{len(load.placed)} in {placed_s:.2f} s, all final after {final_s:.2f} s",
                "confirmed / rejected": f"{confirmed} / {len(load.final) - confirmed}",
                "POST p50 / p99 ms": " / ".join(f"{percentile(load.post_s, share) * 1e3:.1f}" for share in (0.5, 0.99)),
                "CPU of all processes": f"{used:.1f} s, {used / ORDERS * 1e3:.2f} ms an order, {os.cpu_count()} cores",
                "memory (PSS)": f"{memory:.0f} MB",
                "lost": ORDERS - len(load.final),
                "invariants": violations or "hold",
            },
        )
    ]


def check(shop: Path) -> str:
    """What the shop's own checker says of the databases; empty when all invariants hold."""
    done = subprocess.run(
        [sys.executable, "-m", "shop.invariants", str(shop / ".hanse")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(shop.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()
