"""The tree of paths answers as the router does, on any routes and any paths."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from hanse import Service
from hanse.service import Router
from hanse.service.paths import Paths

SEGMENTS = ["a", "b", "{x}", "{y}", "{n:int}", "{p:path}", "v{x}", "{x}.json", ""]
VALUES = ["a", "b", "7", "va", "a.json", "", "c d", "ü", "a\n"]


async def outcome(app: Any, method: str, path: str) -> tuple[Any, ...]:
    """What was called, with what; or how it was refused."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"x")],
        "scheme": "http",
        "server": ("x", 80),
        "client": None,
        "app": app,
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        scope["fastapi_middleware_astack"] = stack
        try:
            await app(scope, receive, send)
        except HTTPException as error:
            return ("refused", error.status_code, sorted((error.headers or {}).items()))
    location = [value for name, value in sent[0]["headers"] if name == b"location"]
    return (sent[0]["status"], location, sent[1].get("body"))


def endpoint(name: str) -> Any:
    async def answer(request: Request) -> dict[str, Any]:
        route = request.scope.get("fastapi", {}).get("effective_route_context") or request.scope["route"]
        params = {key: str(value) for key, value in request.path_params.items()}
        return {"endpoint": name, "params": params, "route": route.path_format}

    return answer


def distinct(path: str) -> bool:
    names = [part.partition("}")[0].partition(":")[0] for part in path.split("{")[1:]]
    return len(names) == len(set(names))


paths = (
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4)
    .map(lambda parts: "/" + "/".join(parts))
    .filter(distinct)
)
methods = st.sampled_from(["GET", "POST"])
asked = st.lists(st.sampled_from(VALUES), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(methods, paths, st.booleans()), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from(["GET", "POST", "PUT"]), asked), min_size=1, max_size=12),
)
async def test_it_answers_as_the_router_does(
    routes: list[tuple[str, str, bool]], requests: list[tuple[str, str]]
) -> None:
    app = FastAPI(docs_url="/a", redoc_url=None)
    nested = APIRouter()
    for number, (method, path, inside) in enumerate(routes):
        (nested if inside else app.router).add_api_route(path, endpoint(str(number)), methods=[method])
    app.include_router(nested, prefix="/b")
    tree = Paths(app.router)
    for method, path in requests:
        assert await outcome(tree, method, path) == await outcome(app.router, method, path), (method, path)


@pytest.fixture
def many() -> Service:
    service = Service("many")
    inner = Router()
    for number in range(40):
        service.get(f"/thing{number}/{{id}}")(endpoint(f"thing{number}"))
        inner.get(f"/inner{number}/{{id}}")(endpoint(f"inner{number}"))
    service.include_router(inner, prefix="/in")
    return service


async def test_the_router_is_not_asked_for_what_the_tree_knows(many: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Paths(many.router)

    async def never(*_: Any) -> None:
        raise AssertionError("the router was asked")

    monkeypatch.setattr(APIRouter, "__call__", never)
    assert (await outcome(tree, "GET", "/thing39/x"))[2] == (
        b'{"endpoint":"thing39","params":{"id":"x"},"route":"/thing39/{id}"}'
    )
    assert b'"route":"/in/inner39/{id}"' in (await outcome(tree, "GET", "/in/inner39/x"))[2]


async def test_routes_that_are_added_later_are_found(many: Service) -> None:
    tree = Paths(many.router)
    assert (await outcome(tree, "GET", "/late/x"))[1] == 404
    many.get("/late/{id}")(endpoint("late"))
    assert b'"late"' in (await outcome(tree, "GET", "/late/x"))[2]


async def test_what_is_mounted_first_comes_first() -> None:
    service = Service("mounts", docs_url=None, redoc_url=None, openapi_url=None)
    inner = FastAPI()
    inner.get("/x")(endpoint("inner"))
    service.mount("/sub", inner)
    service.get("/sub/x")(endpoint("outer"))
    assert b'"inner"' in (await outcome(Paths(service.router), "GET", "/sub/x"))[2]


async def test_a_service_uses_it(run: Any, many: Service) -> None:
    async with run(many) as call:
        assert (await call("GET", "/in/inner7/x")).json()["endpoint"] == "inner7"
        assert 'http_route="/in/inner7/{id}"' in (await call("GET", "/metrics")).body.decode()
        assert (await call("POST", "/in/inner7/x")).status == 405
        assert (await call("GET", "/docs")).status == 200
        assert (await call("GET", "/openapi.json")).status == 200
