"""`Upstream`: what `service.client(name)` gives: declared at import, usable once the service runs."""

from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Unpack

from hanse.client import ClientOptions, Response, ServiceClient, StreamedResponse, Verbs
from hanse.client.verbs import RequestOptions
from hanse.core.errors import ConfigurationError

if TYPE_CHECKING:
    from hanse.service.service import Service


class Upstream(Verbs):
    """Another service, as a module-level name; its verbs are those of `ServiceClient`."""

    def __init__(self, owner: "Service[Any]", service: str, options: ClientOptions) -> None:
        super().__init__()
        self.service = service
        self.options = options
        self._owner = owner

    @property
    def client(self) -> ServiceClient:
        """The client of the running node.

        Raises:
            ConfigurationError: the service is not running.
        """
        node = self._owner.running_node
        if node is None:
            raise ConfigurationError(f'the client of "{self.service}" is usable while "{self._owner.name}" runs')
        return node.parts.clients[self.service]

    async def request(self, method: str, path: str, *, json: Any = None, **options: Unpack[RequestOptions]) -> Response:
        return await self.client.request(method, path, json=json, **options)

    def stream(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        idle_timeout: float | None = None,
        **options: Unpack[RequestOptions],
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        return self.client.stream(method, path, json=json, content=content, idle_timeout=idle_timeout, **options)
