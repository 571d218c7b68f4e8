"""The typed face of a client: one method per HTTP verb."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from inspect import isawaitable
from typing import Any, TypedDict, TypeVar, Unpack, cast, overload

from hanse.client.errors import UpstreamError
from hanse.client.response import Decoder, Response
from hanse.client.streamed import StreamedResponse
from hanse.core.errors import HanseError, OutcomeUnknown

T = TypeVar("T")


class RequestOptions(TypedDict, total=False):
    """What every call takes beside path, body and model."""

    params: Mapping[str, Any] | None
    """Query; None values are left out, lists are repeated."""
    headers: Mapping[str, str] | None
    """Added to those that the client sends by itself."""
    timeout: float | None
    """Seconds for this call instead of the client's own."""
    idempotency_key: str | None
    """Makes the call safe to repeat: the service answers the same key with the same result."""
    hash_key: str | None
    """With `balancing="hash"`: calls with the same key go to the same instance."""


class CallOptions(RequestOptions, total=False):
    """What every verb takes beside path, body and model."""

    fallback: Callable[[HanseError], Any]
    """Gives the result instead, when the service can't be reached, does not answer, or answers with 5xx or 429: not for
    4xx, which are answers. Gets the error; may be async."""


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
    async def request(self, method: str, path: str, *, json: Any = None, **options: Unpack[RequestOptions]) -> Response:
        """Make a call and return the answer, whatever its status.

        Raises: as the verbs do, without `UpstreamError` and `InvalidResponse`.
        """

    @abstractmethod
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
        """Make a call whose body, answer or both are streams; the connection is held inside the `async with` block.

        Until the answer begins it is a call like any other, repeated where that is safe; a body that is an iterator is
        sent once. After that only `idle_timeout` and the deadline of the request being served bound it.

        Args:
            json: the body; or
            content: the body as it is, in pieces if it is an iterator. Give a `content-type` with it.
            idle_timeout: the longest wait in seconds for the next piece of the answer.
            options: see `RequestOptions`; `timeout` bounds the time until the answer begins.

        Raises:
            UpstreamError: the service answered something else than 2xx.
            others: as the verbs.
        """

    @overload
    async def get(self, path: str, *, response_model: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def get(self, path: str, *, response_model: None = None, **options: Unpack[CallOptions]) -> Any: ...
    async def get(self, path: str, *, response_model: Any = None, **options: Unpack[CallOptions]) -> Any:
        """Read; repeated when it fails."""
        if "fallback" in options:
            return await self._or_fallback("GET", path, None, response_model, options)
        return self._value(await self.request("GET", path, **cast(RequestOptions, options)), response_model)

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
        if "fallback" in options:
            return await self._or_fallback("POST", path, json, response_model, options)
        return self._value(await self.request("POST", path, json=json, **cast(RequestOptions, options)), response_model)

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
        if "fallback" in options:
            return await self._or_fallback("PUT", path, json, response_model, options)
        return self._value(await self.request("PUT", path, json=json, **cast(RequestOptions, options)), response_model)

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
        if "fallback" in options:
            return await self._or_fallback("PATCH", path, json, response_model, options)
        return self._value(
            await self.request("PATCH", path, json=json, **cast(RequestOptions, options)), response_model
        )

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
        if "fallback" in options:
            return await self._or_fallback("DELETE", path, json, response_model, options)
        return self._value(
            await self.request("DELETE", path, json=json, **cast(RequestOptions, options)), response_model
        )

    async def _or_fallback(self, method: str, path: str, json: Any, model: Any, options: CallOptions) -> Any:
        fallback = options.pop("fallback")
        try:
            return self._value(await self.request(method, path, json=json, **cast(RequestOptions, options)), model)
        except HanseError as error:
            if not _calls_for_fallback(error):
                raise
            instead = fallback(error)
            return await instead if isawaitable(instead) else instead

    def _value(self, response: Response, model: Any) -> Any:
        if not 200 <= response.status < 300:
            response.raise_for_status()
        return response.value() if model is None else self._decoder.decode(response, model)


def _calls_for_fallback(error: HanseError) -> bool:
    if isinstance(error, UpstreamError):
        return error.upstream_status >= 500 or error.retryable
    return error.retryable or isinstance(error, OutcomeUnknown)
