"""Health tells orchestrators whether to send requests, and people which part is ill."""

import asyncio
from typing import Any

import pytest

from hanse import Service

ill: dict[str, str] = {}


@pytest.fixture(autouse=True)
def well() -> None:
    ill.clear()


def make() -> Service:
    service = Service("health", version="2.0.0")

    @service.check("warehouse")
    async def warehouse() -> str | None:
        if ill.get("warehouse") == "hangs":
            await asyncio.get_running_loop().create_future()
        return ill.get("warehouse")

    @service.check("licence", needed=True)
    async def licence() -> str | None:
        if ill.get("licence") == "raises":
            raise ValueError("s3cret")
        return ill.get("licence")

    @service.get("/health/{part}")
    async def shadowed(part: str) -> str:
        return part

    return service


async def test_all_is_well(run: Any) -> None:
    async with run(make(), instance="health-1") as call:
        for path in ("/health/live", "/health/ready", "/ready", "/health"):
            answer = await call("GET", path)
            assert (answer.status, answer.json()["status"]) == (200, "up")
        report = answer.json()
        assert (report["service"], report["version"], report["instance"]) == ("health", "2.0.0", "health-1")
        assert set(report["checks"]) == {"events", "registry", "warehouse", "licence"}
        assert all(check["status"] == "up" and check["took_ms"] >= 0 for check in report["checks"].values())
        assert (await call("GET", "/health/other")).json() == "other"


async def test_a_part_that_is_not_needed_makes_it_degraded(run: Any) -> None:
    async with run(make()) as call:
        ill["warehouse"] = "on fire"
        answer = await call("GET", "/health")
        assert (answer.status, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["checks"]["warehouse"]["reason"] == "on fire"
        assert (await call("GET", "/ready")).status == 200


async def test_a_part_that_is_needed_takes_it_out(run: Any) -> None:
    async with run(make()) as call:
        ill["licence"] = "expired"
        assert (await call("GET", "/ready")).status == 503
        assert (await call("GET", "/health")).json()["status"] == "down"
        assert (await call("GET", "/health/live")).status == 200


async def test_a_check_that_fails_or_hangs_is_down(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanse.service.health._CHECK_S", 0.05)
    async with run(make()) as call:
        ill.update(warehouse="hangs", licence="raises")
        answer = await call("GET", "/health")
        checks = answer.json()["checks"]
        assert (answer.status, checks["warehouse"]["reason"]) == (503, "no answer within 0.05 s")
        assert (checks["licence"]["reason"], b"s3cret" in answer.body) == ("the check failed", False)


async def test_draining_means_no_more_requests(run: Any) -> None:
    async with run(make()) as call:
        await call.service.node.leave()
        answer = await call("GET", "/ready")
        assert (answer.status, answer.json()["status"]) == (503, "draining")
        assert (await call("GET", "/health/live")).status == 200


async def test_before_the_start_and_after_the_stop_it_is_unavailable(run: Any) -> None:
    service = make()
    async with run(service) as call:
        pass
    answer = await call("GET", "/ready")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "unavailable"
