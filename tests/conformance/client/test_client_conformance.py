"""The client's contract against the failure laboratory, as one table: what is retried, what is not, what the caller
sees, and how long it takes at most. Real sockets, real clock.

Each row is one failure of an upstream that fails so every time. Read: a GET is sent `gets` times and ends with `sees`;
a POST without a key is sent `posts` times and ends with the same. With a key, a POST is treated as a GET.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

import pytest

from hanse.client import (
    ClientOptions,
    InvalidResponse,
    Response,
    ResponseTooLarge,
    ServiceClient,
    TimedOut,
    Unanswered,
    Unreachable,
    UpstreamError,
)
from hanse.core import Env, RequestContext, use
from hanse.core.errors import HanseError
from hanse.registry.memory import MemoryBoard, MemoryRegistry
from hanse.resilience import BreakerConfig
from hanse.testing.upstream import Answer, Behaviour, Garbage, Hangup, Reset, Stall, Strained, Upstream

DEADLINE_S = 0.4
ATTEMPTS = 3
OWN_S = 0.010
BUSY_S = 0.250
STRANGER = Answer(body=b'{"left": 3}', declared_bytes=5)


@dataclass(frozen=True)
class Row:
    """One failure and what it leads to."""

    name: str
    behaviour: Behaviour
    gets: int
    posts: int
    sees: type[HanseError] | None
    """None: success."""
    lasts: bool = False
    """It takes all of the deadline."""
    status: int = 0


TABLE = [
    Row("fine", Answer(), 1, 1, None),
    Row("reset before the request was read", Reset(before_reading=True), 3, 1, Unanswered),
    Row("reset after the request was read", Reset(), 3, 1, Unanswered),
    Row("closed without an answer", Hangup(), 3, 1, Unanswered),
    Row("not HTTP", Garbage(), 3, 1, Unanswered),
    Row("less than the declared length", Answer(body=b'{"a"', declared_bytes=100), 3, 1, Unanswered),
    Row("more than the declared length", STRANGER, 1, 1, InvalidResponse),
    Row("larger than allowed, declared", Answer(body=b"x" * 2000), 1, 1, ResponseTooLarge),
    Row("larger than allowed, in chunks", Answer(body=b"x" * 2000, chunked=True), 1, 1, ResponseTooLarge),
    Row("no answer", Stall(), 1, 1, TimedOut, lasts=True),
    Row("half an answer", Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), 1, 1, TimedOut, lasts=True),
    Row("trickle", Answer(body=b"x" * 900, chunk_bytes=1, pause_s=0.01), 1, 1, TimedOut, lasts=True),
    Row("slower than the deadline", Strained(capacity=1, work_s=2.0), 1, 1, TimedOut, lasts=True),
    Row("400", Answer(400), 1, 1, UpstreamError, status=400),
    Row("404", Answer(404), 1, 1, UpstreamError, status=404),
    Row("409", Answer(409), 1, 1, UpstreamError, status=409),
    Row("429, come in 0 s", Answer(429, headers={"retry-after": "0"}), 3, 3, UpstreamError, status=429),
    Row("429, come in an hour", Answer(429, headers={"retry-after": "3600"}), 1, 1, UpstreamError, status=429),
    Row("500", Answer(500), 1, 1, UpstreamError, status=500),
    Row("501", Answer(501), 1, 1, UpstreamError, status=501),
    Row("502", Answer(502), 3, 1, UpstreamError, status=502),
    Row("503", Answer(503), 3, 1, UpstreamError, status=503),
    Row("503, come in an hour", Answer(503, headers={"retry-after": "3600"}), 1, 1, UpstreamError, status=503),
    Row("504", Answer(504), 3, 1, UpstreamError, status=504),
    Row("redirect", Answer(302, headers={"location": "http://127.0.0.1:1/"}), 1, 1, UpstreamError, status=302),
]
LASTING = [row for row in TABLE if row.lasts]

Connect = Callable[..., Awaitable[ServiceClient]]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def connect(upstream: Upstream) -> AsyncIterator[Connect]:
    """Makes the client of a service whose only instance is `upstream`."""
    env = Env.build("test")
    registry = MemoryRegistry(env, board=MemoryBoard())
    await registry.start()
    await registry.register(upstream.instance("stock"))
    clients: list[ServiceClient] = []

    async def connect(**options: float) -> ServiceClient:
        policy = {"timeout": DEADLINE_S, "retry": ATTEMPTS - 1, "first_pause": 0.005, "limit_bytes": 1000, **options}
        client = ServiceClient(env, "stock", registry, ClientOptions(breaker=BreakerConfig(failures=999), **policy))
        await client.start()
        clients.append(client)
        return client

    yield connect
    for client in clients:
        await client.stop()
    await registry.stop()
    await env.scope.close()


async def outcome(call: Awaitable[object]) -> HanseError | None:
    try:
        await call
    except HanseError as error:
        return error
    return None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
@pytest.mark.parametrize("kind", ["GET", "POST", "POST with a key"])
async def test_table(row: Row, kind: str, upstream: Upstream, connect: Connect) -> None:
    client = await connect()
    upstream.on("/x", row.behaviour)
    with use(RequestContext(correlation_id="c-1")):
        if kind == "GET":
            error = await outcome(client.get("/x"))
        else:
            key = "k" if kind == "POST with a key" else None
            error = await outcome(client.post("/x", {"a": 1}, idempotency_key=key))
    sent = row.posts if kind == "POST" else row.gets
    if row.behaviour == Reset(before_reading=True):
        assert (upstream.connections, upstream.count("/x")) == (sent, 0)
    else:
        assert upstream.count("/x") == sent
    if row.sees is None:
        assert error is None
        return
    assert type(error) is row.sees
    facts = (error.service, error.instance, error.attempts, error.correlation_id)  # type: ignore[attr-defined]
    assert facts == ("stock", "a", sent, "c-1")
    if isinstance(error, UpstreamError):
        assert error.upstream_status == row.status
    assert await outcome(client.get("/fine")) is None, "nothing of the failure is left in the next call"


async def test_refused(upstream: Upstream, connect: Connect) -> None:
    """Nothing was sent: every method is repeated, as often as the policy says."""
    client = await connect()
    await upstream.refuse()
    for call in (client.get("/x"), client.post("/x", {})):
        error = await outcome(call)
        assert type(error) is Unreachable
        assert error.attempts == ATTEMPTS


async def test_a_stalled_attempt_is_given_up_for_another_one(upstream: Upstream, connect: Connect) -> None:
    client = await connect(attempt_timeout=0.1)
    upstream.on("/x", Stall(), Answer())
    assert await outcome(client.get("/x")) is None
    upstream.on("/x", Stall(), Answer())
    assert type(await outcome(client.post("/x", {}))) is TimedOut


@pytest.mark.parametrize("row", [*LASTING, Row("503 for ever", Answer(503), 0, 0, UpstreamError)], ids=lambda r: r.name)
@pytest.mark.parametrize("attempt_s", [DEADLINE_S, 0.11], ids=["one attempt", "many"])
async def test_never_longer_than_the_deadline(row: Row, attempt_s: float, upstream: Upstream, connect: Connect) -> None:
    """The machine can only make a call later: the best of six rounds shows what the client itself adds."""
    client = await connect(retry=999, attempt_timeout=attempt_s)
    upstream.on("/x", row.behaviour)
    over_s = []
    for _ in range(6):
        began = monotonic()
        assert await outcome(client.get("/x")) is not None
        over_s.append(monotonic() - began - DEADLINE_S)
    assert min(over_s) <= OWN_S, over_s
    assert max(over_s) <= BUSY_S, over_s


async def test_an_upstream_that_closes_idle_connections_hurts_no_call(upstream: Upstream, connect: Connect) -> None:
    upstream.idle_s = 0.02
    client = await connect()
    for pause in (0.0, 0.019, 0.02, 0.021, 0.05):
        for _ in range(5):
            assert await outcome(client.get("/x")) is None
            await asyncio.sleep(pause)
    assert upstream.connections > 2


async def test_an_upstream_that_slows_down_under_load_is_not_asked_for_more(
    upstream: Upstream, connect: Connect
) -> None:
    """Time-outs of an overloaded upstream are not multiplied by repetitions: the budget runs out."""
    client = await connect(timeout=10.0, attempt_timeout=1.0, retry=9)
    upstream.on("/x", Strained(capacity=2, work_s=0.4))
    results = await asyncio.gather(*(outcome(client.get("/x")) for _ in range(200)))
    assert any(result is None for result in results)
    assert upstream.count("/x") <= 200 + 100 + 200 * 0.2
    snapshot = client.snapshot()
    assert snapshot.retries_left < 1
    assert snapshot.bulkhead.running == 0


async def test_the_answer_says_who_gave_it(upstream: Upstream, connect: Connect) -> None:
    client = await connect()
    upstream.on("/x", Answer(503), Answer(body=b"[]"))
    response = await client.request("GET", "/x")
    assert isinstance(response, Response)
    assert (response.instance, response.attempts, response.value()) == ("a", 2, [])
    assert response.correlation_id == upstream.requests[0].headers["x-correlation-id"]
