"""Notifications' endpoints."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from hanse import Session, User
from hanse.core import Principal
from shop.notifications.domain import ADMINS
from shop.notifications.service import service
from shop.notifications.store import Notification, mark_read, page_for, unread
from shop.paging import Page, PageQuery

ADMIN = "admin"


class NotificationView(BaseModel):
    """A notification as its recipient sees it."""

    id: str
    kind: str
    subject: str
    title: str
    body: str
    created_at: datetime
    read: bool

    @classmethod
    def of(cls, notification: Notification) -> "NotificationView":
        return cls(
            id=notification.id,
            kind=notification.kind,
            subject=notification.subject,
            title=notification.title,
            body=notification.body,
            created_at=notification.created_at,
            read=notification.read_at is not None,
        )


class Inbox(Page[NotificationView]):
    """One page of notifications, with the number of unread ones in all."""

    unread: int


class MarkRead(BaseModel):
    """Which notifications were read."""

    ids: Annotated[list[str], Field(min_length=1, max_length=500)]


class Marked(BaseModel):
    """What marking has changed."""

    marked: int
    """How many were unread until now."""
    unread: int


def inboxes(user: Principal) -> tuple[str, ...]:
    """The recipients whose notifications a user sees: themselves, and for admins the shop's inbox."""
    return (user.subject, ADMINS) if ADMIN in user.roles else (user.subject,)


@service.get("/notifications")
async def list_notifications(
    user: User, paging: PageQuery, db: Session, unread_only: Annotated[bool, Query()] = False
) -> Inbox:
    """The user's notifications, latest first."""
    mine = inboxes(user)
    found, total = await page_for(db, mine, unread_only=unread_only, offset=paging.offset, limit=paging.limit)
    page = Page.of([NotificationView.of(notification) for notification in found], paging, total)
    return Inbox(items=page.items, pagination=page.pagination, unread=await unread(db, mine))


@service.post("/notifications/mark-read")
async def mark(body: MarkRead, user: User, db: Session) -> Marked:
    """Mark notifications as read; ids of others' are ignored."""
    mine = inboxes(user)
    marked = await mark_read(db, mine, body.ids, service.env.clock.utc())
    return Marked(marked=marked, unread=await unread(db, mine))
