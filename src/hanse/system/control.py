"""The control socket: how `hanse ps`, `logs`, `restart`, `scale` and `down` talk to a running supervisor.

One JSON object in, `{"do": "ps", …}`; JSON objects out, one per line, the last one with `"ok": true` or `"error"`.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from hanse.core.errors import HanseError, Unavailable

Reply = dict[str, Any]
Handler = Callable[[dict[str, Any]], AsyncIterator[Reply]]
_LINE_BYTES = 4 << 20


class ControlServer:
    """Answers on a unix socket that only its owner may open."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket file left by a killed supervisor is replaced: the lock says that nobody uses it."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LINE_BYTES)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            try:
                async for reply in self._handler(request):
                    writer.write(json.dumps(reply, default=str).encode() + b"\n")
                    await writer.drain()
                last: Reply = {"ok": True}
            except HanseError as error:
                last = {"error": error.message, "code": error.code}
            writer.write(json.dumps(last).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            return  # the other side has gone, or does not speak our language
        finally:
            writer.close()


def ask(path: Path, do: str, *, timeout_s: float | None = 30.0, **arguments: Any) -> Iterator[Reply]:
    """Ask a running supervisor, from a plain program.

    Args:
        timeout_s: the longest silence; None waits for ever (following logs).

    Raises:
        Unavailable: nobody listens there.
        HanseError: what the supervisor answered.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise Unavailable("not running") from error
        connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                reply = json.loads(line)
                if "error" in reply:
                    raise HanseError(reply["error"])
                if reply.get("ok") is True:
                    return
                yield reply
    raise Unavailable("the supervisor hung up")
