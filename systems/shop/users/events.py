"""The events that users publishes."""

from pydantic import BaseModel

from hanse import event


@event("user.registered", version=1, key="user_id")
class UserRegistered(BaseModel):
    """Somebody has an account now."""

    user_id: str
    email: str
    name: str
