"""A service under test: run in this process on a memory broker and a temporary database, spoken to in bare ASGI."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hanse import Service
from hanse.config import ServiceSettings
from hanse.core import Env
from hanse.security import SigningKey, TokenIssuer, write_jwks
from hanse.telemetry import Logs


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Calls an ASGI application as a server would, without a network."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        body: bytes | None = None,
        chunks: list[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        on_start: Callable[[Answer], None] | None = None,
    ) -> Answer:
        path, _, query = path.partition("?")
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("content-type", "application/json")
        if chunks is not None:
            sent["transfer-encoding"] = "chunked"
        elif body is not None:
            sent.setdefault("content-length", str(len(body)))
        parts = list(chunks) if chunks is not None else [body or b""]
        answer = Answer()

        async def receive() -> dict[str, Any]:
            if not parts:
                await asyncio.get_running_loop().create_future()
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                assert answer.status == 0, "a second response"
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
                if on_start is not None:
                    on_start(answer)
            else:
                answer.body += message.get("body", b"")
                answer.complete = not message.get("more_body", False)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        await self.app(scope, receive, send)
        return answer


class Running(Caller):
    """A running service."""

    def __init__(self, service: Service[Any], stream: io.StringIO) -> None:
        super().__init__(service)
        self.service = service
        self._stream = stream

    @property
    def log(self) -> list[dict[str, Any]]:
        self.service.node.logs.flush()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@dataclass
class Tokens:
    """The keys of a system called `shop`, and tokens signed with them."""

    jwks: Path
    users: TokenIssuer
    services: TokenIssuer

    def user(self, subject: str = "ada", **options: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.users.issue(subject, ttl_s=60, **options)}"}

    def service(self, name: str = "cart") -> dict[str, str]:
        token = self.services.issue(f"service:{name}", roles=["service"], ttl_s=60)
        return {"x-service-authorization": f"Bearer {token}"}


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    env = Env.build("keys")
    key = SigningKey.generate(env)
    write_jwks(tmp_path / "jwks.json", [key])
    return Tokens(
        tmp_path / "jwks.json", TokenIssuer(env, key, "shop/users", "shop"), TokenIssuer(env, key, "shop", "shop")
    )


Run = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def run(tmp_path: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    @asynccontextmanager
    async def running(service: Service[Any], **settings: Any) -> AsyncIterator[Running]:
        stream = io.StringIO()
        told = ServiceSettings(
            **{
                "system": "shop",
                "issuer": "shop/users",
                "jwks_file": tokens.jwks,
                "broker_url": f"memory://{uuid4()}",
                "database_url": f"sqlite:///{tmp_path}/{service.name}.db",
                "grace_s": 1.0,
                **settings,
            }
        )
        async with service.running(told, logs=Logs(service.name, level="debug", stream=stream)):
            yield Running(service, stream)

    return running
