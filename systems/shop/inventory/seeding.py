"""First start: the stock of the shop's first products."""

from sqlalchemy import func, select

from shop.inventory.reactions import ProductNamed, new_stock
from shop.inventory.service import service
from shop.inventory.store import Movement, Stock
from shop.seed import products


@service.on_start
async def seed_stock() -> None:
    """Fill an empty stockroom. Of several replicas that start at once, one does it."""
    if not service.settings.seed:
        return
    async with service.database.read() as db:
        if await db.scalar(select(func.count(Stock.product_id))):
            return
    now = service.env.clock.utc()
    async with service.database.transaction() as db:
        if await db.scalar(select(func.count(Stock.product_id))):
            return
        for revision, product in enumerate(products(), start=1):
            named = ProductNamed(product_id=product.id, sku=product.sku, name=product.name)
            shelf = {"warehouse": "Lübeck", "aisle": product.category[:1].upper(), "shelf": str(revision)}
            db.add(
                new_stock(
                    named, revision=revision, quantity=product.stock, min_stock_level=product.minimum, location=shelf
                )
            )
        await db.flush()
        for product in products():
            if product.stock:
                db.add(
                    Movement(
                        product_id=product.id, kind="received", delta=product.stock, reference="first stock", at=now
                    )
                )
