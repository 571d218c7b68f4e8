"""`Session`, `User`, `MaybeUser`, `Caller`: what a handler asks for by naming it as a parameter's type."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from hanse.core import Principal
from hanse.core.errors import ConfigurationError

if TYPE_CHECKING:
    from hanse.service.node import Node

_SESSION = "hanse.session"
_READS = ("GET", "HEAD")


def node_of(connection: HTTPConnection) -> "Node":
    """The node that serves this request."""
    node: Node | None = getattr(connection.app, "running_node", None)
    if node is None:
        raise ConfigurationError("Session, User and Caller work in the handlers of a hanse Service only")
    return node


async def session(connection: HTTPConnection) -> AsyncSession:
    """The request's session, opened at first use and shared by everything that serves the request.

    It ends with the handler and its dependencies, before the response is sent: a failed commit is an error response.

    Raises:
        ConfigurationError: a WebSocket asks for one (it would hold it as long as it lives), or there is no database.
    """
    scope = connection.scope
    opened: AsyncSession | None = scope.get(_SESSION)
    if opened is None:
        if scope["type"] != "http":
            raise ConfigurationError("a WebSocket has no Session: use service.database.read() or .transaction()")
        database = node_of(connection).parts.database
        if database is None:
            raise ConfigurationError("this service has no database: give it models=… and HANSE_DATABASE_URL")
        # FastAPI closes this stack after the handler has returned and before it sends the response (what it calls
        # dependency scope "function"); entering it directly saves a generator and a cancel scope per request.
        stack: AsyncExitStack = scope["fastapi_function_astack"]
        reads = scope["method"] in _READS
        opened = await stack.enter_async_context(database.read() if reads else database.transaction())
        scope[_SESSION] = opened
    return opened


async def user(connection: HTTPConnection) -> Principal:
    """The user; 401 when there is none."""
    return node_of(connection).parts.identity.user(connection)


async def maybe_user(connection: HTTPConnection) -> Principal | None:
    """The user, or None when the request carries no token; a token that is not valid is still a 401."""
    identity = node_of(connection).parts.identity
    return None if identity.offered(connection) is None else identity.user(connection)


async def caller(connection: HTTPConnection) -> Principal:
    """The calling service; 401 or 403 when it is none."""
    return node_of(connection).parts.identity.caller(connection)


Session = Annotated[AsyncSession, Depends(session)]
"""The database session of the request: for GET and HEAD it only reads; otherwise it is one transaction, committed
before the response is sent, and rolled back when the handler raises. The lock is taken at its first statement."""

User = Annotated[Principal, Depends(user)]
"""The signed-in user; a request without a valid user's token is answered with 401."""

MaybeUser = Annotated[Principal | None, Depends(maybe_user)]
"""The signed-in user, or None."""

Caller = Annotated[Principal, Depends(caller)]
"""The service that calls; anybody else is answered with 401 or 403."""
