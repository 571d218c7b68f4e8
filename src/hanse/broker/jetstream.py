"""The JetStream calls that Hanse needs, as plain requests with their errors told apart."""

from typing import Any

import orjson

from hanse.broker.link import REQUEST_TIMEOUT_S, Link
from hanse.core.errors import HanseError, PermissionDenied, Unavailable

NANOS = 1_000_000_000
_NAME_IN_USE = 10058
_TEMPORARY = (503, 408)


class JetStreamError(HanseError):
    """JetStream refused a call. `details` has its `code` (as in HTTP) and `err_code` (docs.nats.io, error list)."""

    code = "jetstream"

    @property
    def not_found(self) -> bool:
        return self.details.get("code") == 404


class JetStream:
    """Calls of the JetStream API on a link. Source: docs.nats.io/reference/reference-protocols/nats_api_reference."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def call(
        self, api: str, body: dict[str, Any] | None = None, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> dict[str, Any]:
        """One request to `$JS.API.<api>`.

        Raises:
            JetStreamError: the server says no.
            Unavailable: not connected, or JetStream is not (yet) running there.
            OutcomeUnknown, PermissionDenied: see `Link.request`.
        """
        payload = b"" if body is None else orjson.dumps(body)
        answer: dict[str, Any] = orjson.loads(await self._link.request(f"$JS.API.{api}", payload, timeout_s=timeout_s))
        if (error := answer.get("error")) is not None:
            text = f"JetStream refuses {api}: {error.get('description', 'no reason given')}"
            if error.get("code") in _TEMPORARY:
                raise Unavailable(text)
            raise JetStreamError(text, code=error.get("code"), err_code=error.get("err_code"))
        return answer

    async def ensure_stream(self, config: dict[str, Any]) -> str:
        """Have a stream exist. One that exists with other settings stays as its operator made it.

        A client without the right to create streams takes for granted that the platform has made it.

        Returns:
            When the server made it, as the server writes it; empty when this client may not know.
        """
        try:
            answer = await self.call(f"STREAM.CREATE.{config['name']}", config)
        except JetStreamError as error:
            if error.details.get("err_code") != _NAME_IN_USE:
                raise
            answer = await self.call(f"STREAM.INFO.{config['name']}")
        except PermissionDenied:
            return ""
        return str(answer["created"])

    async def ensure_consumer(self, stream: str, config: dict[str, Any]) -> None:
        """Have a durable consumer exist with these settings; an existing one is brought in line where possible.

        A client without the right to create consumers takes for granted that the platform has made it.

        Raises:
            JetStreamError: a setting can't be changed, or the stream does not exist.
        """
        body = {"stream_name": stream, "config": config, "action": ""}
        try:
            await self.call(f"CONSUMER.CREATE.{stream}.{config['name']}", body)
        except PermissionDenied:
            return
