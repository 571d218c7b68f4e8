"""Clusters: one per service, with its instances inline.

Endpoints are inline because a file per cluster (EDS) takes an inotify instance each, and a running Envoy aborts at the
machine's limit of them (128 by default).
"""

from collections.abc import Iterable
from ipaddress import ip_address

from hanse.gateway.model import Cluster, Endpoint, GatewayModel
from hanse.gateway.resource import Resource, seconds, typed
from hanse.gateway.tracing import CLUSTER, Tracing

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_RETRY_BUDGET_PERCENT = 20
_MIN_RETRIES_AT_ONCE = 64
"""So many retries may run whatever the budget says: an instance that dies drops all its requests at once."""


def clusters(model: GatewayModel) -> list[Resource]:
    """A cluster for every routed service, also for those without instances, and one for the receiver of spans."""
    found = [_cluster(name, model.clusters.get(name, Cluster())) for name in model.services]
    return found + ([_telemetry(model.tracing)] if model.tracing else [])


def _cluster(name: str, spec: Cluster) -> Resource:
    """Instances are left alone for failures of connection only; a 5xx is an answer, and one bad request that makes
    every instance answer 500 must not take them all out."""
    return {
        **_addresses(name, spec.endpoints),
        "connect_timeout": seconds(spec.connect_timeout),
        "lb_policy": "LEAST_REQUEST",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http(spec.idle_timeout)},
        # Envoy's own default delays changes of health by a second, and its panic mode sends to dead instances.
        "common_lb_config": {"update_merge_window": "0s", "healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": spec.max_requests,
                    "max_pending_requests": spec.max_requests,
                    "max_requests": spec.max_requests,
                    # The default of three retries at once overflows as soon as an instance dies under load.
                    "retry_budget": {
                        "budget_percent": {"value": _RETRY_BUDGET_PERCENT},
                        "min_retry_concurrency": _MIN_RETRIES_AT_ONCE,
                    },
                }
            ]
        },
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": spec.eject_after,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "enforcing_local_origin_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": seconds(spec.eject_for),
            "max_ejection_time": seconds(max(spec.eject_for, 30.0)),
            "max_ejection_percent": 50,
        },
    }


def _telemetry(spec: Tracing) -> Resource:
    return {
        **_addresses(CLUSTER, [Endpoint(spec.host, spec.port)]),
        "connect_timeout": seconds(1.0),
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http(Cluster().idle_timeout)},
    }


def _addresses(name: str, endpoints: Iterable[Endpoint]) -> Resource:
    members = sorted(set(endpoints), key=lambda e: (e.host, e.port, e.weight))
    return {
        "name": name,
        "type": "STATIC" if all(_is_ip(member.host) for member in members) else "STRICT_DNS",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(member) for member in members]}] if members else [],
        },
    }


def _endpoint(spec: Endpoint) -> Resource:
    address = {"socket_address": {"address": spec.host, "port_value": spec.port}}
    return {"endpoint": {"address": address}, "load_balancing_weight": spec.weight}


def _http(idle_timeout: float) -> Resource:
    return typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        common_http_protocol_options={"idle_timeout": seconds(idle_timeout)},
        explicit_http_config={"http_protocol_options": {}},
    )


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
