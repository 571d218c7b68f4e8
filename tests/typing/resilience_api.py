"""The resilience patterns as a type checker sees them: checked by `make check`, never run."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_type

from hanse.core import Env
from hanse.resilience import CircuitBreaker, Hedge, Pipeline, Retry, RetryBudget

env = Env.build("typing")
breaker = CircuitBreaker("b", env)
retry = Retry("r", env, budget=RetryBudget())


@Pipeline("p", env, [retry, breaker])
async def price(product: str, *, pieces: int = 1) -> float:
    return 1.0


ordered: Coroutine[Any, Any, float] = price("a", pieces=2)
wrong = price(1)  # type: ignore[arg-type]


async def use(operation: Callable[[], Awaitable[list[int]]]) -> None:
    assert_type(await breaker.call(operation), list[int])
    assert_type(await retry.call(operation), list[int])
    assert_type(await Hedge("h", env).call(operation), list[int])
    async for attempt in retry.attempts():
        async with attempt:
            assert_type(attempt.number, int)
