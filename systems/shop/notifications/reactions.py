"""Which events become notifications, and for whom."""

from pydantic import BaseModel

from hanse import Envelope, Session
from shop.money import Money
from shop.notifications.domain import ADMINS, explain
from shop.notifications.mailroom import Occasion, notify
from shop.notifications.service import service


class OrderNews(BaseModel):
    """What a notification needs to know of an order."""

    order_id: str
    user_id: str
    status: str
    reason: str = ""
    total: Money


class UserNews(BaseModel):
    """What a notification needs to know of a new user."""

    user_id: str
    name: str


class StockNews(BaseModel):
    """What a notification needs to know of stock that runs low."""

    product_id: str
    sku: str
    name: str
    available: int
    minimum: int


@service.on("order.*")
async def order_changed(message: OrderNews, envelope: Envelope, db: Session) -> None:
    """Tell the customer: once per order and status."""
    occasion = Occasion(
        recipient=message.user_id,
        kind=envelope.type,
        subject=message.order_id,
        dedupe=f"order:{message.order_id}:{message.status}",
    )
    fields = {"order_id": message.order_id, "total": message.total, "explanation": explain(message.reason)}
    await notify(db, occasion, fields)


@service.on("user.registered")
async def user_registered(message: UserNews, envelope: Envelope, db: Session) -> None:
    """Welcome somebody."""
    occasion = Occasion(message.user_id, envelope.type, message.user_id, f"user:{message.user_id}:registered")
    await notify(db, occasion, {"name": message.name})


@service.on("alert.low_stock")
async def stock_is_low(message: StockNews, envelope: Envelope, db: Session) -> None:
    """Tell whoever runs the shop; once per alert."""
    occasion = Occasion(ADMINS, envelope.type, message.product_id, f"alert:{envelope.id}")
    await notify(db, occasion, message.model_dump())
