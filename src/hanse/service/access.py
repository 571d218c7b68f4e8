"""Access: what a route asks of whoever calls it, checked before anything else of the request is looked at."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from hanse.core import Principal
from hanse.core.errors import ConfigurationError, PermissionDenied
from hanse.service.dependencies import node_of


def guards(*, auth: bool, scope: str | None, role: str | None, internal: bool) -> list[Any]:
    """The dependencies that stand in front of a route.

    Args:
        auth: a signed-in user.
        scope, role: which that user must have; either implies `auth`.
        internal: a service of the system.

    Raises:
        ConfigurationError: an empty scope or role.
    """
    if scope == "" or role == "":
        raise ConfigurationError("a scope or role that a route asks for can't be empty")
    found: list[Any] = []
    if internal:
        found.append(Depends(_service))
    if auth or scope or role:
        found.append(Depends(_user(scope, role)))
    return found


async def _service(connection: HTTPConnection) -> Principal:
    return node_of(connection).parts.identity.caller(connection)


def _user(scope: str | None, role: str | None) -> Callable[[HTTPConnection], Awaitable[Principal]]:
    async def check(connection: HTTPConnection) -> Principal:
        principal = node_of(connection).parts.identity.user(connection)
        if role is not None and role not in principal.roles:
            raise PermissionDenied(f'this needs the role "{role}"', role=role)
        if scope is not None and scope not in principal.scopes:
            raise PermissionDenied(f'this needs the scope "{scope}"', scope=scope)
        return principal

    return check
