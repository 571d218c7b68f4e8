"""First start: the shop's first categories and products."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shop.catalog.service import index, service
from shop.catalog.store import Category, Product
from shop.seed import SeedProduct, categories, products


@service.on_start
async def seed_catalog() -> None:
    """Fill an empty catalogue. Of several replicas that start at once, one does it."""
    if not service.settings.seed:
        return
    async with service.database.read() as db:
        if await _filled(db):
            return
    async with service.database.transaction() as db:
        if await _filled(db):
            return
        for position, category in enumerate(categories()):
            db.add(Category(id=category.id, name=category.name, description=category.description, position=position))
        await db.flush()
        names = {category.id: category.name for category in categories()}
        for age, seed in enumerate(products()):
            product = _product(seed, age)
            db.add(product)
            await index.put(db, product, names[seed.category])
    service.log.info("catalogue seeded", products=len(products()))


def _product(seed: SeedProduct, age: int) -> Product:
    """The row of a seed product; `age` spreads the first products over the days before, for "newest first"."""
    made_at = service.env.clock.utc() - timedelta(days=age)
    return Product(
        id=seed.id,
        sku=seed.sku,
        name=seed.name,
        description=seed.description,
        category_id=seed.category,
        price=seed.price,
        currency=service.settings.currency,
        attributes=seed.attributes,
        in_stock=seed.stock > 0,
        stock_revision=0,
        deleted=False,
        created_at=made_at,
        updated_at=made_at,
    )


async def _filled(db: AsyncSession) -> bool:
    return bool(await db.scalar(select(func.count(Category.id))))
