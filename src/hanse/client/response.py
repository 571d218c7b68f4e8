"""An answer of a service, and its decoding into the caller's types."""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from hanse.client.call import Call
from hanse.client.errors import InvalidResponse, UpstreamError
from hanse.client.transport import HttpResponse


class Response:
    """A complete answer, of any status."""

    __slots__ = ("_answer", "attempts", "body", "correlation_id", "instance", "service", "status")

    def __init__(self, answer: HttpResponse, service: str, instance: str, attempts: int, correlation_id: str) -> None:
        self.status: int = answer.status
        self.body: bytes = answer.body
        self.service = service
        self.instance = instance
        """Id of the instance that answered."""
        self.attempts = attempts
        """How many attempts were made, this one included."""
        self.correlation_id = correlation_id
        """Under which the call was made."""
        self._answer = answer

    @classmethod
    def of(cls, call: Call, answer: HttpResponse) -> "Response":
        """The answer to `call`."""
        return cls(answer, call.service, call.answered_by, call.attempts, call.headers["x-correlation-id"])

    @property
    def headers(self) -> Mapping[str, str]:
        """Looked up by names in lower case."""
        return self._answer.headers

    def failure(self, text: str, **facts: Any) -> InvalidResponse:
        """An error that says `text` and who answered."""
        error = InvalidResponse(f"{self.service} answered {self.status} with a body that is {text}", **facts)
        error.service, error.instance = self.service, self.instance
        error.attempts, error.correlation_id = self.attempts, self.correlation_id
        return error

    @property
    def succeeded(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            InvalidResponse: it is none.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise self.failure("not JSON") from error

    def value(self) -> Any:
        """The body by its content type: JSON decoded, text as str, anything else as bytes; None when empty."""
        if not self.body:
            return None
        kind = self.headers.get("content-type", "")
        if "json" in kind:
            return self.json()
        return self.text if kind.startswith("text/") else self.body

    def raise_for_status(self) -> None:
        """Raises `UpstreamError` unless the status is 2xx."""
        if not 200 <= self.status < 300:
            raise UpstreamError(
                self.status, self._problem(), self.service, self.instance, self.attempts, self.correlation_id
            )

    def _problem(self) -> dict[str, Any]:
        if "json" not in self.headers.get("content-type", ""):
            return {}
        try:
            problem = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return problem if isinstance(problem, dict) else {}


class Decoder:
    """Decodes bodies into models; what pydantic compiles for a model is kept."""

    def __init__(self) -> None:
        self._adapters: dict[Any, TypeAdapter[Any]] = {}

    def decode(self, response: Response, model: Any) -> Any:
        """The body as `model`: anything that pydantic can validate, for example `Order` or `list[Order]`.

        Raises:
            InvalidResponse: the body does not fit; `details["errors"]` says where.
        """
        adapter = self._adapters.get(model)
        if adapter is None:
            adapter = self._adapters[model] = TypeAdapter(model)
        try:
            return adapter.validate_json(response.body)
        except ValidationError as error:
            places = [
                {"loc": list(found["loc"]), "msg": found["msg"], "type": found["type"]} for found in error.errors()[:10]
            ]
            raise response.failure(f"no {_name(model)}", service=response.service, errors=places) from error


def _name(model: Any) -> str:
    return model.__name__ if isinstance(model, type) else str(model)
