"""What inventory tells about stock and reservations."""

from datetime import datetime

from pydantic import BaseModel

from shop.inventory.store import Reservation, Stock


class Location(BaseModel):
    """Where a product lies in the warehouse."""

    warehouse: str = ""
    aisle: str = ""
    shelf: str = ""


class StockView(BaseModel):
    """The stock of one product. `reserved + available = quantity`."""

    product_id: str
    sku: str
    name: str
    quantity: int
    reserved: int
    available: int
    min_stock_level: int
    max_stock_level: int
    low: bool
    """Less is available than the minimum."""
    location: Location
    discontinued: bool
    updated_at: datetime

    @classmethod
    def of(cls, stock: Stock) -> "StockView":
        available = stock.level.available
        return cls(
            product_id=stock.product_id,
            sku=stock.sku,
            name=stock.name,
            quantity=stock.quantity,
            reserved=stock.reserved,
            available=available,
            min_stock_level=stock.min_stock_level,
            max_stock_level=stock.max_stock_level,
            low=available < stock.min_stock_level,
            location=Location.model_validate(stock.location),
            discontinued=stock.discontinued,
            updated_at=stock.updated_at,
        )


class StockNews(BaseModel):
    """One message of the live stream."""

    product_id: str
    quantity: int
    reserved: int
    available: int

    @classmethod
    def of(cls, stock: Stock) -> "StockNews":
        return cls(
            product_id=stock.product_id,
            quantity=stock.quantity,
            reserved=stock.reserved,
            available=stock.level.available,
        )


class ReservationView(BaseModel):
    """What an order holds or has bought."""

    order_id: str
    state: str
    items: dict[str, int]
    """Pieces by product id."""
    expires_at: datetime

    @classmethod
    def of(cls, reservation: Reservation) -> "ReservationView":
        return cls(
            order_id=reservation.order_id,
            state=reservation.state,
            items=reservation.lines,
            expires_at=reservation.expires_at,
        )
