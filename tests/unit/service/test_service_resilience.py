"""`/resilience`: what it shows during a scripted outage, on virtual time, and who may pull which lever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.service.conftest import Caller

from hanse import Service
from hanse.client import HttpRequest, HttpResponse, MemoryNetwork, MemoryTransport
from hanse.config import ServiceSettings
from hanse.core import Env, Random
from hanse.registry import Instance
from hanse.resilience import BreakerConfig, Bulkhead, BulkheadConfig
from hanse.security import SigningKey, TokenIssuer, write_jwks
from hanse.testing.clock import ManualClock

BREAKER = BreakerConfig(failures=3, recovery_s=10, error_percentage=0)


@dataclass
class Scene:
    """A service "orders" that calls "stock", whose only instance answers with `status`."""

    call: Caller
    clock: ManualClock
    service: Service[Any]
    issuer: TokenIssuer
    network: MemoryNetwork
    status: int = 200

    def token(self, *roles: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.issuer.issue('ada', roles=roles, ttl_s=3600)}"}

    async def ask(self) -> int:
        return (await self.clock.run(self.call("GET", "/ask"))).status

    async def breaker(self) -> dict[str, Any]:
        [found] = (await self.call("GET", "/resilience?kind=breaker")).json()["patterns"]
        return dict(found)

    async def state(self) -> str:
        return str((await self.breaker())["state"])

    async def pull(self, lever: str, **body: Any) -> Any:
        answer = await self.call("POST", f"/resilience/{lever}", json_body=body, headers=self.token("admin"))
        assert answer.status == 200, answer.body
        return answer.json()["patterns"]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    clock = ManualClock()
    env = Env.build("orders-1", clock=clock, random=Random(3))
    key = SigningKey.generate(env)
    write_jwks(folder / "jwks.json", [key])
    service: Service[Any] = Service("orders")
    stock = service.client("stock", retry=0, breaker=BREAKER)

    @service.get("/ask")
    async def ask() -> Any:
        return await stock.get("/items")

    network = MemoryNetwork()
    settings = ServiceSettings(
        system="shop", issuer="shop/users", jwks_file=folder / "jwks.json", broker_url=f"memory://{folder.name}"
    )
    async with service.running(settings, env=env, http=MemoryTransport(env, network)):
        made = Scene(Caller(service), clock, service, TokenIssuer(env, key, "shop/users", "shop"), network)

        async def handle(request: HttpRequest) -> HttpResponse:
            return HttpResponse(made.status, {"content-type": "application/json"}, b"{}")

        network.listen("10.0.0.1:1", env, handle)
        await service.node.parts.registry.register(Instance("stock", "a", "10.0.0.1", 1))
        yield made


async def test_it_shows_what_a_scripted_outage_predicts_at_every_moment(tmp_path: Path) -> None:
    async with scene(tmp_path) as scened:
        assert await scened.ask() == 200
        assert await scened.state() == "closed"
        scened.status = 503
        for failures in (1, 2):
            assert await scened.ask() == 503
            shown = await scened.breaker()
            assert (shown["name"], shown["state"], shown["failures"]) == ("stock/a", "closed", failures)
        await scened.ask()
        assert await scened.state() == "open"
        assert await scened.ask() == 503, "refused without asking"
        assert 0 < (await scened.breaker())["retry_after_s"] <= 12
        scened.clock.advance(12.1)
        assert await scened.state() == "open", "nobody has asked since"
        await scened.ask()
        assert await scened.state() == "open", "the probe failed"
        scened.clock.advance(24.1)
        scened.status = 200
        assert await scened.ask() == 200
        assert await scened.state() == "closed"


async def test_an_admin_can_reset_and_force(tmp_path: Path) -> None:
    async with scene(tmp_path) as scened:
        scened.status = 503
        for _ in range(3):
            await scened.ask()
        [done] = await scened.pull("reset", name="stock/a", kind="breaker")
        assert (done["state"], done["failures"]) == ("closed", 0)
        scened.status = 200
        assert await scened.ask() == 200
        [done] = await scened.pull("force", name="stock/a", state="open")
        assert (done["state"], done["forced"]) == ("open", True)
        scened.clock.advance(1000)
        assert await scened.ask() == 503
        [done] = await scened.pull("force", name="stock/a", state="closed")
        scened.status = 503
        for _ in range(10):
            await scened.ask()
        assert await scened.state() == "closed"
        await scened.pull("reset", name="stock/a")
        for _ in range(3):
            await scened.ask()
        assert await scened.state() == "open"


@pytest.mark.parametrize(("lever", "body"), [("reset", {"name": "stock"}), ("force", {"name": "x", "state": "open"})])
async def test_levers_are_for_admins(tmp_path: Path, lever: str, body: dict[str, str]) -> None:
    async with scene(tmp_path) as scened:
        path = f"/resilience/{lever}"
        assert (await scened.call("POST", path, json_body=body)).status == 401
        assert (await scened.call("POST", path, json_body=body, headers=scened.token("buyer"))).status == 403
        wrong = {**body, "name": "nobody"}
        assert (await scened.call("POST", path, json_body=wrong, headers=scened.token("admin"))).status == 404
        assert (await scened.call("POST", path, json_body={}, headers=scened.token("admin"))).status == 422


async def test_it_lists_clients_and_what_the_service_adds(tmp_path: Path) -> None:
    async with scene(tmp_path) as scened:
        scened.service.resilience.add(Bulkhead("reports", scened.service.env, BulkheadConfig(limit=2)))
        told = (await scened.call("GET", "/resilience")).json()
        assert (told["service"], told["instance"][:7]) == ("orders", "orders-")
        assert [(pattern["kind"], pattern["name"]) for pattern in told["patterns"]] == [
            ("adaptive", "requests"), ("breaker", "stock/a"), ("bulkhead", "reports"), ("bulkhead", "stock"),
            ("retry", "stock"),
        ]  # fmt: skip
        assert "/resilience" not in scened.service.openapi()["paths"]


async def test_a_deadline_is_told_to_the_next_hop_and_kept_there(tmp_path: Path) -> None:
    async with scene(tmp_path) as scened:
        seen: list[str] = []

        async def stall(request: HttpRequest) -> HttpResponse:
            seen.append(request.headers["x-request-timeout-ms"])
            await scened.clock.sleep(100)
            raise AssertionError

        scened.network.listen("10.0.0.1:1", scened.service.env, stall)
        began = scened.clock.monotonic()
        answer = await scened.clock.run(scened.call("GET", "/ask", headers={"x-request-timeout-ms": "300"}))
        assert seen == ["300"]
        assert (answer.status, answer.json()["code"]) == (504, "deadline_exceeded")
        assert scened.clock.monotonic() - began == pytest.approx(0.3)
