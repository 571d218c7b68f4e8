"""The mailroom: makes notifications, each once, inside the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from hanse.db import on_commit
from shop.notifications.domain import TEMPLATES
from shop.notifications.service import changes, service
from shop.notifications.store import make


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why somebody is notified."""

    recipient: str
    kind: str
    """The event's type; there is a template of that name."""
    subject: str
    """What it is about, an id."""
    dedupe: str
    """What may be told once only."""


async def notify(db: AsyncSession, occasion: Occasion, fields: Mapping[str, Any]) -> None:
    """Make the notification, unless it was made already."""
    title, body = TEMPLATES[occasion.kind].render(fields)
    notification = {
        "id": service.env.ids.new("ntf"),
        "recipient": occasion.recipient,
        "kind": occasion.kind,
        "subject": occasion.subject,
        "dedupe": occasion.dedupe,
        "title": title[:200],
        "body": body,
        "created_at": service.env.clock.utc(),
        "read_at": None,
    }
    if await make(db, notification):
        on_commit(db, lambda: changes.notify(occasion.recipient))
