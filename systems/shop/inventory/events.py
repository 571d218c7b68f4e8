"""The events that inventory publishes."""

from pydantic import BaseModel

from hanse import event


@event("stock.depleted", version=1, key="product_id")
class StockDepleted(BaseModel):
    """The last available piece of a product is taken."""

    product_id: str
    revision: int
    """Of two stock events of one product the one with the higher revision is the later."""


@event("stock.replenished", version=1, key="product_id")
class StockReplenished(BaseModel):
    """A product that was out of stock can be had again."""

    product_id: str
    revision: int
    available: int


@event("alert.low_stock", version=1, key="product_id")
class LowStock(BaseModel):
    """So little of a product is left that somebody should reorder."""

    product_id: str
    sku: str
    name: str
    available: int
    minimum: int
