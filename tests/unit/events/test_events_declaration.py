"""Event declarations: refused early, with a hint."""

import pytest
from pydantic import BaseModel

from hanse.core.errors import ConfigurationError
from hanse.events import EventType, event, event_type


class Order(BaseModel):
    order_id: str


def test_a_declaration_is_kept_on_the_class():
    @event("order.placed", version=2, key="order_id")
    class Placed(Order):
        pass

    assert event_type(Placed) == EventType("order.placed", 2, "order_id")
    assert Placed(order_id="1").model_dump() == {"order_id": "1"}


def test_a_subclass_is_no_event_until_it_is_declared():
    @event("order.placed")
    class Placed(Order):
        pass

    class Gift(Placed):
        pass

    with pytest.raises(ConfigurationError, match=r"Gift is not an event: declare it with @event"):
        event_type(Gift)


@pytest.mark.parametrize("name", ["", ".", "order.", "order placed", "order..placed", "order.*", "bestellung.größe"])
def test_bad_names(name):
    with pytest.raises(ConfigurationError, match="event type"):
        event(name)


def test_bad_version():
    with pytest.raises(ConfigurationError, match="versions start at 1"):
        event("order.placed", version=0)


def test_unknown_key_says_what_was_meant():
    with pytest.raises(ConfigurationError, match=r'no field "orderid" for its key. Did you mean "order_id"\?'):
        event("order.placed", key="orderid")(Order)


def test_only_models():
    with pytest.raises(ConfigurationError, match="is not a pydantic model"):
        event("order.placed")(dict)
