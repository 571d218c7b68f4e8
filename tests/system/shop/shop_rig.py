"""A shop of its own for the tests: a copy of the system in a temporary folder, run by `hanse up`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from shop.invariants import Violation, check, read

ROOT = Path(__file__).parents[3]
ADMIN_PASSWORD = "a long password for tests"
ADDRESS = {"name": "Ida", "street": "Koberg 1", "city": "Lübeck", "zip_code": "23552", "country": "DE"}
DECIDED = ("confirmed", "rejected", "cancelled")
PATIENCE_S = 30.0


@dataclass
class Answer:
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Customer:
    """Somebody who talks to the shop; signed in when there is a token."""

    url: str
    token: str = ""
    id: str = ""
    email: str = ""
    password: str = ""
    tokens: dict[str, Any] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[HTTPConnection, HTTPResponse]:
        """One request on a connection of its own, which the caller closes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["content-type"] = "application/json"
        return self.send_raw(method, path, None if body is None else json.dumps(body).encode(), sent)

    def send_raw(
        self, method: str, path: str, content: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """As `send`, with a body of any bytes; those of an iterator go out in chunks."""
        parts = urlsplit(self.url)
        bearer = {"authorization": f"Bearer {self.token}"} if self.token else {}
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
        connection.request(method, path, content, bearer | headers)
        return connection, connection.getresponse()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection, response = self.send(method, path, body, **headers)
        with closing(connection):
            text = response.read()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, json.loads(text) if text else None)

    def get(self, path: str) -> Any:
        """The body of a GET that succeeds."""
        answer = self.call("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def order(self, *lines: tuple[str, int], token: str = "tok_ok", provider: str = "card", **headers: str) -> Any:
        """A new order of `lines`, or of the cart when there are none."""
        body: dict[str, Any] = {"shipping_address": ADDRESS, "payment": {"provider": provider, "token": token}}
        if lines:
            body["items"] = [{"product_id": product, "quantity": quantity} for product, quantity in lines]
        answer = self.call("POST", "/api/orders", body, **headers)
        assert answer.status == 201, answer
        return answer.body

    def events(self, path: str, **headers: str) -> Iterator[tuple[str, Any]]:
        """Open a stream of server-sent events: (id, data) of each, until the server ends it."""
        connection, response = self.send("GET", path, accept="text/event-stream", **headers)
        assert response.status == 200, response.read()
        return self._events(connection, response)

    @staticmethod
    def _events(connection: HTTPConnection, response: HTTPResponse) -> Iterator[tuple[str, Any]]:
        fields: dict[str, str] = {}
        with closing(connection), closing(response):
            while line := response.readline().decode():
                if line == "\n":
                    if "data" in fields:
                        yield fields.get("id", ""), json.loads(fields["data"])
                    fields = {}
                elif not line.startswith(":"):
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = value

    def decided(self, order: Any) -> Any:
        """The order, once its stream says that it is decided."""
        for _, entry in self.events(f"/api/orders/{order['id']}/events"):
            if entry["status"] in DECIDED:
                return self.get(f"/api/orders/{order['id']}")
        raise AssertionError("the stream ended before the order was decided")

    def settled(self, order: Any, status: str) -> Any:
        """The order, once nothing is under way for it and it has that status."""
        path = f"/api/orders/{order['id']}"
        until(lambda: (now := self.get(path))["settled"] and now["status"] == status, f"{order['id']} is {status}")
        return self.get(path)


@dataclass
class RunningShop:
    """A shop at work."""

    folder: Path
    url: str

    @classmethod
    def start(cls, folder: Path, **variables: str) -> "RunningShop":
        """Copy the shop into `folder` and bring it up."""
        place = folder / "shop"
        if not place.exists():
            ignored = shutil.ignore_patterns(".hanse", "__pycache__")
            shutil.copytree(ROOT / "systems" / "shop", place, ignore=ignored)
        environment = {**os.environ, "SHOP_ADMIN_PASSWORD": ADMIN_PASSWORD, **variables}
        done = hanse("up", str(place), "--detach", "--no-reload", "--json", environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return cls(place, json.loads(done.stdout)["gateway"])

    def stop(self) -> None:
        done = hanse("down", str(self.folder))
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def data(self) -> Path:
        return self.folder / ".hanse" / "data"

    def customer(self, name: str = "Ida") -> Customer:
        """Somebody new, signed in."""
        customer = Customer(self.url, email=f"{uuid4().hex}@example.org", password=uuid4().hex)
        account = {"email": customer.email, "password": customer.password}
        made = customer.call("POST", "/api/auth/register", {**account, "name": name})
        assert made.status == 201, made
        customer.id = made.body["id"]
        return self.signed_in(customer)

    def admin(self) -> Customer:
        """Whoever runs the shop, signed in."""
        return self.signed_in(Customer(self.url, email="admin@shop.local", password=ADMIN_PASSWORD))

    def signed_in(self, customer: Customer) -> Customer:
        answer = customer.call("POST", "/api/auth/login", {"email": customer.email, "password": customer.password})
        assert answer.status == 200, answer
        customer.tokens, customer.token = answer.body, answer.body["access_token"]
        return customer

    def product(self, admin: Customer, quantity: int, *, price: int = 1000, name: str = "Test tea") -> str:
        """A new product with stock."""
        body = {
            "sku": f"T-{uuid4().hex[:12].upper()}",
            "name": name,
            "description": "Made by a test.",
            "category": "coffee-tea",
            "price": {"amount": price, "currency": "EUR"},
        }
        made = admin.call("POST", "/api/products", body)
        assert made.status == 201, made
        product = str(made.body["id"])
        path = f"/api/inventory/{product}"
        until(lambda: admin.call("GET", path).status == 200, "inventory knows the product")
        if quantity:
            assert admin.call("POST", f"{path}/adjust", {"operation": "add", "quantity": quantity}).status == 200
        return product

    def status(self) -> dict[str, Any]:
        """What `hanse ps` says."""
        listed = hanse("ps", str(self.folder), "--json")
        assert listed.returncode == 0, listed.stdout + listed.stderr
        status: dict[str, Any] = json.loads(listed.stdout)
        return status

    def pids(self, name: str) -> list[int]:
        """The processes of a service that are ready, or the one of an engine: `nats` or `gateway`."""
        status = self.status()
        for engine in status["engines"]:
            if engine["name"] == name:
                return [engine["pid"]] if engine["pid"] else []
        (found,) = [entry for entry in status["services"] if entry["service"] == name]
        return [replica["pid"] for replica in found["replicas"] if replica["state"] == "ready"]

    def kill(self, name: str) -> None:
        """Kill one process of a service or an engine, without warning."""

        def killed() -> bool:
            for pid in self.pids(name):
                with suppress(ProcessLookupError):  # it may have been killed a moment ago
                    os.kill(pid, signal.SIGKILL)
                    return True
            return False

        until(killed, f"{name} runs")

    def is_whole(self, without: int) -> bool:
        """Whether all that belongs to the shop runs, and the process `without` is no part of it."""
        status = self.status()
        groups = [*(each["replicas"] for each in status["services"]), *([each] for each in status["engines"])]
        members = [member for group in groups for member in group]
        alive = all(member["pid"] and member.get("state", "ready") == "ready" for member in members)
        return alive and without not in [member["pid"] for member in members]

    def violations(self) -> list[Violation]:
        """What is broken now, or after a while if it is only late: all sagas and events come to rest first."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := check(read(self.data), settled=True)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


def until(true: Callable[[], bool], promise: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition. Raises AssertionError when it does not come."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"{promise}: not within {patience_s:.0f} s"
        time.sleep(0.02)


def hanse(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "hanse.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=100)
