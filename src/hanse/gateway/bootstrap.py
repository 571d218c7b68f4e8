"""The bootstrap: the little that Envoy must know before it reads its files."""

from hanse.gateway.compiler import CLUSTERS, LISTENERS
from hanse.gateway.filters import file_source
from hanse.gateway.resource import Resource, named

_MAX_CONNECTIONS = 20_000


def bootstrap(node: str, admin_socket: str) -> Resource:
    """Configuration from files, administration over a unix socket that only this user can open.

    Args:
        node: names this Envoy in its own output.
        admin_socket: path of the socket, at most 107 bytes.
    """
    return {
        "node": {"id": node, "cluster": "gateway"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        "dynamic_resources": {"cds_config": file_source(CLUSTERS), "lds_config": file_source(LISTENERS)},
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": {"tracing.opentelemetry.flush_interval_ms": 1000}},
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                named(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=_MAX_CONNECTIONS,
                )
            ]
        },
    }
