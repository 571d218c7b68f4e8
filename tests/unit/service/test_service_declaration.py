"""A service is declared without I/O; what does not fit together is said before anything starts."""

import sys
import types
from typing import Any

import pytest
from fastapi import FastAPI

from hanse import Service, saga, step
from hanse.config import ServiceSettings, Settings
from hanse.core.errors import ConfigurationError
from hanse.service.server import load
from hanse.service.wiring import _sagas_of


class OwnSettings(Settings, env_prefix="OWN_"):
    colour: str = "blue"


@pytest.mark.parametrize("name", ["", "Orders", "my service", "1st", "a" * 64, "ä"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="service name"):
        Service(name)


def test_a_service_is_a_fastapi_application() -> None:
    service = Service("orders", version="1.2.3", docs_url=None)
    assert isinstance(service, FastAPI)
    assert (service.title, service.version, service.docs_url) == ("orders", "1.2.3", None)
    assert service.package == __name__.rpartition(".")[0] or service.package == __name__


def test_what_needs_a_running_service_says_so() -> None:
    service = Service("orders")
    for name in ("env", "database", "tracer", "metrics", "issuer", "passwords"):
        with pytest.raises(ConfigurationError, match="does not run yet"):
            getattr(service, name)
    service.log.info("before the start there is a log")


async def test_a_client_is_declared_once_and_usable_while_running(run: Any) -> None:
    service = Service("orders")
    inventory = service.client("inventory", timeout=0.2, retry=0)
    with pytest.raises(ConfigurationError, match="twice"):
        service.client("inventory")
    with pytest.raises(ConfigurationError, match='usable while "orders" runs'):
        await inventory.get("/stock")

    @service.get("/ask")
    async def ask() -> Any:
        return await inventory.get("/stock")

    async with run(service) as call:
        answer = await call("GET", "/ask")
        assert (answer.status, answer.json()["code"]) == (503, "unavailable")
        assert "inventory" in answer.json()["detail"]


async def test_missing_parts_are_named(run: Any) -> None:
    async with run(Service("orders")) as call:
        with pytest.raises(ConfigurationError, match="has no database"):
            _ = call.service.database
        with pytest.raises(ConfigurationError, match="has no private key"):
            _ = call.service.issuer


async def test_own_settings_are_typed_and_can_be_given(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("orders", settings=OwnSettings)
    monkeypatch.setenv("OWN_COLOUR", "green")
    assert service.settings.colour == "green"
    async with service.running(own=OwnSettings(colour="red")):
        assert service.settings.colour == "red"


async def test_a_service_runs_once(run: Any) -> None:
    service = Service("orders")
    async with run(service):
        with pytest.raises(ConfigurationError, match="runs already"):
            async with service.running():
                pass


async def test_the_name_that_the_platform_gives_wins() -> None:
    async with Service("orders").running(ServiceSettings(service="orders-eu")) as service:
        assert service.node.name == "orders-eu"
        assert service.node.instance.startswith("orders-eu-")


async def test_another_server_runs_it_by_the_lifespan() -> None:
    service = Service("orders")
    async with service.router.lifespan_context(service):
        assert service.node.started
    assert service.running_node is None


def test_sagas_of_the_services_package_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("some_shop.orders.flow")

    @saga("place")
    class Place:
        @step
        async def reserve(self, order_id: str) -> None: ...

    module.Place = Place  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_shop.orders.flow", module)
    assert _sagas_of("some_shop.orders") == [Place]
    assert _sagas_of("some_shop.order") == []


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("no_such_package.app", 'there is no module "no_such_package.app"'),
        ("json:dumps", '"dumps" in json is not a hanse Service'),
        ("json", '"service" in json is not a hanse Service'),
    ],
)
def test_loading_says_what_is_missing(app: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(app)
