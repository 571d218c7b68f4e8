"""Types: JSON schemas as Python type expressions, and as models where they have properties.

Source: OpenAPI 3.1 and JSON Schema 2020-12, as far as pydantic writes them.
"""

import re
from collections.abc import Mapping
from typing import Any

from hanse.client.generation.layout import docstring, literal, wrapped
from hanse.client.generation.names import class_name, constant, field, unique

Schema = Mapping[str, Any]

_FORMATS = {
    "date-time": ("datetime", "datetime"),
    "date": ("datetime", "date"),
    "time": ("datetime", "time"),
    "duration": ("datetime", "timedelta"),
    "uuid": ("uuid", "UUID"),
}
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_DECIMAL = re.compile(r"\^\(\?!\^\[-\+\.\]\*\$\)")  # how the pattern begins that pydantic writes for a Decimal
_PREFIX = "#/components/schemas/"


class Types:
    """The types of one document.

    Args:
        components: its `components/schemas`.
        taken: names of the module that a model must not take.
    """

    def __init__(self, components: Mapping[str, Schema], taken: set[str]) -> None:
        self.imports: set[tuple[str, str]] = set()
        """(module, name) of what the expressions use."""
        self.models: dict[str, list[str]] = {}
        """Source lines of each class, in an order in which they can be read."""
        self._components = components
        self._taken = taken
        self._names = {name: unique(class_name(name), taken) for name in sorted(components)}
        self._expanding: list[str] = []

    def expression(self, schema: Schema | bool, hint: str) -> str:
        """The type of values that fit `schema`.

        Args:
            hint: names the model, if the schema is one without a name.
        """
        if isinstance(schema, bool) or not schema:
            return self._import("typing", "Any")
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return f"{self._import('typing', 'Literal')}[{', '.join(literal(value) for value in values)}]"
        if _is_decimal(schema):
            return self._import("decimal", "Decimal")
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                return self._union(schema[key] if key != "allOf" else schema[key][:1], hint)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union([{**schema, "type": one} for one in kind], hint)
        if kind == "array":
            return self._array(schema, hint)
        if kind == "object":
            return self._object(schema, hint)
        if kind == "string" and schema.get("format") in _FORMATS:
            return self._import(*_FORMATS[schema["format"]])
        return _SCALARS.get(str(kind)) or self._import("typing", "Any")

    def root_model(self, expression: str, hint: str) -> str:
        """A model around a type that is no class, such as a union; its name."""
        name = unique(class_name(hint), self._taken)
        base = f"{self._import('pydantic', 'RootModel')}[{expression}]"
        self.models[name] = [f"class {name}({base}):", *docstring("    ", f"Around `{expression}`.")]
        return name

    def default(self, schema: Schema, kind: str) -> str | None:
        """The default of a field as source; None when it has none that can be written down."""
        if "default" not in schema:
            return None
        value = schema["default"]
        if value in ([], {}) and isinstance(value, list | dict):
            return repr(value)
        if isinstance(value, str | int) and kind in self.models:
            name = constant(str(value))
            return f"{kind}.{name}" if f"    {name} = {literal(value)}" in self.models[kind] else None
        plain = {str: "str", int: "int", float: "float", bool: "bool"}.get(type(value))
        fits = value is None if plain is None else plain in kind.split(" | ") or kind.startswith("Literal[")
        return literal(value) if fits and not isinstance(value, list | dict) else None

    def _reference(self, reference: str) -> str:
        name = reference.removeprefix(_PREFIX)
        schema = self._components[name]
        made = self._names[name]
        if made in self.models or name in self._expanding:
            return made
        self._expanding.append(name)
        try:
            if schema.get("type") == "object" and "properties" in schema:
                self.models[made] = self._model(made, schema)
            elif "enum" in schema and schema.get("type") in ("string", "integer"):
                self.models[made] = self._enumeration(made, schema)
            else:
                return self.expression(schema, made)
        finally:
            self._expanding.remove(name)
        return made

    def _union(self, schemas: list[Schema], hint: str) -> str:
        kinds = dict.fromkeys(part for schema in schemas for part in self.expression(schema, hint).split(" | "))
        if len(kinds) > 1 and "Any" in kinds:
            return "Any"
        return " | ".join([*(kind for kind in kinds if kind != "None"), *(kind for kind in kinds if kind == "None")])

    def _array(self, schema: Schema, hint: str) -> str:
        if "prefixItems" in schema:
            parts = [self.expression(item, f"{hint}Item") for item in schema["prefixItems"]]
            return f"tuple[{', '.join(parts)}]"
        return f"list[{self.expression(schema.get('items', True), f'{hint}Item')}]"

    def _object(self, schema: Schema, hint: str) -> str:
        if "properties" in schema:
            name = unique(class_name(hint), self._taken)
            self.models[name] = self._model(name, schema)
            return name
        return f"dict[str, {self.expression(schema.get('additionalProperties', True), f'{hint}Value')}]"

    def _enumeration(self, name: str, schema: Schema) -> list[str]:
        base = self._import("enum", "StrEnum" if schema["type"] == "string" else "IntEnum")
        lines = [f"class {name}({base}):", *docstring("    ", schema.get("description") or f"Values of {name}."), ""]
        taken: set[str] = set()
        return lines + [f"    {unique(constant(str(value)), taken)} = {literal(value)}" for value in schema["enum"]]

    def _model(self, name: str, schema: Schema) -> list[str]:
        self._import("pydantic", "BaseModel")
        required, taken = set(schema.get("required", ())), set[str]()
        fields: list[str] = []
        renamed = False
        for wire, part in schema["properties"].items():
            own = unique(field(wire), taken)
            kind = self.expression(part, f"{name}{class_name(wire)}")
            default = None
            if wire not in required:
                default = self.default(part, kind)
                if default is None:
                    kind, default = kind if "None" in kind.split(" | ") or kind == "Any" else f"{kind} | None", "None"
            if own != wire:
                renamed = True
                self._import("pydantic", "Field")
                # Both, instead of `alias`, so that type checkers want the Python name in the constructor.
                items = [f"validation_alias={literal(wire)}", f"serialization_alias={literal(wire)}"]
                items = items if default is None else [f"default={default}", *items]
                fields += wrapped("    ", f"{own}: {kind} = Field(", items, ")")
            else:
                fields.append(f"    {own}: {kind}" + ("" if default is None else f" = {default}"))
            if isinstance(part, Mapping) and part.get("description"):
                fields += docstring("    ", part["description"])
        if renamed:
            self._import("pydantic", "ConfigDict")
            fields = ["    model_config = ConfigDict(populate_by_name=True)", "", *fields]
        told = docstring("    ", schema.get("description") or f"{name}, as the service describes it.")
        return [f"class {name}(BaseModel):", *told, "", *fields] if fields else [f"class {name}(BaseModel):", *told]

    def _import(self, module: str, name: str) -> str:
        self.imports.add((module, name))
        return name


def _is_decimal(schema: Schema) -> bool:
    """Pydantic writes a Decimal as a patterned string, and for input as that or a number."""
    if schema.get("type") == "string":
        return bool(_DECIMAL.match(str(schema.get("pattern", ""))))
    parts = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    kinds = sorted(str(part.get("type")) for part in parts)
    return (
        kinds == ["number", "string"]
        and "null" not in [p.get("type") for p in schema["anyOf"]]
        and any(map(_is_decimal, parts))
    )
