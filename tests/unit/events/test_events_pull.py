"""How much a replica asks for."""

from hanse.events.nats_pull import BUFFER_MAX, window


def test_slow_handlers_buffer_no_more_than_they_have_hands():
    assert window(16, 1.0) == 16
    assert window(1, 0.05) == 1


def test_quick_handlers_buffer_a_twentieth_of_a_second_up_to_a_bound():
    assert window(16, 0.01) == 80
    assert window(16, 0.0) == BUFFER_MAX
    assert window(1, 20e-6) == BUFFER_MAX
