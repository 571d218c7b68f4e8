"""A real Envoy in front of small servers of our own, and a client that shows every byte of an answer."""

import asyncio
import http.client
import json
import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.core import Env
from hanse.gateway import Endpoint, Envoy, JwtProvider

ISSUER, AUDIENCE = "shop/users", "shop"


class Issuer:
    """Signs tokens with a key of its own."""

    def __init__(self, kid: str = "k1") -> None:
        self.kid = kid
        self.private = Ed25519PrivateKey.generate()
        self.public = self.private.public_key().public_bytes_raw()

    def jwk(self) -> dict[str, str]:
        x = urlsafe_b64encode(self.public).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x}

    def provider(self) -> JwtProvider:
        return JwtProvider("users", ISSUER, AUDIENCE, {"keys": [self.jwk()]})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600, "roles": ["buyer"]}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, **changes: Any) -> str:
        return jwt.encode(self.claims(**changes), self.private, "EdDSA", headers={"kid": self.kid})

    def bearer(self, **changes: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(**changes)}"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def correlation_id(self) -> str:
        return self.headers["x-correlation-id"]


@dataclass
class Client:
    """Asks the gateway, one connection per request."""

    port: int

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(self.ask, method, path, body, sent)

    def ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)
        finally:
            connection.close()

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are, and read until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()


@dataclass
class Upstream:
    """A small HTTP/1.1 server. It says what it got; some paths behave in other ways.

    /slow never answers; /problem answers its own problem+json; /status/503 that status; /drip one chunk each time
    `drip` is set; /drop closes without an answer.
    """

    name: str
    drip: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list)
    flaky: int = 0
    """So many of the next requests are dropped without an answer."""
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    port: int = 0

    async def start(self, port: int = 0) -> "Upstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await self._body(reader, headers)
        self.seen.append(f"{method} {path}")
        if self.flaky or path.startswith("/drop"):
            self.flaky = max(0, self.flaky - 1)
            return False
        if path.startswith("/slow"):
            await asyncio.Event().wait()
        if path.startswith("/drip"):
            return await self._drip(writer)
        status, kind, content = 200, "application/json", b""
        if path.startswith("/problem"):
            status, kind, content = 409, "application/problem+json", b'{"title": "Taken",  "code":"conflict"}'
        elif path.startswith("/status/"):
            status, content = int(path.split("/")[2]), b'{"from": "upstream"}'
        else:
            told = {"by": self.name, "method": method, "path": path, "headers": headers, "bytes": len(body)}
            content = json.dumps(told).encode()
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n".encode())
        writer.write(content)
        await writer.drain()
        return True

    async def _drip(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        number = 0
        while True:
            await self.drip.wait()
            self.drip.clear()
            event = f"data: {number}\n\n".encode()
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            await writer.drain()
            number += 1

    @staticmethod
    async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return await reader.readexactly(int(headers.get("content-length", 0)))
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], Any], *, seconds: float = 10) -> Any:
    """Wait for a condition, asked every 10 ms; what it returned when it held. A coroutine function may be given."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Envoy]:
    """An Envoy on a free port, not started; ended afterwards whatever happens."""
    env = Env.build("gateway-test")
    envoy = Envoy(env, folder, port=free_port())
    try:
        yield envoy
    finally:
        await envoy.stop()
        await env.scope.close()
