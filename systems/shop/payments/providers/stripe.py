"""A provider that speaks the PaymentIntents protocol over HTTP.

Source: https://docs.stripe.com/api/payment_intents and https://docs.stripe.com/api/refunds.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from hanse.client import HttpRequest, HttpTransport, TransportFailure
from hanse.core.errors import HanseError, OutcomeUnknown, Unavailable
from shop.money import Money
from shop.payments.domain import PaymentDeclined
from shop.payments.providers.contract import Charge, Provider

_TIMEOUT_S = 8.0
_AUTHORISED = frozenset({"requires_capture", "succeeded"})
_TOO_LATE = "payment_intent_unexpected_state"


class ProviderFault(HanseError):
    """The provider refuses to talk to us in this way: keys or requests are wrong. A person must look."""

    code, status = "payment_provider_fault", 502


class StripeProvider(Provider):
    """Cards through PaymentIntents with manual capture.

    Every request carries an `Idempotency-Key` made from the payment's id, so that a repetition finds the first answer.

    Args:
        transport: sends the requests.
        url: of the server, for example `https://api.stripe.com`.
        key: the secret key.
    """

    name = "stripe"

    def __init__(self, transport: HttpTransport, url: str, key: str) -> None:
        self._transport = transport
        self._url = url.rstrip("/")
        self._key = key

    async def authorise(self, charge: Charge) -> str:
        form = {
            "amount": str(charge.amount.amount),
            "currency": charge.amount.currency.lower(),
            "payment_method": charge.token,
            "capture_method": "manual",
            "confirm": "true",
            "automatic_payment_methods[enabled]": "true",
            "automatic_payment_methods[allow_redirects]": "never",
            "metadata[order_id]": charge.order_id,
        }
        intent = await self._post("/v1/payment_intents", form, f"{charge.payment_id}:authorise")
        if intent.get("status") not in _AUTHORISED:
            raise PaymentDeclined("the card needs something that can't be given here", status=intent.get("status"))
        return str(intent["id"])

    async def capture(self, reference: str, charge: Charge) -> None:
        path = f"/v1/payment_intents/{quote(reference, safe='')}/capture"
        form = {"amount_to_capture": str(charge.amount.amount)}
        try:
            await self._post(path, form, f"{charge.payment_id}:capture")
        except ProviderFault as fault:
            if fault.details["code"] != _TOO_LATE:
                raise
            if fault.details["intent"] != "succeeded":  # else this very capture was done, longer ago than keys are kept
                raise PaymentDeclined("the authorisation is over", intent=fault.details["intent"]) from fault

    async def void(self, reference: str, charge: Charge) -> None:
        path = f"/v1/payment_intents/{quote(reference, safe='')}/cancel"
        try:
            await self._post(path, {}, f"{charge.payment_id}:void")
        except ProviderFault as fault:
            if (fault.details["code"], fault.details["intent"]) != (_TOO_LATE, "canceled"):
                raise

    async def refund(self, reference: str, amount: Money, key: str) -> None:
        form = {"payment_intent": reference, "amount": str(amount.amount)}
        try:
            await self._post("/v1/refunds", form, f"{key}:refund")
        except ProviderFault as fault:
            if fault.details["code"] != "charge_already_refunded":
                raise

    async def _post(self, path: str, form: Mapping[str, str], key: str) -> dict[str, Any]:
        """One request; the answer's object.

        Raises:
            PaymentDeclined: the card was refused.
            Unavailable: nothing happened; ask again.
            OutcomeUnknown: nobody can tell; ask again with the same key.
            ProviderFault: asking again won't help.
        """
        headers = {
            "authorization": f"Bearer {self._key}",
            "content-type": "application/x-www-form-urlencoded",
            "idempotency-key": key,
        }
        request = HttpRequest("POST", f"{self._url}{path}", headers, urlencode(form).encode())
        try:
            response = await self._transport.send(request, _TIMEOUT_S)
        except TransportFailure as failure:
            text = f"the payment provider did not answer: {failure.reason}"
            raise OutcomeUnknown(text) if failure.sent else Unavailable(text) from failure
        if 200 <= response.status < 300:
            return _object(response.body)
        error = _object(response.body).get("error") or {}
        if response.status == 402 or error.get("type") == "card_error":
            raise PaymentDeclined("the card was declined", decline_code=str(error.get("decline_code") or ""))
        if response.status in (409, 429):
            raise Unavailable("the payment provider is busy")
        if response.status >= 500:
            raise OutcomeUnknown(f"the payment provider answered {response.status}")
        intent = (error.get("payment_intent") or {}).get("status")
        raise ProviderFault(f"the payment provider answered {response.status}", code=error.get("code"), intent=intent)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
