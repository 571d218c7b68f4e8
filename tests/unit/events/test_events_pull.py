"""How much a replica asks for."""

import pytest

from hanse.core import Env
from hanse.events.nats_pull import BUFFER_MAX, Pull, window
from hanse.testing.clock import ManualClock


def test_slow_handlers_buffer_no_more_than_they_have_hands():
    assert window(16, 1.0) == 16
    assert window(1, 0.05) == 1


def test_quick_handlers_buffer_a_twentieth_of_a_second_up_to_a_bound():
    assert window(16, 0.01) == 80
    assert window(16, 0.0) == BUFFER_MAX
    assert window(1, 20e-6) == BUFFER_MAX


class Wire:
    """Plays the link: keeps what is asked of the server."""

    inbox = "_INBOX"

    def __init__(self):
        self.posted = []

    def post(self, command):
        self.posted.append(command)


class Scene:
    def __init__(self):
        self.clock = ManualClock()
        self.calls = []
        self.pull = Pull(
            Env.build("test", clock=self.clock),
            Wire(),
            "billing=main",
            deliver=lambda raw: self.calls.append("deliver"),
            hungry=lambda: self.calls.append("hungry"),
            broken=lambda: self.calls.append("broken"),
        )

    def status(self, text):
        self.pull._received(b"", b"", b"", f"NATS/1.0 {text}\r\n\r\n".encode())


def test_a_server_that_owes_an_answer_and_is_silent_is_noticed():
    scene = Scene()
    scene.clock.advance(100)
    assert not scene.pull.silent(), "nothing was asked for"
    scene.pull.ask(5)
    scene.clock.advance(2)
    scene.status("100 Idle Heartbeat")
    scene.clock.advance(2)
    assert not scene.pull.silent()
    scene.clock.advance(1)
    assert scene.pull.silent()
    scene.pull.forget()
    assert not scene.pull.silent()


@pytest.mark.parametrize(
    ("status", "left", "calls"),
    [
        ("100 Idle Heartbeat", 5, []),
        ("408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0", 2, ["hungry"]),
        ("409 Batch Completed\r\nNats-Pending-Messages: 0", 5, ["hungry"]),
        ("409 Consumer Deleted", 0, ["broken"]),
        ("503", 0, ["broken"]),
    ],
)
def test_ends_of_requests(status, left, calls):
    scene = Scene()
    scene.pull.ask(5)
    scene.status(status)
    assert (scene.pull.coming, scene.calls) == (left, calls)
