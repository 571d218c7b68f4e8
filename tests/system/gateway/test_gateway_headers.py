"""What the gateway believes, adds and hides."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.system.gateway.rig import Client, Issuer, Upstream, gateway, until

from hanse.gateway import Cluster, GatewayModel, Route

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]
APP = "https://app.example"


@dataclass
class Rig:
    ask: Client
    issuer: Issuer
    upstream: Upstream
    log: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    upstream, issuer = await Upstream("orders-1").start(), Issuer()
    folder = tmp_path_factory.mktemp("headers")
    routes = (
        Route("/", "orders"),
        Route("/api/me", "orders", auth=True),
        Route("/api/orders/{id}/events", "orders", strip="/api"),
        Route("/api/orders", "orders", strip="/api", timeout=2.5, methods=("GET", "POST")),
        Route("=/api/orders/top", "orders", strip="/api/orders/top"),
        Route("/api/live", "orders", stream=True),
    )
    clusters = {"orders": Cluster((upstream.endpoint,))}
    log = folder / "access.log"
    model = GatewayModel(routes, (issuer.provider(),), clusters, origins=(APP,), access_log=str(log))
    async with gateway(folder / "envoy") as envoy:
        await envoy.publish(model)
        await envoy.start()
        yield Rig(Client(envoy.port), issuer, upstream, log)
    await upstream.stop()


SPOOFED = {
    "x-service-authorization": "Bearer forged",
    "x-user-id": "root",
    "x-client-id": "partner",
    "x-forwarded-host": "evil.example",
    "x-envoy-original-path": "/admin",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-retry-on": "5xx",
    "x-envoy-internal": "true",
    "x-envoy-decorator-operation": "x",
}


@pytest.mark.parametrize("name", SPOOFED)
@pytest.mark.parametrize("path", ["/x", "/api/me"])
async def test_headers_for_inside_only_are_taken_from_strangers(rig: Rig, name: str, path: str) -> None:
    token = rig.issuer.bearer() if path == "/api/me" else {}
    answer = await rig.ask("GET", path, **{name: SPOOFED[name]}, **token)
    assert answer.status == 200
    assert answer.json()["headers"].get(name) != SPOOFED[name]


async def test_a_client_cannot_choose_its_address(rig: Rig) -> None:
    seen = (await rig.ask("GET", "/x", x_forwarded_for="9.9.9.9")).json()["headers"]
    claimed, told = seen["x-forwarded-for"].split(",")
    assert claimed == "9.9.9.9"
    assert told != claimed
    assert not [name for name in seen if name.startswith("x-envoy-") and name != "x-envoy-expected-rq-timeout-ms"]


async def test_nothing_of_envoy_is_told_outside(rig: Rig) -> None:
    headers = (await rig.ask("GET", "/x")).headers
    assert not [name for name in headers if name.startswith("x-envoy-")]
    assert "server" not in headers


@pytest.mark.parametrize("id", ["abc", "01HF3Z-x_y.z:9", "a" * 128])
async def test_a_sane_correlation_id_is_kept(rig: Rig, id: str) -> None:
    answer = await rig.ask("GET", "/x", x_correlation_id=id)
    assert answer.correlation_id == id
    assert answer.json()["headers"]["x-correlation-id"] == id


@pytest.mark.parametrize("id", ["", "a b", "<script>", "a" * 129, 'x"y', "é"])
async def test_an_insane_correlation_id_is_replaced_by_the_requests_own(rig: Rig, id: str) -> None:
    answer = await rig.ask("GET", "/x", x_correlation_id=id.encode("latin-1"))  # type: ignore[arg-type]
    seen = answer.json()["headers"]
    assert answer.correlation_id == seen["x-correlation-id"] == seen["x-request-id"]
    assert len(answer.correlation_id) == 36


async def test_two_requests_have_two_ids(rig: Rig) -> None:
    first, second = [await rig.ask("GET", "/x", x_request_id="chosen") for _ in range(2)]
    assert first.correlation_id != second.correlation_id


async def test_a_trace_goes_through(rig: Rig) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert (await rig.ask("GET", "/x", traceparent=parent)).json()["headers"]["traceparent"] == parent
    assert "traceparent" not in (await rig.ask("GET", "/x")).json()["headers"], "the service begins the trace"


async def test_the_services_deadline_is_the_routes(rig: Rig) -> None:
    seen = (await rig.ask("GET", "/api/orders", x_request_timeout_ms="999999")).json()["headers"]
    assert seen["x-request-timeout-ms"] == "2500"
    assert "x-request-timeout-ms" not in (await rig.ask("GET", "/api/live", x_request_timeout_ms="5")).json()["headers"]


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/orders", "/orders"),
        ("/api/orders/", "/orders/"),
        ("/api/orders/7?a=b", "/orders/7?a=b"),
        ("/api/orders/7/events?x=%20", "/orders/7/events?x=%20"),
        ("/api/orders/top", "/"),
        ("/api/orders/top/more", "/orders/top/more"),
        ("/api/orders//7", "/orders/7"),
        ("/api/orders/../me2", "/api/me2"),
        ("/api/ordersx", "/api/ordersx"),
    ],
)
async def test_paths_arrive_as_the_route_says(rig: Rig, path: str, seen: str) -> None:
    assert (await rig.ask("GET", path)).json()["path"] == seen


async def preflight(rig: Rig, path: str, origin: str, method: str = "POST") -> tuple[int, str | None]:
    before = len(rig.upstream.seen)
    asked = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization",
    }
    answer = await rig.ask("OPTIONS", path, **asked)
    assert len(rig.upstream.seen) == before, "a preflight never reaches a service"
    return answer.status, answer.headers.get("access-control-allow-origin")


@pytest.mark.parametrize("path", ["/api/me", "/api/orders", "/x"])
async def test_preflights_are_answered_also_for_protected_routes(rig: Rig, path: str) -> None:
    assert await preflight(rig, path, APP) == (200, APP)
    assert (await preflight(rig, path, "https://evil.example"))[1] is None


@pytest.mark.parametrize("origin", ["", APP])
async def test_an_unrouted_options_is_405_unless_it_is_a_preflight(rig: Rig, origin: str) -> None:
    assert (await rig.ask("OPTIONS", "/api/orders", origin=origin, access_control_request_method="")).status == 405


async def test_refusals_can_be_read_by_a_browser(rig: Rig) -> None:
    answer = await rig.ask("GET", "/api/me", origin=APP)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, APP)
    assert "x-correlation-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in (await rig.ask("GET", "/x", origin="https://evil.example")).headers


async def test_each_request_is_one_line_of_json_without_its_query(rig: Rig) -> None:
    token = rig.issuer.token()
    asked = {"/api/me": "ada", "/api/orders/7": None}  # as asked for, also where the service sees another path
    for path in asked:
        await rig.ask("GET", f"{path}?access_token={token}", x_correlation_id="logged-1")

    def lines() -> list[dict[str, object]]:
        found = [json.loads(line) for line in rig.log.read_text().splitlines()]
        mine = [line for line in found if line["correlation_id"] == "logged-1"]
        return mine if len(mine) >= len(asked) else []

    found = await until(lines, seconds=15)
    told = [tuple(line[k] for k in ("method", "path", "status", "upstream_service", "subject")) for line in found]
    assert told == [("GET", path, 200, "orders", subject) for path, subject in asked.items()]
    assert found[0]["route"] == "/api/me"
    assert token not in rig.log.read_text()


async def test_the_gateways_own_health(rig: Rig) -> None:
    assert (await rig.ask("GET", "/healthz")).status == 200
