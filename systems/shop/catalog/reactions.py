"""What the catalogue does on others' events."""

from pydantic import BaseModel

from hanse import Envelope, Session
from shop.catalog.service import service
from shop.catalog.store import Product


class StockTurned(BaseModel):
    """What the catalogue needs to know when a product sells out or comes back."""

    product_id: str
    revision: int


@service.on("stock.depleted", "stock.replenished")
async def stock_turned(message: StockTurned, envelope: Envelope, db: Session) -> None:
    """Show whether a product can be had. What arrives late and is older than what is shown is ignored."""
    product = await db.get(Product, message.product_id)
    if product is not None and message.revision > product.stock_revision:
        product.in_stock = envelope.type == "stock.replenished"
        product.stock_revision = message.revision
