"""What becomes of a failed delivery."""

import pytest

from hanse.core import Env
from hanse.core.errors import ConfigurationError, InvalidInput, Unavailable
from hanse.events import PoisonEvent, Subscription, transport_from_url
from hanse.events.verdict import after_failure, before_handling

SUBSCRIPTION = Subscription("billing", ("#",), max_deliver=3, retry_delays_s=(1.0, 5.0))


@pytest.mark.parametrize("error", [RuntimeError("x"), Unavailable("x"), InvalidInput("x")])
def test_retried_with_pauses_then_buried(error):
    verdicts = [after_failure(SUBSCRIPTION, attempt, error) for attempt in (1, 2, 3)]
    assert [(verdict.action, verdict.delay_s) for verdict in verdicts] == [
        ("retry", 1.0),
        ("retry", 5.0),
        ("bury", 0.0),
    ]
    assert verdicts[2].reason == f"{type(error).__name__}: x"


def test_poison_is_buried_at_once():
    assert after_failure(SUBSCRIPTION, 1, PoisonEvent("bad bytes")).action == "bury"


def test_long_reasons_are_cut():
    assert len(after_failure(SUBSCRIPTION, 3, RuntimeError("x" * 9999)).reason) == 500


def test_deliveries_that_never_ended_count():
    assert before_handling(SUBSCRIPTION, 3) is None
    verdict = before_handling(SUBSCRIPTION, 4)
    assert verdict is not None
    assert (verdict.action, verdict.reason) == ("bury", "delivered 3 times, and no handler came to an end")


def test_unknown_transports():
    with pytest.raises(ConfigurationError, match="carrier-pigeon"):
        transport_from_url(Env.build("test"), "carrier-pigeon://x", "a")
