"""Operations: what can be asked of a service, each as one method of its client."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hanse.client.generation.layout import docstring, literal, wrapped
from hanse.client.generation.names import class_name, identifier, unique
from hanse.client.generation.types import Types

_JSON = "application/json"
_EVENTS = "text/event-stream"
_FEW = 4
_RESERVED = {"self", "body", "content", "timeout", "idempotency_key", "query"}
_OWN_HEADERS = {
    "authorization",
    "x-service-authorization",
    "x-correlation-id",
    "x-request-timeout-ms",
    "idempotency-key",
}
_CLASS = re.compile(r"(?!Literal\b)[A-Za-z_][\w.]*(\[.*\])?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that a caller gives beside the body."""

    wire: str
    own: str
    kind: str
    required: bool
    place: str


@dataclass(slots=True)
class Operation:
    """One path and method.

    Attributes:
        lines: of its method; empty when it is left out.
        left_out: why, if it is.
    """

    lines: list[str] = field(default_factory=list)
    left_out: str = ""


def operation(types: Types, path: str, method: str, told: Mapping[str, Any], taken: set[str]) -> Operation:
    """The method that carries `told` out.

    Args:
        types: collects models and imports.
        told: the operation object of the document, with the path's own parameters.
        taken: names of methods; the one of this is added.
    """
    bodies = told.get("requestBody", {}).get("content", {})
    if bodies and _JSON not in bodies and any(kind.startswith("multipart/") for kind in bodies):
        return Operation(left_out=f"{method.upper()} {path}: takes {', '.join(bodies)}")
    name = unique(_name(path, method, told), taken)
    return Operation(_Writer(types, path, method, told, name).lines())


def _name(path: str, method: str, told: Mapping[str, Any]) -> str:
    """FastAPI's operation ids end with path and method, which say nothing that the name does not."""
    given = str(told.get("operationId") or f"{method}{path}")
    ending = re.sub(r"\W", "_", path) + "_" + method
    return identifier(given.removesuffix(ending) or given)


class _Writer:
    """Writes one method."""

    def __init__(self, types: Types, path: str, method: str, told: Mapping[str, Any], name: str) -> None:
        self._types = types
        self._path = path
        self._method = method
        self._told = told
        self._name = name
        self._hint = class_name(name)
        self._parameters = self._find_parameters()

    def lines(self) -> list[str]:
        status, answer = self._answer()
        bodies = self._told.get("requestBody", {}).get("content", {})
        if (bodies and _JSON not in bodies) or _EVENTS in answer:
            return self._stream(next(iter(bodies), None))
        result = self._result(status, answer)
        body = self._body(bodies)
        call = f"self._client.{self._method}" if self._method != "head" else "self._client.request"
        arguments = [self._url(), *body[1], *self._options()]
        if result not in ("None", "Any", "str", "bytes") and not result.startswith("None"):
            arguments.append(f"response_model={self._model(result)}")
        lines = self._signature("async def", body[0], self._shown(result))
        if result == "None":
            return lines + wrapped("        ", f"await {call}(", arguments, ")")
        if result == "Any":
            return lines + wrapped("        ", f"return await {call}(", arguments, ")")
        lines += wrapped("        ", f"found: {self._model(result)} = await {call}(", arguments, ")")
        return [*lines, "        return found" + ("" if self._model(result) == result else ".root")]

    def _find_parameters(self) -> list[Parameter]:
        taken, found = set(_RESERVED), []
        for told in self._told.get("parameters", ()):
            place, wire = told["in"], told["name"]
            if place == "cookie" or (place == "header" and wire.lower() in _OWN_HEADERS):
                continue
            kind = self._types.expression(told.get("schema", True), f"{self._hint}{class_name(wire)}")
            required = bool(told.get("required"))
            found.append(Parameter(wire, unique(identifier(wire), taken), kind, required, place))
        return found

    def _answer(self) -> tuple[str, Mapping[str, Any]]:
        """Status and content of the success; ("204", {}) when none is described."""
        for status, told in sorted(self._told.get("responses", {}).items()):
            if status.startswith("2"):
                return status, told.get("content", {})
        return "204", {}

    def _result(self, status: str, content: Mapping[str, Any]) -> str:
        if status == "204" or self._method == "head":
            return "None"
        if _JSON in content:
            return self._types.expression(content[_JSON].get("schema", True), f"{self._hint}Answer")
        kind = next(iter(content), "")
        return "str" if kind.startswith("text/") else "bytes" if kind else self._types.expression(True, "")

    def _model(self, result: str) -> str:
        """What is given as `response_model`: a class, made for the purpose if the type is none."""
        if _CLASS.fullmatch(result) and " | " not in re.sub(r"\[.*\]", "", result):
            return result
        if not hasattr(self, "_wrapper"):
            self._wrapper = self._types.root_model(result, f"{self._hint}Answer")
        return self._wrapper

    def _shown(self, result: str) -> str:
        return result

    def _body(self, bodies: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """The parameter of the body, and how it is passed on."""
        if _JSON not in bodies:
            return [], []
        kind = self._types.expression(bodies[_JSON].get("schema", True), f"{self._hint}Body")
        required = self._told["requestBody"].get("required", False)
        if kind in self._types.models:
            # What the caller left out is left out: for a PATCH that is not the same as null.
            passed = 'body.model_dump(mode="json", by_alias=True, exclude_unset=True)'
            if not required:
                passed = f"None if body is None else {passed}"
        else:
            passed = "body"
        return [f"body: {kind}" if required else f"body: {kind} | None = None"], [f"json={passed}"]

    def _signature(self, keyword: str, body: list[str], result: str) -> list[str]:
        first = ["self", *(f"{p.own}: {p.kind}" for p in self._parameters if p.place == "path"), *body]
        named = [_declared(p) for p in self._parameters if p.place == "header"]
        query = self._query()
        if len(query) <= _FEW:
            named += [_declared(p) for p in query]
        named.sort(key=lambda text: "=" in text)
        if self._method in ("post", "patch"):
            named.append("idempotency_key: str | None = None")
        named.append("timeout: float | None = None")
        if len(query) > _FEW:
            self._types.imports.add(("typing", "Unpack"))
            named.append(f"**query: Unpack[{self._query_class(query)}]")
        lines = wrapped("    ", f"{keyword} {self._name}(", [*first, "*", *named], f") -> {result}:")
        summary = self._told.get("description") or self._told.get("summary") or f"{self._method.upper()} {self._path}"
        return [*lines, *docstring("        ", summary)]

    def _query(self) -> list[Parameter]:
        return [parameter for parameter in self._parameters if parameter.place == "query"]

    def _query_class(self, query: list[Parameter]) -> str:
        self._types.imports |= {("typing", "TypedDict")}
        name = unique(f"{self._hint}Query", self._types._taken)
        lines = [f"class {name}(TypedDict, total=False):", *docstring("    ", f"What `{self._name}` can be asked."), ""]
        for parameter in query:
            if parameter.required:
                self._types.imports.add(("typing", "Required"))
            kind = f"Required[{parameter.kind}]" if parameter.required else parameter.kind
            lines.append(f"    {parameter.own}: {kind}")
        self._types.models[name] = lines
        return name

    def _options(self) -> list[str]:
        query, headers = self._query(), [p for p in self._parameters if p.place == "header"]
        options = []
        if len(query) > _FEW:
            renamed = {p.own: p.wire for p in query if p.own != p.wire}
            options.append("params=query" if not renamed else f"params=_renamed(query, {renamed!r})".replace("'", '"'))
        elif query:
            options.append(f"params={{{', '.join(f'{literal(p.wire)}: {p.own}' for p in query)}}}")
        if headers:
            options.append(f"headers=_given({{{', '.join(f'{literal(p.wire)}: {p.own}' for p in headers)}}})")
        if self._method in ("post", "patch"):
            options.append("idempotency_key=idempotency_key")
        return [*options, "timeout=timeout"]

    def _url(self) -> str:
        parts = {p.wire: p for p in self._parameters if p.place == "path"}
        if not parts:
            return literal(self._path)
        self._types.imports.add(("urllib.parse", "quote"))

        def quoted(match: re.Match[str]) -> str:
            parameter = parts[match[1]]
            value = parameter.own if parameter.kind == "str" else f"str({parameter.own})"
            return f"{{quote({value}, safe='')}}"

        return 'f"' + re.sub(r"\{(\w+)\}", quoted, self._path) + '"'

    def _stream(self, content_type: str | None) -> list[str]:
        """A method that gives the stream instead of reading it."""
        self._types.imports |= {
            ("contextlib", "AbstractAsyncContextManager"),
            ("hanse.client", "StreamedResponse"),
        }
        body, passed = [], []
        if content_type is not None:
            self._types.imports.add(("collections.abc", "AsyncIterable"))
            body, passed = ["content: bytes | AsyncIterable[bytes]"], ["content=content"]
            passed.append(f'headers={{"content-type": {literal(content_type)}}}')
        lines = self._signature("def", body, "AbstractAsyncContextManager[StreamedResponse]")
        options = [option for option in self._options() if not (passed and option.startswith("headers="))]
        arguments = [literal(self._method.upper()), self._url(), *passed, *options]
        return lines + wrapped("        ", "return self._client.stream(", arguments, ")")


def _declared(parameter: Parameter) -> str:
    if parameter.required:
        return f"{parameter.own}: {parameter.kind}"
    optional = "None" in parameter.kind.split(" | ") or parameter.kind == "Any"
    return f"{parameter.own}: {parameter.kind if optional else f'{parameter.kind} | None'} = None"
