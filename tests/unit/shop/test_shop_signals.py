"""Signals: nobody who listens misses a change, nobody else is woken."""

import asyncio

from shop.signals import Listener, Signals

LONG_S = 30.0


async def test_a_listener_is_woken_by_its_keys_only() -> None:
    signals = Signals()
    with signals.listen("a", "b") as both, signals.listen("c") as other:
        signals.notify("b")
        assert await both.wait(LONG_S)
        assert not await other.wait(0)


async def test_what_came_between_looking_and_waiting_is_not_missed() -> None:
    signals = Signals()
    with signals.listen("a") as listener:
        listener.clear()
        signals.notify("a")  # as if it came while the listener looked into the database
        assert await listener.wait(LONG_S)
        listener.clear()
        assert not await listener.wait(0)


async def test_all_waiters_are_woken_and_forgotten_when_they_leave() -> None:
    signals = Signals()

    async def one(listener: Listener) -> bool:
        return await listener.wait(LONG_S)

    with signals.listen("a") as first, signals.listen("a") as second, signals.listen("b") as third:
        waiting = asyncio.gather(one(first), one(second), one(third))
        signals.notify_all()
        assert await waiting == [True, True, True]
        assert signals.anybody
    assert not signals.anybody
    signals.notify("a")
