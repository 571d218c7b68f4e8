"""B4: what breaker, retry, limiter and bulkhead cost a call that goes well, against the fastest peers for each.

A figure is the time of a protected call less that of the bare one, in one event loop; each library in its cheapest
documented form. The peers' breakers count failures in a row, which is the first row; ours with its default config
also keeps a rolling window, which costs a reading of the clock. Where two peers do the same work, the faster one is
the peer, the other one is in the details.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import limits
import limits.aio
import pybreaker
import stamina
import tenacity
from hyx.bulkhead import bulkhead as hyx_bulkhead
from purgatory import AsyncCircuitBreakerFactory

from bench.harness.result import Result
from bench.harness.rounds import median
from hanse.core import Env
from hanse.resilience import (
    AdaptiveLimit,
    BreakerConfig,
    Bulkhead,
    CircuitBreaker,
    Hedge,
    Pipeline,
    PipelineConfig,
    RateConfig,
    RateLimiter,
    Retry,
    RetryBudget,
    RetryPolicy,
    Timeout,
)

ROUNDS = 15
CALLS = 10_000
PLENTY = 1_000_000_000

Call = Callable[[], Awaitable[Any]]


async def bare() -> int:
    return 1


async def per_call_us(call: Call) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return (time.perf_counter() - began) / CALLS * 1e6


async def costs_us(calls: dict[str, Call]) -> dict[str, float]:
    """What each adds to a bare call: the median over rounds in which all take turns."""
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        floor = await per_call_us(bare)
        for name, call in calls.items():
            seen[name].append(await per_call_us(call) - floor)
    return {name: median(figures) for name, figures in seen.items()}


async def breakers(env: Env) -> dict[str, Call]:
    ours = CircuitBreaker("bench", env)
    in_a_row = CircuitBreaker("bench", env, BreakerConfig(error_percentage=0))
    purgatory = await AsyncCircuitBreakerFactory().get_breaker("bench")
    other = pybreaker.CircuitBreaker()

    async def with_guard() -> int:
        async with ours.guard():
            return await bare()

    async def with_purgatory() -> int:
        async with purgatory:
            return await bare()

    async def with_pybreaker() -> int:
        with other.calling():
            return await bare()

    return {
        "hanse": lambda: ours.call(bare),
        "hanse, async with": with_guard,
        "hanse, consecutive failures": lambda: in_a_row.call(bare),
        "purgatory": with_purgatory,
        "pybreaker": with_pybreaker,
    }


async def retries(env: Env) -> dict[str, Call]:
    ours = Retry("bench", env, budget=RetryBudget())
    return {
        "hanse": lambda: ours.call(bare),
        "tenacity": tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_random_exponential())(bare),
        "stamina": stamina.retry(on=OSError, attempts=3)(bare),
    }


async def limiters(env: Env, strategy: str) -> dict[str, Call]:
    ours = RateLimiter("bench", env, RateConfig(PLENTY, 60.0, strategy))  # type: ignore[arg-type]
    item = limits.RateLimitItemPerMinute(PLENTY)
    kind = "FixedWindowRateLimiter" if strategy == "fixed_window" else "SlidingWindowCounterRateLimiter"
    inline = getattr(limits.strategies, kind)(limits.storage.MemoryStorage())
    awaited = getattr(limits.aio.strategies, kind)(limits.aio.storage.MemoryStorage())

    async def with_inline() -> int:
        if not inline.hit(item, "ada"):
            raise RuntimeError("limited")
        return await bare()

    async def with_awaited() -> int:
        if not await awaited.hit(item, "ada"):
            raise RuntimeError("limited")
        return await bare()

    return {
        "hanse": lambda: ours.call(bare, key="ada"),
        "limits": with_inline,
        "limits.aio": with_awaited,
    }


async def bulkheads(env: Env) -> dict[str, Call]:
    ours = Bulkhead("bench", env)
    semaphore = asyncio.Semaphore(256)

    async def with_semaphore() -> int:
        async with semaphore:
            return await bare()

    return {
        "hanse": lambda: ours.call(bare),
        "hyx": hyx_bulkhead(max_concurrency=256, max_capacity=256)(bare),
        "asyncio.Semaphore (no queue bound, no refusal)": with_semaphore,
    }


async def others(env: Env) -> dict[str, Call]:
    adaptive, timeout, hedge = AdaptiveLimit("bench", env), Timeout("bench", env), Hedge("bench", env)
    four = Pipeline(
        "bench",
        env,
        [
            RateLimiter("bench", env, RateConfig(PLENTY, 60.0)),
            Bulkhead("bench", env),
            Retry("bench", env),
            CircuitBreaker("bench", env),
        ],
    )
    whole = Pipeline.build("bench", env, PipelineConfig(retry=RetryPolicy()))
    return {
        "adaptive limit": lambda: adaptive.call(bare),
        "pipeline of limiter, bulkhead, retry, breaker": lambda: four.call(bare),
        "pipeline of retry alone": lambda: whole.call(bare),
        "timeout": lambda: timeout.call(bare),
        "hedge that sends no copy": lambda: hedge.call(bare),
    }


def result(
    id: str, what: str, costs: dict[str, float], peers: tuple[str, ...], ours: str = "hanse", **detail: str
) -> Result:
    peer = min(peers, key=costs.__getitem__)
    rest = {name: f"{cost:.3f} µs" for name, cost in costs.items() if name not in (ours, peer)}
    return Result(
        id=id,
        what=what,
        unit="µs",
        ours=costs[ours],
        peer=costs[peer],
        peer_name=peer,
        better="less",
        wanted=3,
        detail={**rest, **detail},
    )


async def measure() -> list[Result]:
    env = Env.build("bench")
    breaker = await costs_us(await breakers(env))
    retry = await costs_us(await retries(env))
    fixed = await costs_us(await limiters(env, "fixed_window"))
    sliding = await costs_us(await limiters(env, "sliding_window"))
    bulkhead = await costs_us(await bulkheads(env))
    rest = await costs_us(await others(env))
    met = "met" if breaker["hanse"] <= 1.5 else "missed"
    peers = ("purgatory", "pybreaker")
    return [
        result("B4", "breaker that counts failures in a row", breaker, peers, "hanse, consecutive failures"),
        result("B4a", "breaker with rolling window (no peer has one)", breaker, peers, bound=f"≤ 1.5 µs: {met}"),
        result("B4b", "retry, per call", retry, ("tenacity", "stamina")),
        result("B4c", "limiter, fixed window, per call", fixed, ("limits", "limits.aio")),
        result("B4d", "limiter, sliding window, per call", sliding, ("limits", "limits.aio")),
        result(
            "B4e",
            "bulkhead, per call",
            bulkhead,
            ("hyx",),
            **{f"also: {name}": f"{cost:.2f} µs" for name, cost in rest.items()},
        ),
    ]


def run() -> list[Result]:
    return asyncio.run(measure())
