"""The typed face of a client: one method per HTTP verb."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar, Unpack, overload

from hanse.client.response import Decoder, Response

T = TypeVar("T")


class CallOptions(TypedDict, total=False):
    """What every verb takes beside path, body and model."""

    params: Mapping[str, Any] | None
    """Query; None values are left out, lists are repeated."""
    headers: Mapping[str, str] | None
    """Added to those that the client sends by itself."""
    timeout: float | None
    """Seconds for this call instead of the client's own."""
    idempotency_key: str | None
    """Makes the call safe to repeat: the service answers the same key with the same result."""


class Verbs(ABC):
    """`get`, `post`, `put`, `patch`, `delete`.

    Args of all:
        path: begins with "/"; values in it must be quoted by the caller.
        json: the body: anything that pydantic can serialise, models included. None: no body.
        response_model: what the answer must be; anything that pydantic can validate.
        options: see `CallOptions`.

    Returns: an instance of `response_model`; without one the decoded JSON, text as str, other content as bytes, and
    None for an empty body.

    Raises:
        UpstreamError: the service answered something else than 2xx.
        InvalidResponse: the answer is no `response_model`.
        Unavailable: nothing was sent, or certainly nothing happened.
        OutcomeUnknown, DeadlineExceeded: it was sent, and no answer came.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()

    @abstractmethod
    async def request(self, method: str, path: str, *, json: Any = None, **options: Unpack[CallOptions]) -> Response:
        """Make a call and return the answer, whatever its status.

        Raises: as the verbs do, without `UpstreamError` and `InvalidResponse`.
        """

    @overload
    async def get(self, path: str, *, response_model: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def get(self, path: str, *, response_model: None = None, **options: Unpack[CallOptions]) -> Any: ...
    async def get(self, path: str, *, response_model: Any = None, **options: Unpack[CallOptions]) -> Any:
        """Read; repeated when it fails."""
        return self._value(await self.request("GET", path, **options), response_model)

    @overload
    async def post(
        self, path: str, json: Any = None, *, response_model: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def post(
        self, path: str, json: Any = None, *, response_model: None = None, **options: Unpack[CallOptions]
    ) -> Any: ...
    async def post(
        self, path: str, json: Any = None, *, response_model: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Create or do; repeated only with an idempotency key, or when nothing was sent."""
        return self._value(await self.request("POST", path, json=json, **options), response_model)

    @overload
    async def put(
        self, path: str, json: Any = None, *, response_model: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def put(
        self, path: str, json: Any = None, *, response_model: None = None, **options: Unpack[CallOptions]
    ) -> Any: ...
    async def put(
        self, path: str, json: Any = None, *, response_model: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Replace; repeated when it fails."""
        return self._value(await self.request("PUT", path, json=json, **options), response_model)

    @overload
    async def patch(
        self, path: str, json: Any = None, *, response_model: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def patch(
        self, path: str, json: Any = None, *, response_model: None = None, **options: Unpack[CallOptions]
    ) -> Any: ...
    async def patch(
        self, path: str, json: Any = None, *, response_model: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Change; repeated only with an idempotency key, or when nothing was sent."""
        return self._value(await self.request("PATCH", path, json=json, **options), response_model)

    @overload
    async def delete(
        self, path: str, json: Any = None, *, response_model: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def delete(
        self, path: str, json: Any = None, *, response_model: None = None, **options: Unpack[CallOptions]
    ) -> Any: ...
    async def delete(
        self, path: str, json: Any = None, *, response_model: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Remove; repeated when it fails."""
        return self._value(await self.request("DELETE", path, json=json, **options), response_model)

    def _value(self, response: Response, model: Any) -> Any:
        response.raise_for_status()
        return response.value() if model is None else self._decoder.decode(response, model)
