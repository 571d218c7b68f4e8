"""Every service's migrations lead to the schema that its models describe."""

from importlib import import_module
from pathlib import Path

import pytest

from hanse.core import Env
from hanse.db import Database, schema_differences

SERVICES = ["users", "catalog", "inventory", "cart", "orders", "payments", "notifications"]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_migrated_database_equals_a_fresh_one(service: str, tmp_path: Path) -> None:
    store = import_module(f"shop.{service}.store")
    import_module("shop.catalog.search_index")
    env = Env.build("test")
    assert store.__file__ is not None
    database = Database(
        env,
        f"sqlite:///{tmp_path}/{service}.db",
        metadata=store.metadata,
        migrations=Path(store.__file__).parent / "migrations",
    )
    await database.start()
    try:
        assert await schema_differences(database) == []
    finally:
        await database.stop()
        await env.scope.close()
