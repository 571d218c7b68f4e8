"""Templates: which words an event becomes. Pure, no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ADMINS = "role:admin"
"""The recipient of what concerns whoever runs the shop: one inbox for all admins."""


@dataclass(frozen=True, slots=True)
class Template:
    """The words for one kind of event; `{…}` takes a field of the event."""

    title: str
    body: str

    def render(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        """Title and body. Raises KeyError when the template names a field that the event lacks."""
        return self.title.format_map(fields), self.body.format_map(fields)


TEMPLATES: dict[str, Template] = {
    "user.registered": Template("Welcome, {name}", "Your account is ready. Enjoy the shop."),
    "order.placed": Template("We have your order", "Order {order_id} over {total} is being checked."),
    "order.confirmed": Template("Your order is confirmed", "Order {order_id} over {total} will be shipped soon."),
    "order.rejected": Template("Your order could not be accepted", "Order {order_id}: {explanation}"),
    "order.shipped": Template("Your order is on its way", "Order {order_id} has left our warehouse."),
    "order.delivered": Template("Your order has arrived", "Order {order_id} was delivered. We hope you like it."),
    "order.cancelled": Template("Your order is cancelled", "Order {order_id} was cancelled; you pay nothing for it."),
    "order.refunded": Template("Your money is on its way back", "We refunded {total} for order {order_id}."),
    "alert.low_stock": Template("Low stock: {name}", "{available} left of {name} ({sku}), the minimum is {minimum}."),
}

_EXPLANATIONS = {
    "payment_declined": "your payment was declined. Nothing was charged.",
    "out_of_stock": "not enough is in stock. Nothing was charged.",
}


def explain(reason: str) -> str:
    """The reason of a rejection in words for the customer."""
    return _EXPLANATIONS.get(reason, "something went wrong on our side. Nothing was charged.")
