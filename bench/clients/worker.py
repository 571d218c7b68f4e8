"""`python -m bench.clients.worker KIND PORT…`: for each line on stdin a round of so many seconds, a JSON line for each.

All contenders make the same calls, 32 in flight, on uvloop, and read the same document.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import uvloop
from pydantic import BaseModel

IN_FLIGHT = 32
PATH = "/items/7"
HEADERS = {
    "accept": "application/json",
    "x-correlation-id": "call_0123456789abcdef0123456789abcdef",
    "x-request-timeout-ms": "5000",
    "x-service-authorization": "Bearer token",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
Call = Callable[[], Awaitable[object]]


class Item(BaseModel):
    id: str
    name: str
    price: str
    left: int
    tags: list[str]


@asynccontextmanager
async def ours(ports: list[int]) -> AsyncIterator[Call]:
    """`ServiceClient` as a service gets it: three instances from a registry, tracing at 100 %, metrics, identity."""
    from hanse.client import ServiceClient
    from hanse.core import Env
    from hanse.registry import Instance
    from hanse.registry.memory import MemoryBoard, MemoryRegistry
    from hanse.telemetry import Metrics, NoSink, Tracer

    env = Env.build("bench")
    registry = MemoryRegistry(env, board=MemoryBoard())
    await registry.start()
    for port in ports:
        await registry.register(Instance("stock", f"i{port}", "127.0.0.1", port))
    tracer = Tracer("bench", NoSink())
    client = ServiceClient(env, "stock", registry, tracer=tracer, metrics=Metrics(), identity=lambda: "token")
    await client.start()
    yield lambda: client.get(PATH, response_model=Item)
    await client.stop()
    await registry.stop()
    await env.scope.close()


@asynccontextmanager
async def pyreqwest(ports: list[int]) -> AsyncIterator[Call]:
    """The library below ours, with the same headers, a timeout, and the same decoding."""
    async with _pyreqwest() as client:
        url = f"http://127.0.0.1:{ports[0]}{PATH}"
        decode = Item.__pydantic_validator__.validate_json

        async def call() -> object:
            response = await client.get(url).headers(HEADERS).timeout(timedelta(seconds=5)).build().send()
            return decode(bytes(await response.bytes()))

        yield call


@asynccontextmanager
async def plain(ports: list[int]) -> AsyncIterator[Call]:
    """The library below ours, with nothing on: no headers, no timeout, the body as bytes."""
    async with _pyreqwest() as client:
        url = f"http://127.0.0.1:{ports[0]}{PATH}"

        async def call() -> object:
            response = await client.get(url).build().send()
            return await response.bytes()

        yield call


@asynccontextmanager
async def httpx(ports: list[int]) -> AsyncIterator[Call]:
    """httpx.AsyncClient + tenacity + purgatory; one address, because there is no discovery."""
    import httpx
    from purgatory import AsyncCircuitBreakerFactory
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    breakers = AsyncCircuitBreakerFactory()
    retrying = AsyncRetrying(
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(0.025, 1),
        retry=retry_if_exception_type(httpx.TransportError),
        reraise=True,
    )
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(timeout=5, limits=limits, trust_env=False, headers=HEADERS) as client:
        url = f"http://127.0.0.1:{ports[0]}{PATH}"
        decode = Item.__pydantic_validator__.validate_json

        async def attempt() -> object:
            async with await breakers.get_breaker("stock", threshold=5, ttl=1):
                response = await client.get(url)
                response.raise_for_status()
                return decode(response.content)

        yield lambda: retrying(attempt)


def _pyreqwest():  # type: ignore[no-untyped-def]
    from pyreqwest.client import ClientBuilder

    return (
        ClientBuilder().no_proxy().follow_redirects(False).gzip(False).brotli(False).zstd(False).deflate(False).build()
    )


async def round_of(call: Call, seconds: float) -> dict[str, float]:
    """Calls per second, CPU time per call, p50 and p99."""
    took: list[float] = []
    clock = time.perf_counter
    began, cpu = clock(), _cpu_s()
    end = began + seconds

    async def loop() -> None:
        before = clock()
        while before < end:
            await call()
            after = clock()
            took.append(after - before)
            before = after

    await asyncio.gather(*(loop() for _ in range(IN_FLIGHT)))
    wall, cpu = clock() - began, _cpu_s() - cpu
    took.sort()
    return {
        "rate": len(took) / wall,
        "cpu_us": cpu / len(took) * 1e6,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[int(len(took) * 0.99)] * 1e3,
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    contender = {"ours": ours, "pyreqwest": pyreqwest, "plain": plain, "httpx": httpx}[sys.argv[1]]
    async with contender([int(port) for port in sys.argv[2:]]) as call:
        await round_of(call, 0.3)
        for line in sys.stdin:
            print(json.dumps(await round_of(call, float(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
