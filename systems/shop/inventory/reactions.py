"""What inventory does on others' events and by itself."""

from typing import Any

from pydantic import BaseModel

from hanse import Session
from shop.inventory import stockroom
from shop.inventory.api import publish
from shop.inventory.service import service
from shop.inventory.store import Stock, expired, last_revision

_MIN_STOCK, _MAX_STOCK = 10, 1_000


class ProductNamed(BaseModel):
    """What inventory needs to know of a product that appeared or changed."""

    product_id: str
    sku: str
    name: str


class ProductGone(BaseModel):
    """What inventory needs to know of a product that was deleted."""

    product_id: str


def new_stock(product: ProductNamed, *, revision: int, quantity: int = 0, **details: Any) -> Stock:
    """The row of a product that inventory has not seen before."""
    return Stock(
        product_id=product.product_id,
        sku=product.sku,
        name=product.name,
        quantity=quantity,
        reserved=0,
        sold=0,
        received=quantity,
        min_stock_level=details.get("min_stock_level", _MIN_STOCK),
        max_stock_level=details.get("max_stock_level", _MAX_STOCK),
        location=details.get("location", {}),
        discontinued=False,
        revision=revision,
        updated_at=service.env.clock.utc(),
    )


@service.on("product.created")
async def product_created(message: ProductNamed, db: Session) -> None:
    """Keep stock of a new product, none for a start."""
    if await db.get(Stock, message.product_id) is None:
        db.add(new_stock(message, revision=await last_revision(db) + 1))


@service.on("product.updated")
async def product_updated(message: ProductNamed, db: Session) -> None:
    """Follow a product's name. An update that overtakes its creation creates."""
    stock = await db.get(Stock, message.product_id)
    if stock is None:
        db.add(new_stock(message, revision=await last_revision(db) + 1))
    else:
        stock.sku, stock.name = message.sku, message.name


@service.on("product.deleted")
async def product_deleted(message: ProductGone, db: Session) -> None:
    """Let nobody reserve it any more; what is held stays held."""
    stock = await db.get(Stock, message.product_id)
    if stock is not None:
        stock.discontinued = True


@service.on_start
async def sweep_expired_reservations() -> None:
    """From now on give back what orders hold longer than they may."""
    service.env.scope.supervise(_sweep, name="reservation-expiry")


async def _sweep() -> None:
    """Look again and again; any number of replicas may do so at once."""
    while True:
        await service.env.clock.sleep(service.settings.expiry_sweep_s)
        now = service.env.clock.utc()
        async with service.database.read() as db:
            due = [reservation.order_id for reservation in await expired(db, now)]
        if not due:
            continue
        async with service.database.transaction() as db:
            for reservation in await expired(db, now):
                await publish(db, await stockroom.expire(db, reservation, now=now))
        service.log.info("reservations expired", orders=due)
