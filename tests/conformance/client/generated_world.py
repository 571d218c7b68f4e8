"""A small service with everything that a generated client must cope with; and ways to check and run such a client."""

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Header, Query
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, Field

from hanse import Service
from hanse.client import HttpRequest, HttpResponse, MemoryNetwork
from hanse.core import Env

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent

small = Service("small", version="2.1.0")


class Colour(StrEnum):
    RED = "red"
    DARK_RED = "dark-red"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Tree(BaseModel):
    """A tree. It says "tree"."""

    label: str
    children: list["Tree"] = []


class Thing(BaseModel):
    """Everything at once."""

    id: UUID
    userId: str  # noqa: N815
    price: Decimal
    at: datetime
    day: date | None = None
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    json_: str = Field("x", alias="json")
    date_: str = Field("y", alias="date")
    pair: tuple[int, str] = (1, "a")
    counts: dict[str, int] = {}
    pet: Cat | Dog | None = None
    anything: Any = None


class Change(BaseModel):
    name: str | None = None
    size: int | None = None


@small.get("/things/{thing_id}/at/{day}")
async def read_thing(thing_id: UUID, day: date) -> Thing:
    """One thing."""
    return Thing(id=thing_id, userId="u", price=Decimal("1.10"), at=datetime(2026, 1, 2), day=day, pet=Dog(name="Rex"))  # type: ignore[call-arg, unused-ignore]


@small.post("/things", status_code=201)
async def make_thing(body: Thing) -> Thing:
    return body


@small.patch("/things/{thing_id}")
async def change_thing(thing_id: str, body: Change) -> dict[str, Any]:
    return {"id": thing_id, "given": sorted(body.model_fields_set)}


@small.get("/pets/{name}")
async def read_pet(name: str) -> Cat | Dog:
    return Cat() if name == "tom" else Dog(name=name)


@small.get("/pet-names")
async def maybe_list(full: bool = False) -> list[str] | None:
    return ["tom"] if full else None


@small.put("/tree")
async def keep_tree(body: Tree) -> Tree:
    return body


@small.post("/trees")
async def many_trees(body: list[Tree]) -> int:
    return len(body)


@small.get("/search")
async def search(
    q: str,
    tag: Annotated[list[str] | None, Query()] = None,
    in_: Annotated[str, Query(alias="in")] = "all",
    colour: Colour | None = None,
    since: datetime | None = None,
    exact: bool = False,
    userId: str = "",  # noqa: N803
) -> dict[str, str]:
    asked = {"q": q, "tag": tag, "in": in_, "colour": colour, "since": since, "exact": exact, "user": userId}
    return {name: str(value) for name, value in asked.items()}


@small.get("/class")
async def read_class(x_tenant: Annotated[str | None, Header()] = None, page: int = 1) -> str:
    return f"{x_tenant} {page}"


@small.delete("/things/{thing_id}", status_code=204)
async def delete_thing(thing_id: str) -> None:
    return None


@small.get("/text", response_class=PlainTextResponse)
async def text() -> str:
    return "plain"


@small.get("/untyped")
async def untyped():  # type: ignore[no-untyped-def]
    return {"a": [1]}


class Events(StreamingResponse):
    media_type = "text/event-stream"


@small.get("/events", response_class=Events)
async def watch_events(after: int = 0) -> Events:
    async def lines() -> AsyncIterator[str]:
        yield f"id: {after + 1}\ndata: one\n\n"
        yield "data: two\n\n"

    return Events(lines())


def checked(source: str, folder: Path, name: str) -> ModuleType:
    """The module, after mypy --strict, ruff and the formatter have passed it, with this project's rules and without."""
    file = folder / f"{name}.py"
    file.write_text(source)
    config = str(ROOT / "pyproject.toml")
    for command in (
        ["ruff", "check", "--config", config],
        ["ruff", "check", "--isolated"],
        ["ruff", "format", "--check", "--config", config],
        ["mypy", "--strict", "--config-file", "", "--cache-dir", str(folder / "mypy")],
    ):
        done = subprocess.run([BIN / command[0], *command[1:], file], capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, f"{' '.join(command[:2])}:\n{done.stdout}{done.stderr}\n{source}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pydantic looks for the types that annotations name
    spec.loader.exec_module(module)
    return module


def serve(network: MemoryNetwork, address: str, env: Env, app: Service[Any]) -> None:
    """Have an ASGI application answer at an address in memory."""

    async def handle(request: HttpRequest) -> HttpResponse:
        path, _, query = request.url.split("/", 3)[3].partition("?")
        body = request.body if isinstance(request.body, bytes) else b""
        headers = {**request.headers, "content-length": str(len(body))}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": "/" + _unquoted(path),
            "raw_path": b"/" + path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        received = [{"type": "http.request", "body": body}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return received.pop() if received else await asyncio.get_running_loop().create_future()

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return HttpResponse(sent[0]["status"], told, b"".join(part.get("body", b"") for part in sent[1:]))

    network.listen(address, env, handle)


def _unquoted(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)
