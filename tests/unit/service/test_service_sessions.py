"""The session of a request: one transaction, committed before the response begins, or no trace of it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, HTTPException, WebSocket
from pydantic import BaseModel
from sqlalchemy import ForeignKey, MetaData, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hanse import Service, Session
from hanse.core.errors import ConfigurationError, Conflict, Unavailable
from hanse.service import Router


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    id: Mapped[str] = mapped_column(primary_key=True)
    parent: Mapped[str | None] = mapped_column(ForeignKey("note.id", deferrable=True, initially="DEFERRED"))


metadata: MetaData = Base.metadata
service = Service("notes", models=__name__)


class NewNote(BaseModel):
    id: str
    parent: str | None = None


async def the_same(db: Session) -> AsyncSession:
    return db


@service.post("/notes", status_code=201)
async def create(body: NewNote, db: Session) -> str:
    db.add(Note(id=body.id, parent=body.parent))
    return body.id


@service.post("/notes/{id}/fail/{how}")
async def fail(id: str, how: str, db: Session) -> None:
    db.add(Note(id=id))
    await db.flush()
    match how:
        case "http":
            raise HTTPException(409)
        case "hanse":
            raise Conflict("no")
        case "bug":
            raise ZeroDivisionError


@service.get("/notes")
async def count(db: Session, other: AsyncSession = Depends(the_same)) -> int:
    assert db is other
    return int(await db.scalar(select(func.count(Note.id))) or 0)


@service.get("/notes/write")
async def write_in_a_read(db: Session) -> None:
    db.add(Note(id="sneaky"))


router = Router()


@router.post("/nested", status_code=201)
async def nested(body: NewNote, db: Session) -> None:
    db.add(Note(id=body.id))


service.include_router(router)


@service.websocket("/ws")
async def socket(socket: WebSocket, db: Session) -> None:
    await socket.accept()


async def stored(service: Service[Any]) -> set[str]:
    async with service.database.read() as db:
        return set(await db.scalars(select(Note.id)))


async def test_what_a_handler_writes_is_committed_before_the_response_begins(run: Any, tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def on_start(answer: Any) -> None:
        with closing(sqlite3.connect(tmp_path / "notes.db")) as other:
            seen.append({row[0] for row in other.execute("SELECT id FROM note")})

    async with run(service) as call:
        answer = await call("POST", "/notes", json_body={"id": "a"}, on_start=on_start)
        assert (answer.status, seen) == (201, [{"a"}])
        answer = await call("POST", "/nested", json_body={"id": "b"}, on_start=on_start)
        assert (answer.status, seen) == (201, [{"a"}, {"a", "b"}])
        assert await stored(service) == {"a", "b"}
        assert (await call("GET", "/notes")).json() == 2


async def test_a_constraint_that_breaks_at_the_commit_is_an_error_response(run: Any) -> None:
    async with run(service) as call:
        answer = await call("POST", "/notes", json_body={"id": "a", "parent": "nobody"})
        assert (answer.status, answer.json()["code"]) == (409, "conflict")
        assert await stored(service) == set()


@pytest.mark.parametrize(("error", "status"), [(Unavailable("the disk is full"), 503), (OSError("lost"), 500)])
async def test_a_failed_commit_is_never_a_201(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async with run(service) as call:
        real = service.database.transaction

        @asynccontextmanager
        async def failing() -> AsyncIterator[AsyncSession]:
            async with real() as session:
                yield session
                raise error

        monkeypatch.setattr(service.database, "transaction", failing)
        answer = await call("POST", "/notes", json_body={"id": "a"})
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert await stored(service) == set()


@pytest.mark.parametrize(("how", "status"), [("http", 409), ("hanse", 409), ("bug", 500)])
async def test_a_handler_that_raises_leaves_nothing(run: Any, how: str, status: int) -> None:
    async with run(service) as call:
        assert (await call("POST", f"/notes/x/fail/{how}")).status == status
        assert await stored(service) == set()
        assert (await call("POST", "/notes", json_body={"id": "x"})).status == 201


async def test_get_only_reads(run: Any) -> None:
    async with run(service) as call:
        assert (await call("GET", "/notes/write")).status == 500
        assert await stored(service) == set()


async def test_a_body_that_is_refused_opens_no_transaction(run: Any) -> None:
    async with run(service) as call, service.database.transaction() as db:
        db.add(Note(id="holds the lock"))
        await db.flush()
        async with asyncio.timeout(2):
            assert (await call("POST", "/notes", json_body={})).status == 422


async def test_a_websocket_has_no_session(run: Any) -> None:
    async with run(service) as call:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "root_path": ""}
        await service(scope, receive, send)
        assert sent[-1] == {"type": "websocket.close", "code": 1011}
        assert any(
            "a WebSocket has no Session" in line["exception"]["message"] for line in call.log if "exception" in line
        )


async def test_a_service_with_sessions_needs_a_database_url(run: Any) -> None:
    with pytest.raises(ConfigurationError, match="set HANSE_DATABASE_URL"):
        async with run(service, database_url=None):
            pass
