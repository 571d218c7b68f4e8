"""The sagas of an order against inventory and payments that fail on demand; time runs fifty times faster."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn

import orjson
import pytest

from hanse.client import HttpRequest, HttpResponse, HttpTransport, TransportFailure
from hanse.config import ServiceSettings
from hanse.core import Env, SystemClock
from hanse.durable import DurableOptions
from hanse.registry import Instance, from_url
from shop.money import Money
from shop.orders import clerk
from shop.orders.app import service
from shop.orders.placing import place
from shop.orders.sagas import Undoing, UndoOrder
from shop.orders.store import Order
from shop.orders.views import PlaceOrderForm

HASTE = 50.0
FORM = PlaceOrderForm.model_validate(
    {
        "items": [{"product_id": "tea", "quantity": 2}],
        "shipping_address": {"street": "Koberg 1", "city": "Lübeck", "zip_code": "23552", "country": "DE"},
        "payment": {"provider": "card", "token": "tok_ok"},
    }
)


class FastClock(SystemClock):
    """Time that passes quickly."""

    def __init__(self) -> None:
        real = SystemClock()
        self.now = lambda: real.now() * HASTE
        self.monotonic = lambda: real.monotonic() * HASTE

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / HASTE)


class Others(HttpTransport):
    """Catalogue, inventory and payments, as orders sees them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: dict[str, list[tuple[int, str]]] = {}
        """Answers to give first, by call; status 0 is no answer, -1 no connection."""
        self.away: set[str] = set()
        """Calls that can't be reached at all."""

    async def send(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        path = request.url.partition("/internal/")[2]
        if path.startswith("quotes"):
            quote = {"id": "tea", "sku": "TEA", "name": "Tea", "price": Money(amount=500, currency="EUR").model_dump()}
            return self._answer(200, [quote])
        name = re.sub(r"/order_\w+", "", path)
        self.calls.append(name)
        if name in self.away:
            raise TransportFailure("connection refused", sent=False)
        if self.failures.get(name):
            status, code = self.failures[name].pop(0)
            if status < 1:
                raise TransportFailure("gone", sent=status == 0)
            return self._answer(status, {"title": code, "code": code, "status": status})
        return self._answer(200, {})

    async def open(self, request: HttpRequest, timeout_s: float) -> NoReturn:
        raise AssertionError("orders streams nothing")

    @staticmethod
    def _answer(status: int, body: object) -> HttpResponse:
        return HttpResponse(status, {"content-type": "application/json"}, orjson.dumps(body))


@pytest.fixture
async def others(tmp_path: Path) -> AsyncIterator[Others]:
    others = Others()
    env = Env.build("orders", clock=FastClock())
    settings = ServiceSettings(database_url=f"sqlite:///{tmp_path}/orders.db", broker_url="memory://orders-sagas")
    registry = from_url(Env.build("others"), settings.registry_url)
    await registry.start()
    for name in ("catalog", "inventory", "payments"):
        await registry.register(Instance(name, name, "127.0.0.1", 1))
    async with service.running(settings, env=env, http=others):
        yield others
    await registry.stop()


async def order() -> str:
    async with service.database.transaction() as db:
        return (await place(db, FORM, "ida")).id


async def read(order_id: str) -> Order:
    async with service.database.read() as db:
        return await clerk.find(db, order_id)


async def until(true: Callable[[Order], bool], order_id: str) -> Order:
    async with asyncio.timeout(40):
        while not true(found := await read(order_id)):
            await asyncio.sleep(0.01)
    return found


async def settled(order_id: str) -> tuple[str, str]:
    found = await until(lambda found: found.settled, order_id)
    return found.status, found.reason


async def test_the_usual_way(others: Others) -> None:
    assert await settled(await order()) == ("confirmed", "")
    assert others.calls == [
        "reservations",
        "payments",
        "reservations/commit",
        "payments/capture",
    ]


@pytest.mark.parametrize(
    ("call", "refusal", "undone"),
    [
        ("reservations", (409, "out_of_stock"), []),
        ("payments", (402, "payment_declined"), ["reservations/release"]),
        ("reservations/commit", (409, "reservation_closed"), ["payments/reverse", "reservations/release"]),
    ],
)
async def test_a_refusal_is_the_reason_and_undoes_what_was_done(
    others: Others, call: str, refusal: tuple[int, str], undone: list[str]
) -> None:
    others.failures[call] = [refusal]
    assert await settled(await order()) == ("rejected", refusal[1])
    assert others.calls[others.calls.index(call) + 1 :] == undone


@pytest.mark.parametrize("call", ["reservations", "payments", "reservations/commit", "payments/capture"])
@pytest.mark.parametrize("failure", [(503, "unavailable"), (0, ""), (-1, "")])
async def test_what_passes_is_tried_again(others: Others, call: str, failure: tuple[int, str]) -> None:
    others.failures[call] = [failure, failure]
    assert await settled(await order()) == ("confirmed", "")


async def test_a_service_that_stays_away_is_the_reason(others: Others) -> None:
    others.failures["payments"] = [(503, "unavailable")] * 8
    assert await settled(await order()) == ("rejected", "payment_unavailable")
    assert others.calls[-2:] == ["payments/reverse", "reservations/release"]


async def test_a_capture_is_repeated_for_ever(others: Others) -> None:
    others.failures["payments/capture"] = [(503, "unavailable")] * 6 + [(422, "invalid_input")] * 2
    assert await settled(await order()) == ("confirmed", "")
    assert others.calls.count("payments/capture") == 9


async def test_a_refused_capture_cancels_the_confirmed_order(others: Others) -> None:
    others.failures["payments/capture"] = [(402, "payment_declined")]
    order_id = await order()
    assert await settled(order_id) == ("cancelled", "payment_failed")
    assert others.calls[-2:] == ["payments/reverse", "reservations/release"]


async def test_a_change_of_mind_before_the_point_of_no_return(others: Others) -> None:
    others.failures["payments"] = [(503, "unavailable")] * 3
    order_id = await order()
    async with service.database.transaction() as db:
        assert not await clerk.ask(db, await clerk.find(db, order_id), clerk.CANCEL)
    assert await settled(order_id) == ("cancelled", "cancelled_by_customer")
    assert others.calls[-2:] == ["payments/reverse", "reservations/release"]


async def test_undoing_waits_for_those_who_are_away(others: Others) -> None:
    order_id = await order()
    await settled(order_id)
    others.failures = {"payments/reverse": [(503, "busy")] * 4, "reservations/release": [(404, "not_found"), (0, "")]}
    async with service.database.transaction() as db:
        assert await clerk.ask(db, await clerk.find(db, order_id), clerk.CANCEL)
        await service.start(db, UndoOrder, Undoing(order_id=order_id))
    assert await settled(order_id) == ("cancelled", "cancelled_by_customer")


@pytest.mark.timeout(60)
async def test_undoing_outlasts_those_who_stay_away_and_keeps_the_reason(others: Others) -> None:
    others.failures["payments"] = [(402, "payment_declined")]
    others.away = {"reservations/release"}
    order_id = await order()
    usual = DurableOptions().undo_attempts
    async with asyncio.timeout(40):
        while others.calls.count("reservations/release") <= usual:
            await asyncio.sleep(0.02)
    assert await service.durable.sagas.recent("stuck") == ()
    others.away = set()
    assert await settled(order_id) == ("rejected", "payment_declined")
    assert others.calls[-1] == "reservations/release"
