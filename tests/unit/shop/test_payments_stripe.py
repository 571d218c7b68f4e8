"""The PaymentIntents adapter: what it sends, and what it makes of every answer."""

from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from hanse.client import HttpRequest, HttpResponse, HttpTransport, TransportFailure
from hanse.core.errors import OutcomeUnknown, Unavailable
from shop.money import Money
from shop.payments.domain import PaymentDeclined
from shop.payments.providers import Charge, StripeProvider
from shop.payments.providers.stripe import ProviderFault

CHARGE = Charge("pay_1", "order_1", Money(amount=1999, currency="EUR"), "pm_card_visa")


class Server(HttpTransport):
    """Speaks enough of the protocol to hold it against the adapter: intents, idempotency keys, states."""

    def __init__(self) -> None:
        self.intents: dict[str, dict[str, Any]] = {}
        self.refunds: list[int] = []
        self.requests: list[HttpRequest] = []
        self.answers: dict[str, HttpResponse] = {}
        self.failure: TransportFailure | None = None
        self.error: tuple[int, dict[str, Any]] | None = None

    async def send(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        if self.error is not None:
            return self._answer(self.error[0], {"error": self.error[1]})
        assert request.headers["authorization"] == "Bearer sk_test"
        assert request.body is not None
        key = request.headers["idempotency-key"]
        if key not in self.answers:
            self.answers[key] = self._handle(urlsplit(request.url).path, dict(parse_qsl(request.body.decode())))
        return self.answers[key]

    async def open(self, request: HttpRequest, timeout_s: float) -> NoReturn:
        raise AssertionError("the adapter streams nothing")

    def _handle(self, path: str, form: dict[str, str]) -> HttpResponse:
        match path.split("/")[2:]:
            case ["payment_intents"]:
                if form["payment_method"] == "pm_card_declined":
                    return self._answer(402, {"error": {"type": "card_error", "decline_code": "generic_decline"}})
                status = "requires_action" if form["payment_method"] == "pm_3ds" else "requires_capture"
                intent = {"id": f"pi_{len(self.intents)}", "status": status, "amount": int(form["amount"])}
                self.intents[str(intent["id"])] = intent
                return self._answer(200, intent)
            case ["payment_intents", id_, verb]:
                intent = self.intents[id_]
                if intent["status"] != "requires_capture":
                    error = {"code": "payment_intent_unexpected_state", "payment_intent": intent}
                    return self._answer(400, {"error": error})
                intent["status"] = "succeeded" if verb == "capture" else "canceled"
                return self._answer(200, intent)
            case ["refunds"]:
                self.refunds.append(int(form["amount"]))
                return self._answer(200, {"id": "re_1", "status": "succeeded"})
        return self._answer(404, {"error": {"code": "resource_missing"}})

    @staticmethod
    def _answer(status: int, body: dict[str, Any]) -> HttpResponse:
        return HttpResponse(status, {"content-type": "application/json"}, orjson.dumps(body))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def stripe(server: Server) -> StripeProvider:
    return StripeProvider(server, "http://127.0.0.1:1/", "sk_test")


async def test_authorise_capture_refund(stripe: StripeProvider, server: Server) -> None:
    reference = await stripe.authorise(CHARGE)
    form = dict(parse_qsl((server.requests[0].body or b"").decode()))
    assert (form["amount"], form["currency"], form["capture_method"]) == ("1999", "eur", "manual")
    assert form["metadata[order_id]"] == "order_1"
    assert await stripe.authorise(CHARGE) == reference
    assert len(server.intents) == 1
    await stripe.capture(reference, CHARGE)
    await stripe.refund(reference, Money(amount=500, currency="EUR"), "key")
    await stripe.refund(reference, Money(amount=500, currency="EUR"), "key")
    assert server.refunds == [500]


async def test_refused_cards_are_declined(stripe: StripeProvider) -> None:
    for token in ("pm_card_declined", "pm_3ds"):
        with pytest.raises(PaymentDeclined):
            await stripe.authorise(Charge("pay_2", "o", CHARGE.amount, token))


async def test_what_was_done_long_ago_counts_as_done_and_the_opposite_does_not(
    stripe: StripeProvider, server: Server
) -> None:
    captured = await stripe.authorise(CHARGE)
    await stripe.capture(captured, CHARGE)
    server.answers.clear()  # the server keeps idempotency keys for a day
    await stripe.capture(captured, CHARGE)
    with pytest.raises(ProviderFault):
        await stripe.void(captured, CHARGE)
    other = Charge("pay_2", "o", CHARGE.amount, "pm_card_visa")
    voided = await stripe.authorise(other)
    await stripe.void(voided, other)
    server.answers.clear()
    await stripe.void(voided, other)
    with pytest.raises(PaymentDeclined):
        await stripe.capture(voided, other)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (TransportFailure("refused", sent=False), Unavailable),
        (TransportFailure("timed out", sent=True, timed_out=True), OutcomeUnknown),
    ],
)
async def test_silence_says_whether_to_ask_again(
    stripe: StripeProvider, server: Server, failure: TransportFailure, expected: type[Exception]
) -> None:
    server.failure = failure
    with pytest.raises(expected) as told:
        await stripe.authorise(CHARGE)
    assert told.type is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(402, PaymentDeclined), (409, Unavailable), (429, Unavailable), (500, OutcomeUnknown), (401, ProviderFault)],
)
async def test_errors_are_told_apart(
    stripe: StripeProvider, server: Server, status: int, expected: type[Exception]
) -> None:
    server.error = (status, {"message": "no"})
    with pytest.raises(expected) as told:
        await stripe.authorise(CHARGE)
    assert told.type is expected
