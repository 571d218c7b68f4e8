"""`Logs`: the output of all processes of a system, kept in files and streamed to whoever listens."""

import asyncio
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from hanse.core import Env
from hanse.system.record import Record

_FILE_BYTES = 16 << 20
_LINE_BYTES = 1 << 20
Listener = Callable[[Record], None]


class Logs:
    """One JSON-lines file per service in `folder`, of at most 16 MiB and one predecessor; and live listeners."""

    def __init__(self, env: Env, folder: Path) -> None:
        self._env = env
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._listeners: dict[Listener, None] = {}
        self._pumps: dict[asyncio.Task[None], None] = {}

    def file(self, service: str) -> Path:
        return self._folder / f"{service}.log"

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have every new record given to `listener`, until the returned function is called."""
        self._listeners[listener] = None
        return lambda: self._listeners.pop(listener, None) and None

    def pump(self, service: str, *, error: bool) -> int:
        """A new pipe whose lines become records of `service`; its writing end, for the caller to close after a fork."""
        reading, writing = os.pipe()
        task = self._env.scope.spawn(self._read(reading, service, error), name=f"log {service}")
        self._pumps[task] = None
        task.add_done_callback(lambda done: self._pumps.pop(done, None))
        return writing

    def say(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """A record of the supervisor itself."""
        at = self._at()
        line = json.dumps({"ts": at, "level": level, "event": event, "service": "hanse", **fields}, default=str)
        self.write(Record("hanse", line.encode(), at))

    def write(self, record: Record) -> None:
        """Keep a record and pass it on."""
        file = self._files.get(record.service)
        if file is None or file.tell() > _FILE_BYTES:
            file = self._open(record.service)
        file.write(record.as_json() + b"\n")
        file.flush()
        for listener in list(self._listeners):
            listener(record)

    async def finish(self) -> None:
        """Read what the ended processes still had in their pipes, for at most a second; then close the files."""
        if self._pumps:
            await asyncio.wait(list(self._pumps), timeout=1.0)
        for file in self._files.values():
            file.close()
        self._files.clear()

    async def _read(self, descriptor: int, service: str, error: bool) -> None:
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(descriptor, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while line := await _line(reader):
                if text := line.rstrip():
                    self.write(Record(service, text, self._at(), error))
        finally:
            transport.close()

    def _open(self, service: str) -> BinaryIO:
        if (old := self._files.pop(service, None)) is not None:
            old.close()
        path = self.file(service)
        if path.exists() and path.stat().st_size > _FILE_BYTES:
            path.replace(path.with_suffix(".log.1"))
        self._files[service] = path.open("ab")
        return self._files[service]

    def _at(self) -> str:
        return self._env.clock.utc().isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; a longer one than the limit comes in pieces. Empty at the end."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as long:
        return await reader.readexactly(long.consumed or 1)


def tail(folder: Path, services: Sequence[str], count: int) -> list[Record]:
    """The last `count` records of the given services (all, when none is given), in order of their time."""
    files = [folder / f"{name}.log" for name in services] or sorted(folder.glob("*.log"))
    found = [record for file in files if file.exists() for record in _last(file, count)]
    return sorted(found, key=_time)[-count:]


def _time(record: Record) -> str:
    return str(record.fields.get("ts") or record.at)


def _last(file: Path, count: int) -> Iterator[Record]:
    with file.open("rb") as lines:
        for line in deque(lines, count):
            if text := line.rstrip():
                yield Record(file.stem, text, "")
