"""The form of Envoy's configuration: JSON of protobuf messages (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3)."""

from typing import Any

Resource = dict[str, Any]

_TYPES = "type.googleapis.com/"


def typed(message: str, /, **fields: Any) -> Resource:
    """A message of a given type, as `google.protobuf.Any` in JSON.

    Args:
        message: its full name without the leading `envoy.` (`config.cluster.v3.Cluster`).
    """
    return {"@type": f"{_TYPES}envoy.{message}", **fields}


def named(extension: str, message: str, /, **fields: Any) -> Resource:
    """An extension (filter, tracer, predicate …) with its configuration."""
    return {"name": extension, "typed_config": typed(message, **fields)}


def type_url(message: str) -> str:
    return f"{_TYPES}envoy.{message}"


def seconds(value: float) -> str:
    """A protobuf Duration."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def header(name: str, value: str, *, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Resource:
    """A header to be set; `value` may hold Envoy's %FORMATTERS%."""
    return {"header": {"key": name, "value": value}, "append_action": action}


def always(percent: int = 100) -> Resource:
    return {"default_value": {"numerator": percent, "denominator": "HUNDRED"}}
