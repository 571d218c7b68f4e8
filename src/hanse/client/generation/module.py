"""The whole module: imports, models, client."""

from collections.abc import Mapping
from typing import Any

from hanse.client.generation.layout import docstring
from hanse.client.generation.names import class_name
from hanse.client.generation.operation import operation
from hanse.client.generation.types import Types

_METHODS = ("get", "post", "put", "patch", "delete")
_STANDARD = {"collections.abc", "contextlib", "datetime", "decimal", "enum", "typing", "urllib.parse", "uuid"}
_GIVEN = '''

def _given(headers: Mapping[str, Any]) -> dict[str, str]:
    """The headers that have a value."""
    return {name: str(value) for name, value in headers.items() if value is not None}
'''
_RENAMED = '''

def _renamed(query: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The query as the service spells it."""
    return {names.get(name, name): value for name, value in query.items()}
'''


def client_source(document: Mapping[str, Any], *, service: str, name: str | None = None) -> str:
    """The source of a module with a typed client.

    Args:
        document: the service's OpenAPI document, version 3.0 or 3.1.
        service: its name in the registry.
        name: of the class; None makes one of the service's (`catalog` → `CatalogClient`).

    Returns: a module that passes mypy --strict and ruff, formatted: pydantic models, and a class that takes a
        `ServiceClient`, or what `service.client(…)` gives, and has one async method per operation.
    """
    title = name or f"{class_name(service)}Client"
    types = Types(document.get("components", {}).get("schemas", {}), {title, "Verbs"})
    methods: list[str] = []
    taken: set[str] = set()
    left_out: list[str] = []
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method not in item:
                continue
            told = {**item[method], "parameters": [*item.get("parameters", ()), *item[method].get("parameters", ())]}
            made = operation(types, path, method, told, taken)
            if made.left_out:
                left_out.append(made.left_out)
            else:
                methods += ["", *made.lines]
    version = document.get("info", {}).get("version", "")
    note = f"The service `{service}` {version}, typed.".replace(" ,", ",")
    if left_out:
        note += "\n\nLeft out:\n" + "\n".join(left_out)
    client = [
        f"class {title}:",
        *docstring("    ", note),
        "",
        "    def __init__(self, client: Verbs) -> None:",
        "        self._client = client",
        *methods,
    ]
    text = "\n".join([*_blocks(types.models), "", "", *client]) + "\n"
    helpers = "".join(helper for call, helper in (("_given(", _GIVEN), ("_renamed(", _RENAMED)) if call in text)
    if helpers:
        types.imports |= {("collections.abc", "Mapping"), ("typing", "Any")}
    head = f'"""Client of `{service}`, written by `hanse client generate`: generate it again instead of editing it."""'
    return (
        "\n".join(
            [head, "# ruff: noqa: I001, RUF100, S105", "", *_imports(types.imports | {("hanse.client", "Verbs")})]
        )
        + text
        + helpers
    )


def _imports(wanted: set[tuple[str, str]]) -> list[str]:
    modules: dict[str, list[str]] = {}
    for module, name in sorted(wanted):
        modules.setdefault(module, []).append(name)
    standard = [f"from {module} import {', '.join(names)}" for module, names in modules.items() if module in _STANDARD]
    others = [
        f"from {module} import {', '.join(names)}" for module, names in modules.items() if module not in _STANDARD
    ]
    return ["from __future__ import annotations", "", *standard, *([""] if standard else []), *others, ""]


def _blocks(models: Mapping[str, list[str]]) -> list[str]:
    return [line for lines in models.values() for line in ["", *([""]), *lines]]
