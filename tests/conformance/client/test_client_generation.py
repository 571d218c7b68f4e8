"""Generated clients: they pass mypy --strict and ruff, and talk to the service that they were made of."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from tests.conformance.client.generated_world import checked, serve, small

from hanse import Service
from hanse.cli.main import main
from hanse.client import MemoryNetwork, MemoryTransport, ServiceClient, UpstreamError
from hanse.client.generation import client_source
from hanse.config import ServiceSettings
from hanse.core import Env, Principal, RequestContext, use
from hanse.registry import Instance
from hanse.registry.memory import MemoryBoard, MemoryRegistry
from hanse.security import SigningKey, TokenIssuer, write_jwks

ACCOUNT = "#/components/schemas/user.account"
THING = UUID("0192f0c1-2345-7abc-8def-0123456789ab")
USE = '''"""A use of the generated client, for the type checker."""
# ruff: noqa: I001, RUF100

from datetime import date, datetime
from uuid import UUID

from hanse.client import ServiceClient
from small_client_generated import Cat, Dog, SmallClient, ThingInput, ThingOutput


async def use(client: ServiceClient) -> None:
    small = SmallClient(client)
    thing: ThingOutput = await small.read_thing(UUID(int=1), date(2026, 1, 2))
    at = datetime(2026, 1, 1)
    made = await small.make_thing(ThingInput(id=UUID(int=1), user_id="v", price="2.5", at=at, json_="j"))
    pet: Cat | Dog = await small.read_pet("tom")
    names: list[str] | None = await small.maybe_list(full=True)
    print(thing.user_id, made.pair, pet, names, await small.many_trees([]) + 1)
'''
Connect = Callable[[Service[Any]], Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    source = client_source(small.openapi(), service="small")
    folder = tmp_path_factory.mktemp("small")
    module = checked(source, folder, "small_client_generated")
    checked(USE, folder, "small_client_used")
    return module


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    """Runs a service in this process and gives a client of it."""
    env, network = Env.build("test"), MemoryNetwork()
    async with AsyncExitStack() as stack:
        registry = MemoryRegistry(env, board=MemoryBoard())
        await registry.start()
        stack.push_async_callback(env.scope.close)
        stack.push_async_callback(registry.stop)

        async def connect(service: Service[Any]) -> ServiceClient:
            settings = ServiceSettings(
                system="shop",
                issuer="shop/users",
                jwks_file=tmp_path / "jwks.json" if (tmp_path / "jwks.json").exists() else None,
                broker_url=f"memory://{tmp_path.name}",
                database_url=f"sqlite:///{tmp_path}/{service.name}.db",
            )
            await stack.enter_async_context(service.running(settings))
            serve(network, "10.0.0.1:1", env, service)
            await registry.register(Instance(service.name, "a", "10.0.0.1", 1))
            client = ServiceClient(env, service.name, registry, transport=MemoryTransport(env, network))
            await client.start()
            stack.push_async_callback(client.stop)
            return client

        yield connect


async def test_every_operation_of_a_small_service(made: ModuleType, connect: Connect) -> None:
    client = made.SmallClient(await connect(small))
    thing = await client.read_thing(THING, date(2026, 1, 2), timeout=3)
    assert (thing.id, thing.user_id, thing.price) == (THING, "u", "1.10")
    assert thing.day == date(2026, 1, 2)
    assert thing.pet == made.Dog(name="Rex")
    assert (thing.json_, thing.date_, thing.pair, thing.colour) == ("x", "y", (1, "a"), made.Colour.RED)
    sent = made.ThingInput(
        id=THING, user_id="v", price="2.5", at=datetime(2026, 1, 1, tzinfo=UTC), json_="j", counts={"a": 1}
    )
    again = await client.make_thing(sent, idempotency_key="k")
    assert (again.user_id, again.json_, again.counts) == ("v", "j", {"a": 1})
    assert await client.change_thing("a b?c", made.Change(size=3)) == {"id": "a b?c", "given": ["size"]}
    assert await client.change_thing("x", made.Change(name=None)) == {"id": "x", "given": ["name"]}
    assert await client.read_pet("tom") == made.Cat()
    assert await client.maybe_list(full=True) == ["tom"]
    assert await client.maybe_list() is None
    tree = made.TreeInput(label="a", children=[made.TreeInput(label="b")])
    kept = await client.keep_tree(tree)
    assert (kept.label, kept.children[0].label, kept.children[0].children) == ("a", "b", [])
    assert await client.many_trees([tree, tree]) == 2
    assert await client.delete_thing("x") is None
    assert await client.text() == "plain"
    assert await client.untyped() == {"a": [1]}
    assert await client.read_class(x_tenant="acme", page=2) == "acme 2"
    found = await client.search(
        q="ä", tag=["1", "2"], in_="titles", colour=made.Colour.DARK_RED, exact=True, user_id="u"
    )
    assert found == {
        "q": "ä", "tag": "['1', '2']", "in": "titles", "colour": "dark-red", "since": "None", "exact": "True",
        "user": "u",
    }  # fmt: skip
    async with client.watch_events(after=6) as answer:
        events = [(event.id, event.data) async for event in answer.events()]
    assert events == [("7", "one"), ("7", "two")]


async def test_the_shops_catalogue(tmp_path: Path, connect: Connect) -> None:
    from shop.catalog.app import service

    made = checked(client_source(service.openapi(), service="catalog"), tmp_path, "catalog_client_generated")
    env = Env.build("keys")
    key = SigningKey.generate(env)
    write_jwks(tmp_path / "jwks.json", [key])
    token = TokenIssuer(env, key, "shop/users", "shop").issue("ada", roles=["admin"], ttl_s=60)
    client = made.CatalogClient(await connect(service))
    categories = await client.list_categories()
    assert categories
    results = await client.search_products(q="", sort=made.Sort.MINUS_PRICE, limit=3, in_stock=False)
    assert len(results.items) == 3
    assert results.items[0].price.amount >= results.items[2].price.amount
    assert await client.read_product(results.items[0].id) == results.items[0]
    with pytest.raises(UpstreamError) as caught:
        await client.read_product("nothing/like it")
    assert caught.value.upstream_status == 404
    with use(RequestContext(principal=Principal("ada", token=token))):
        new = made.NewProduct(
            sku="GEN-1", name="Globe", category=categories[0].id, price=made.Money(amount=1, currency="EUR")
        )
        product = await client.create_product(new)
        changed = await client.change_product(product.id, made.ProductChange(name="Big globe"))
        assert (changed.name, changed.price) == ("Big globe", product.price)
        await client.delete_product(product.id)


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "catalog.py"
    assert main(["client", "generate", "shop.catalog.app:service", "-o", str(file), "--class", "Shelves"]) == 0
    assert "7 operations" in capsys.readouterr().out
    assert "class Shelves:" in file.read_text()
    assert main(["client", "generate", "--json", "shop.catalog.app:service"]) == 0
    assert json.loads(capsys.readouterr().out)["service"] == "catalog"


@pytest.mark.parametrize(
    ("service", "code", "says"),
    [("no.such.module:service", 2, "no"), ("hanse.core:nothing", 2, "nothing"), ("http://127.0.0.1:9", 1, "refused")],
)
def test_the_command_says_what_is_wrong(service: str, code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["client", "generate", service]) == code
    assert says in capsys.readouterr().err


def test_documents_by_others() -> None:
    """OpenAPI 3.0 as other frameworks write it: names with dashes, no operation ids, nothing described."""
    document = {
        "openapi": "3.0.3",
        "info": {"title": "Other API", "version": "1"},
        "paths": {
            "/user-accounts/{user-id}": {
                "parameters": [{"name": "user-id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "get": {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": ACCOUNT}}}}}},
                "post": {
                    "requestBody": {"content": {"multipart/form-data": {}}},
                    "responses": {"204": {"description": ""}},
                },
                "put": {
                    "requestBody": {"content": {"application/octet-stream": {}}},
                    "responses": {"default": {"description": ""}},
                },
            }
        },
        "components": {
            "schemas": {
                "user.account": {
                    "type": "object",
                    "properties": {"class": {"type": "string"}, "self-link": {"type": "string", "format": "uri"}},
                }
            }
        },
    }  # fmt: skip
    source = client_source(document, service="other")
    method = "async def get_user_accounts_user_id(self, user_id: str, *, timeout: float | None = None) -> UserAccount:"
    assert method in source
    assert 'class_: str | None = Field(default=None, validation_alias="class", serialization_alias="class")' in source
    assert "POST /user-accounts/{user-id}: takes multipart/form-data" in source
    assert "content: bytes | AsyncIterable[bytes]" in source
    compile(source, "other", "exec")
