"""Envoy's administration interface over its unix socket: what it has applied, what it refused, how busy it is."""

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import quote

from hanse.core.errors import Unavailable
from hanse.gateway.compiler import CLUSTERS, JWT, LIMIT, LISTENERS, ROUTES
from hanse.gateway.filters import LIMIT_FILTER
from hanse.gateway.routes import TABLE
from hanse.gateway.tokens import JWT_FILTER

_TIMEOUT_S = 5.0
_SUBSCRIPTIONS = {
    CLUSTERS: "cluster_manager.cds",
    JWT: f"extension_config_discovery.http_filter.{JWT_FILTER}",
    LIMIT: f"extension_config_discovery.http_filter.{LIMIT_FILTER}",
    ROUTES: f"http.{TABLE}.rds.{TABLE}",
    LISTENERS: "listener_manager.lds",
}
_FAILURES = ("update_rejected", "update_failure", "config_fail")
_STATS_FILTER = "|".join(re.escape(prefix) for prefix in _SUBSCRIPTIONS.values())


class Admin:
    """Asks one Envoy.

    Args:
        socket: its administration socket.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def get(self, path: str) -> str:
        """What Envoy answers. Raises Unavailable when it does not."""
        return await self._ask("GET", path)

    async def post(self, path: str) -> str:
        """As `get`, for what changes something."""
        return await self._ask("POST", path)

    async def state(self) -> str:
        """`LIVE`, `DRAINING`, `PRE_INITIALIZING`, `INITIALIZING`; empty when nothing answers."""
        try:
            return (await self.get("/ready")).strip()
        except Unavailable:
            return ""

    async def applied(self) -> dict[str, str]:
        """The version of each file that Envoy works with; files that it has not taken yet are left out."""
        stats = await self._stats(f"^({_STATS_FILTER})\\.version_text$")
        versions = {file: stats.get(f"{prefix}.version_text", "") for file, prefix in _SUBSCRIPTIONS.items()}
        return {file: version for file, version in versions.items() if version}

    async def refused(self) -> dict[str, int]:
        """How many times Envoy has refused each file since it started; files never refused are left out."""
        stats = await self._stats(f"^({_STATS_FILTER})\\.({'|'.join(_FAILURES)})$")
        counts = {
            file: sum(int(stats.get(f"{prefix}.{failure}", 0)) for failure in _FAILURES)
            for file, prefix in _SUBSCRIPTIONS.items()
        }
        return {file: count for file, count in counts.items() if count}

    async def busy(self) -> int:
        """Requests in progress."""
        stats = await self._stats(f"^http\\.{TABLE}\\.downstream_rq_active$")
        return sum(int(value) for value in stats.values())

    async def _stats(self, pattern: str) -> dict[str, str]:
        """Statistics by name, as text; JSON would list histograms too."""
        lines = (await self.get(f"/stats?filter={quote(pattern)}")).splitlines()
        pairs = (line.partition(": ") for line in lines)
        return {name: json.loads(value) if value.startswith('"') else value for name, _, value in pairs}

    async def _ask(self, method: str, path: str) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    writer.write(f"{method} {path} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n".encode())
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"Envoy's administration does not answer at {self.socket}") from error
        if not answer:
            raise Unavailable(f"Envoy ended while it was asked {method} {path}")
        return _body(answer)


def _body(answer: bytes) -> str:
    """The body of an HTTP/1.1 answer that was read to the end of its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    _, *headers = head.decode("latin-1").split("\r\n")
    if any(line.lower().replace(" ", "") == "transfer-encoding:chunked" for line in headers):
        body = b"".join(_chunks(body))
    return body.decode()


def _chunks(body: bytes) -> list[bytes]:
    """The data of a chunked body (RFC 9112, section 7.1)."""
    found: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            return found
        found.append(body[:length])
        body = body[length + 2 :]
