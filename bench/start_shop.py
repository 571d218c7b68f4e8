"""B10: from the command to every service of the shop ready, and the memory of everything."""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.harness.processes import free_port, hanse, hanse_json, memory_mb, running, tree, wait_for
from bench.harness.result import Result
from bench.harness.rounds import alternate, median
from bench.harness.shop import copied_systems

ROUNDS = 3
SERVICES = ("users", "catalog", "inventory", "cart", "orders", "payments", "notifications")


class Ours:
    """`hanse up --detach`, which returns when every service is ready behind the gateway."""

    def __init__(self, shop: Path) -> None:
        self.shop, self.memory = str(shop), list[float]()

    def __call__(self) -> float:
        began = time.perf_counter()
        hanse("up", self.shop, "--detach", "--port", str(free_port()))
        took = time.perf_counter() - began
        supervisor = int(str(hanse_json("ps", self.shop)["pid"]))
        self.memory.append(memory_mb(tree([supervisor])))
        hanse("down", self.shop)
        return took


class Peer:
    """One uvicorn per service and the same broker; no gateway, which only helps the peer."""

    def __init__(self, shop: Path) -> None:
        self.shop, self.memory, self.round = shop, list[float](), 0

    def __call__(self) -> float:
        self.round += 1
        data = self.shop.parent / f"peer-{self.round}"
        data.mkdir()
        began = time.perf_counter()
        with ExitStack() as stack:
            broker = free_port()
            started = [stack.enter_context(running(broker_command(broker, data)))]
            urls = []
            for service in SERVICES:
                port = free_port()
                command = [sys.executable, "-m", "uvicorn", f"shop.{service}.app:service", "--port", str(port)]
                environment = {
                    "PYTHONPATH": str(self.shop.parent),
                    "HANSE_SERVICE": service,
                    "HANSE_PORT": str(port),
                    "HANSE_BROKER_URL": f"nats://127.0.0.1:{broker}",
                    "HANSE_DATABASE_URL": f"sqlite:///{data}/{service}.db",
                }
                started.append(stack.enter_context(running(command, **environment)))
                urls.append(f"http://127.0.0.1:{port}/health/ready")
            wait_for(urls)
            took = time.perf_counter() - began
            self.memory.append(memory_mb(tree(process.pid for process in started)))
        return took


def broker_command(port: int, data: Path) -> list[str]:
    server = Path(sys.executable).with_name("nats-server")
    return [str(server), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(data / "nats")]


def run() -> list[Result]:
    with copied_systems() as shop:
        ours, peer = Ours(shop), Peer(shop)
        ours()  # first start: byte code is written, databases are migrated and seeded
        first, second = alternate(ours, peer, rounds=ROUNDS)
    detail = {"cores": os.cpu_count(), "target": "≤ 4 s on 2 cores", "slowest of ours": f"{max(first):.2f} s"}
    name = "one uvicorn per service, no gateway"
    return [
        Result("B10", "`hanse up` of the shop", "s", median(first), median(second), name, "less", 5, detail),
        Result("B10m", "memory (PSS)", "MB", median(ours.memory), median(peer.memory), name, "less", 2),
    ]
