"""The same Idempotency-Key gets the same answer, once the work is done, and the work is done once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import text

from hanse import Service, Session, User
from hanse.core.errors import ConfigurationError, Conflict

service = Service("payments")
done: list[str] = []


class Payment(BaseModel):
    amount: int


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@service.post("/payments", idempotent=True, status_code=201)
async def pay(body: Payment, db: Session, response: Response) -> dict[str, int]:
    if body.amount == 13:
        done.append("refused")
        raise Conflict("unlucky")
    await asyncio.sleep(0)
    done.append("paid")
    response.headers["location"] = f"/payments/{len(done)}"
    response.headers["set-cookie"] = "a=b"
    return {"number": len(done)}


@service.post("/mine", idempotent=True)
async def mine(user: User) -> str:
    done.append(user.subject)
    return user.subject


@service.put("/internal/{thing}", idempotent=True, internal=True)
async def internal(thing: str) -> str:
    done.append(thing)
    return thing


@service.post("/stream", idempotent=True)
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    return StreamingResponse(parts())


def key(value: str, **headers: str) -> dict[str, str]:
    return {"idempotency-key": value, **headers}


async def test_a_repeated_key_gets_the_first_answer(run: Any) -> None:
    async with run(service) as call:
        first = await call("POST", "/payments", json_body={"amount": 5}, headers=key("k1"))
        again = await call("POST", "/payments", json_body={"amount": 5}, headers=key("k1"))
        assert (first.status, first.json(), first.headers["location"]) == (201, {"number": 1}, "/payments/1")
        assert (again.status, again.body, again.headers["location"]) == (201, first.body, "/payments/1")
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in first.headers
        assert "set-cookie" not in again.headers
        assert done == ["paid"]


async def test_other_keys_and_no_key_work_anew(run: Any) -> None:
    async with run(service) as call:
        for headers in (key("k1"), key("k2"), {}, {}):
            assert (await call("POST", "/payments", json_body={"amount": 5}, headers=headers)).status == 201
        assert len(done) == 4


async def test_a_key_with_another_body_is_refused(run: Any) -> None:
    async with run(service) as call:
        await call("POST", "/payments", json_body={"amount": 5}, headers=key("k1"))
        answer = await call("POST", "/payments", json_body={"amount": 6}, headers=key("k1"))
        assert (answer.status, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert done == ["paid"]


async def test_concurrent_repetitions_wait_for_the_first(run: Any) -> None:
    async with run(service) as call:
        answers = await asyncio.gather(
            *[call("POST", "/payments", json_body={"amount": 5}, headers=key("k1")) for _ in range(5)]
        )
        assert {answer.status for answer in answers} == {201}
        assert {answer.body for answer in answers} == {answers[0].body}
        assert done == ["paid"]


async def test_a_failed_request_may_be_repeated(run: Any) -> None:
    async with run(service) as call:
        for _ in range(2):
            assert (await call("POST", "/payments", json_body={"amount": 13}, headers=key("k1"))).status == 409
        assert (await call("POST", "/payments", json_body={}, headers=key("k1"))).status == 422
        assert (await call("POST", "/payments", json_body={"amount": 5}, headers=key("k1"))).status == 201
        assert done == ["refused", "refused", "paid"]


async def test_a_key_counts_per_user_and_replays_to_nobody_else(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        for subject in ("ada", "bob", "ada"):
            answer = await call("POST", "/mine", headers=key("k1", **tokens.user(subject)))
            assert answer.json() == subject
        assert (await call("POST", "/mine", headers=key("k1"))).status == 401
        assert done == ["ada", "bob"]


async def test_a_replay_needs_the_same_proof_as_the_first_call(run: Any, tokens: Any) -> None:
    async with run(service) as call:
        assert (await call("PUT", "/internal/x", headers=key("k1", **tokens.service()))).status == 200
        assert (await call("PUT", "/internal/x", headers=key("k1", **tokens.service()))).status == 200
        assert (await call("PUT", "/internal/x", headers=key("k1"))).status == 401
        assert (
            await call("PUT", "/internal/x", headers=key("k1", **{"x-service-authorization": "Bearer x"}))
        ).status == 401
        assert (await call("PUT", "/internal/y", headers=key("k1", **tokens.service()))).status == 422
        assert done == ["x"]


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\tb"])
async def test_a_strange_key_is_refused(run: Any, bad: str) -> None:
    async with run(service) as call:
        assert (await call("POST", "/payments", json_body={"amount": 5}, headers=key(bad))).status == 422


async def test_a_stream_can_not_be_kept(run: Any) -> None:
    async with run(service) as call:
        assert (await call("POST", "/stream", headers=key("k1"))).status == 500
        assert (await call("POST", "/stream")).body == b"x"


def test_get_needs_no_key() -> None:
    with pytest.raises(ConfigurationError, match="GET is idempotent by itself"):
        Service("x").get("/", idempotent=True)


class Replica:
    """A service whose handler waits, as for another service's answer, before it touches its database."""

    def __init__(self) -> None:
        self.service = Service("ledger")
        self.arrived, self.go = asyncio.Event(), asyncio.Event()
        self.written = 0

        @self.service.post("/entries", idempotent=True)
        async def enter(db: Session) -> dict[str, int]:
            self.arrived.set()
            await self.go.wait()
            await db.execute(text("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY)"))
            await db.execute(text("INSERT INTO entry DEFAULT VALUES"))
            self.written += 1
            return {"number": (await db.execute(text("SELECT count(*) FROM entry"))).scalar_one()}


async def test_no_lock_is_held_until_the_handler_writes(run: Any) -> None:
    replica = Replica()
    async with run(replica.service) as call:
        asked = asyncio.ensure_future(call("POST", "/entries", headers=key("k1")))
        await replica.arrived.wait()
        async with asyncio.timeout(5), replica.service.database.transaction() as db:
            await db.execute(text("CREATE TABLE other (id INTEGER)"))
        replica.go.set()
        assert (await asked).json() == {"number": 1}


async def test_two_replicas_that_get_one_key_at_once_write_once(run: Any) -> None:
    first, second = Replica(), Replica()
    async with run(first.service) as one, run(second.service) as other:
        asked = [asyncio.ensure_future(call("POST", "/entries", headers=key("k1"))) for call in (one, other)]
        for replica in (first, second):
            await replica.arrived.wait()
        first.go.set()
        answers = [await asked[0]]
        second.go.set()
        answers.append(await asked[1])
        assert [answer.json() for answer in answers] == [{"number": 1}, {"number": 1}]
        assert "idempotent-replayed" in answers[1].headers
        assert (first.written, second.written) == (1, 0)
        assert (await one("POST", "/entries", headers=key("k2"))).json() == {"number": 2}
