"""The listener. It depends on nothing that changes while a system runs: replacing a listener drains its connections
and forgets every rate limit."""

from hanse.gateway.accesslog import access_log
from hanse.gateway.errors import local_replies
from hanse.gateway.filters import chain, file_source
from hanse.gateway.model import GatewayModel
from hanse.gateway.resource import Resource, named, seconds, typed
from hanse.gateway.route import ONE_MIB
from hanse.gateway.routes import TABLE
from hanse.gateway.tracing import tracing

_MAX_HEADERS = 100
_MAX_HEADERS_KB = 32
_HEADERS_TIMEOUT_S = 10.0
_IDLE_TIMEOUT_S = 300.0
_NOBODY = {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]}
"""No peer counts as internal: clients on the same machine or network are as strange as any other."""


def listener(model: GatewayModel) -> Resource:
    """One address, one chain. SO_REUSEPORT only where the owner keeps the port for us: without that a second gateway on
    the same port would silently take half of the requests instead of failing to bind."""
    return {
        "name": TABLE,
        "address": {"socket_address": {"address": model.host, "port_value": model.port}},
        "enable_reuse_port": model.port_kept,
        "per_connection_buffer_limit_bytes": ONE_MIB,
        "filter_chains": [{"filters": [_http(model)]}],
    }


def _http(model: GatewayModel) -> Resource:
    return named(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=TABLE,
        rds={"route_config_name": TABLE, "config_source": file_source("routes.json")},
        http_filters=chain(upgrade=False),
        upgrade_configs=[{"upgrade_type": "websocket", "enabled": False, "filters": chain(upgrade=True)}],
        local_reply_config=local_replies(),
        access_log=access_log(model.access_log),
        **_trust(),
        **_bounds(),
        **tracing(model.tracing),
    )


def _trust() -> Resource:
    """What is believed of a request before any filter has seen it."""
    return {
        "use_remote_address": True,
        "internal_address_config": _NOBODY,
        "generate_request_id": True,
        "preserve_external_request_id": False,
        "request_id_extension": {
            # Else the request id would decide which requests are traced.
            "typed_config": typed(
                "extensions.request_id.uuid.v3.UuidRequestIdConfig",
                pack_trace_reason=False,
                use_request_id_for_trace_sampling=False,
            )
        },
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": True,
        "server_header_transformation": "PASS_THROUGH",
    }


def _bounds() -> Resource:
    return {
        "max_request_headers_kb": _MAX_HEADERS_KB,
        "request_headers_timeout": seconds(_HEADERS_TIMEOUT_S),
        "common_http_protocol_options": {
            "idle_timeout": seconds(_IDLE_TIMEOUT_S),
            "headers_with_underscores_action": "DROP_HEADER",
            "max_headers_count": _MAX_HEADERS,
        },
    }
