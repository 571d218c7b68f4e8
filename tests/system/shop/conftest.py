"""One shop for all tests of this folder; when they are done, its databases must hold every invariant."""

from collections.abc import Iterator

import pytest
from tests.system.shop.shop_rig import Customer, RunningShop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    shop = RunningShop.start(tmp_path_factory.mktemp("shop"))
    try:
        yield shop
        assert shop.violations() == []
    finally:
        shop.stop()


@pytest.fixture(scope="session")
def admin(shop: RunningShop) -> Customer:
    return shop.admin()


@pytest.fixture
def ida(shop: RunningShop) -> Customer:
    return shop.customer()
