"""What every store of a distributed rate limiter keeps, and what limiters on it promise together."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from hanse.core import Env
from hanse.resilience import DistributedRateLimiter, RateConfig, RateLimited, RateStore, SharedConfig


class RateStoreSuite(ABC):
    """Bind it by giving `connect` as a fixture: a function that makes one more started store on the same data."""

    @pytest.fixture
    @abstractmethod
    async def stores(self) -> AsyncIterator[tuple[RateStore, RateStore]]:
        """Two started stores on the same data, as two replicas have them."""
        yield  # type: ignore[misc]

    async def test_what_one_saves_the_other_loads(self, stores: tuple[RateStore, RateStore]) -> None:
        one, other = stores
        assert await one.load("k") is None
        revision = await one.save("k", b"\x00first", 0, 60)
        found = await other.load("k")
        assert found is not None
        assert (found.state, found.revision) == (b"\x00first", revision)

    async def test_who_is_late_changes_nothing(self, stores: tuple[RateStore, RateStore]) -> None:
        one, other = stores
        revision = await one.save("k", b"first", 0, 60)
        assert revision
        assert await other.save("k", b"late", 0, 60) is None
        newer = await other.save("k", b"second", revision, 60)
        assert newer
        assert newer > revision
        assert await one.save("k", b"late", revision, 60) is None
        found = await one.load("k")
        assert found is not None
        assert found.state == b"second"

    async def test_keys_of_any_form_are_apart(self, stores: tuple[RateStore, RateStore]) -> None:
        one, other = stores
        keys = ["", "a", "a.b", "a b", "*", ">", "ä/ö\r\n", "x" * 2000]
        for key in keys:
            assert await one.save(key, key.encode(), 0, 60)
        for key in keys:
            found = await other.load(key)
            assert found is not None
            assert found.state == key.encode()

    async def test_what_is_cleared_begins_anew(self, stores: tuple[RateStore, RateStore]) -> None:
        one, other = stores
        await one.save("k", b"first", 0, 60)
        await other.clear("k")
        assert await one.load("k") is None
        assert await one.save("k", b"second", 0, 60)

    @pytest.mark.parametrize("strategy", ["token_bucket", "sliding_window", "fixed_window"])
    async def test_replicas_share_one_quota(self, stores: tuple[RateStore, RateStore], strategy: str) -> None:
        config = RateConfig(20, 3600.0, strategy)  # type: ignore[arg-type]
        sharing = SharedConfig(store_timeout_s=20, attempts=50)
        limiters = [
            DistributedRateLimiter("shared", Env.build(f"replica{number}"), config, store, sharing)
            for number, store in enumerate(stores)
        ]

        async def one(number: int) -> bool:
            try:
                await limiters[number % 2].acquire("ada")
            except RateLimited:
                return False
            return True

        assert sum(await asyncio.gather(*(one(number) for number in range(60)))) == 20
        assert [limiter.snapshot().store for limiter in limiters] == ["connected"] * 2
        await limiters[0].acquire("bob", cost=20)
        await limiters[1].clear("ada")
        limiters[0].reset()
        await limiters[0].acquire("ada")
